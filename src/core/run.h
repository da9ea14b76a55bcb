// One execution of a workflow, and its tasks. Plain data: the rules are in progress.h and commands/.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/cow.h"
#include "base/ids.h"
#include "base/value.h"
#include "core/cost.h"
#include "core/signals.h"
#include "core/transitions.h"
#include "orchestration/definition.h"
#include "orchestration/labels.h"

namespace ez::core {

// A set of agents' abilities that tasks ask for; small, interned in State::classes.
using ClassId = std::uint32_t;
// Places in State::namespaces and State::queues: derived, never logged.
using NamespaceId = std::uint32_t;
using QueueId = std::uint32_t;

struct ShippedFile {
  std::string path;
  std::string sha256;
  std::uint32_t mode = 0644;
};

// A registered workflow version; never changes. Shared by all its runs.
struct WorkflowVersion {
  std::string namespace_name;
  std::uint32_t version = 0;
  std::shared_ptr<const orchestration::Workflow> definition;
  std::string canonical;
  std::string source;
  std::vector<ShippedFile> files;
  std::int64_t registered_ms = 0;
  std::vector<ClassId> classes;  // of each task
  NamespaceId name_space = 0;
  QueueId queue = 0;
};

struct Artifact {
  std::string name;
  std::string sha256;
  std::uint64_t size = 0;
};

struct TaskError {
  std::string code;  // empty: no error
  std::string message;
};

struct AttemptRecord {
  std::uint32_t number = 0;
  AgentId agent;
  std::int64_t started_ms = 0;
  std::int64_t finished_ms = 0;
  TaskError error;  // empty code: the attempt succeeded
  std::int32_t exit_code = 0;
};

// What the resolver of a task's merge did, in its last merge.
struct Resolution {
  std::string agent_type;
  std::vector<TaskError> tries;  // an empty code: it settled the merge
};

// What only some tasks have; replaced as a whole, never changed in place, so that copies of a Task share it.
struct TaskDetail {
  std::string output;  // JSON text, at most kMaxInlineBytes; larger ones are blobs
  std::string output_blob;
  TaskError error;
  std::vector<Artifact> artifacts;
  std::string branch;  // of the accepted attempt
  std::string commit;
  std::string base;
  std::string head;  // of the run branch after the merge
  std::uint32_t changed_files = 0;
  std::string conflict;
  std::shared_ptr<const Resolution> resolution;  // null: none was needed
  Value items;                                   // of a for_each group
  std::vector<AttemptRecord> attempts;           // ended ones, the newest kMaxAttemptRecords
  std::string decided_by;                        // who approved, rejected, retried or cancelled it
  std::string comment;
  std::string concurrency_key;
  RunId child;  // that it started last
};

inline constexpr std::size_t kMaxInlineBytes = 16 * 1024;
inline constexpr std::size_t kMaxAttemptRecords = 20;
inline constexpr std::uint32_t kNoInstance = UINT32_MAX;
// Attempts that ended because their agent was lost do not count against retry.max_attempts, but a task that
// takes its agents down with it must end: after so many in a row it has failed.
inline constexpr std::uint32_t kMaxLosses = 10;

struct Task {
  std::uint32_t definition = 0;
  std::uint32_t instance = kNoInstance;  // number within its for_each
  TaskState state = TaskState::kWaiting;
  bool approved = false;
  bool paid = false;      // its next start was taken out of its rate
  bool seeded = false;    // taken over from the run that this one resumes
  std::uint8_t held = 0;  // places held: bit 0 max_parallel, 1 concurrency key, 2 budget
  std::uint32_t attempt = 0;
  std::uint32_t failures = 0;
  std::uint32_t losses = 0;   // in a row
  std::uint32_t missing = 0;  // dependencies (of a group: instances) that are not complete
  std::uint32_t first_child = 0;
  std::uint32_t child_count = 0;
  std::int64_t scheduled_ms = 0;  // when it first could run
  std::int64_t ready_ms = 0;      // when it last became ready
  std::int64_t started_ms = 0;
  std::int64_t finished_ms = 0;
  std::int64_t due_ms = 0;                   // its timer; 0: none
  std::int64_t reserve_microusd = 0;         // set aside of the run's budget while it is ready
  Fence fence;                               // of its present lease
  Fence last_fence;                          // of its last accepted result, to recognise duplicates
  AgentId agent;                             // that has or last had it
  std::uint64_t done_index = 0;              // log index that completed it
  std::shared_ptr<const TaskDetail> detail;  // may be null

  [[nodiscard]] const TaskDetail& get() const;
  // A changeable copy of the detail; put it back with `detail = …`.
  [[nodiscard]] std::shared_ptr<TaskDetail> edit() const;
};

// Tasks in chunks that snapshots share with the live run until one of them is written.
class TaskTable {
 public:
  static constexpr std::uint32_t kChunk = 32;
  [[nodiscard]] std::uint32_t size() const { return size_; }
  [[nodiscard]] const Task& operator[](std::uint32_t index) const {
    return chunks_[index / kChunk].read()[index % kChunk];
  }
  [[nodiscard]] Task& write(std::uint32_t index) { return chunks_[index / kChunk].write()[index % kChunk]; }
  // Appends; returns the index.
  std::uint32_t add(Task task);

 private:
  std::vector<Cow<std::vector<Task>>> chunks_;
  std::uint32_t size_ = 0;
};

// The outcome of a task of an earlier run that a resuming run takes over instead of doing it again.
struct Seed {
  TaskState state = TaskState::kSucceeded;  // succeeded, skipped or failed
  std::string output;
  std::string output_blob;
  std::vector<Artifact> artifacts;
};

// Where a run comes from that a task of another one started.
struct Lineage {
  RunId parent;
  std::string task;         // its key in the parent
  std::uint32_t depth = 1;  // runs above it
};

// A failed run that undoes what it did: the compensations one after the other (core/rollback.h).
struct Rollback {
  std::vector<std::uint32_t> order;  // compensating tasks
  std::uint32_t next = 0;            // place in `order` of the one that comes next
  bool over = false;
};

// A live run was moved from one version of its workflow to another.
struct Migration {
  std::uint32_t from_version = 0;
  std::uint32_t to_version = 0;
  std::int64_t at_ms = 0;
  std::string principal;
};

struct Run {
  RunId id;
  std::shared_ptr<const WorkflowVersion> workflow;
  RunState state = RunState::kRunning;
  orchestration::Priority priority = orchestration::Priority::kNormal;
  Value inputs;
  std::int64_t created_ms = 0;
  std::int64_t finished_ms = 0;
  std::int64_t deadline_ms = 0;  // wall time; 0: none
  std::int64_t warn_ms = 0;      // when the warning of the deadline is due; 0: none
  std::int64_t cost_microusd = 0;
  std::int64_t budget_microusd = 0;    // 0: no limit; the cost and what is reserved never pass it
  std::int64_t reserved_microusd = 0;  // by ready tasks and leases
  Cow<CostTable> costs;                // what the cost is made of; empty: nothing yet
  std::uint8_t warned = 0;             // core/budget.h
  bool budget_paused = false;          // it is paused until the budget is raised
  std::string repository;              // empty: no workspaces
  std::string branch;                  // the run branch
  std::string base;                    // where it starts; empty: HEAD of the repository
  std::string head;                    // after the last merge
  TaskError error;
  std::string principal;
  std::shared_ptr<const orchestration::Labels> labels;  // null: none
  RunId resumed_from;
  std::string schedule;                                      // that started it; empty: none
  std::int64_t schedule_ms = 0;                              // the instant that it is for
  std::string concurrency_key;                               // of the whole run; empty: none
  bool admitted = true;                                      // it has its place under that key
  std::shared_ptr<const std::map<std::string, Seed>> seeds;  // by task key; null: not resumed
  std::shared_ptr<const Rollback> rollback;                  // null: none; replaced as a whole
  std::shared_ptr<const std::vector<Migration>> migrations;  // likewise; oldest first
  std::vector<std::uint32_t> merge_queue;                    // front: the one being merged
  Cow<Mail> mail;                                            // empty: no signal ever came
  std::shared_ptr<const Lineage> lineage;                    // null: no task started it
  bool paused_by_parent = false;
  std::string outputs;  // JSON map, once it has succeeded; empty: its workflow has none
  TaskTable tasks;
  std::array<std::uint32_t, kTaskStates> counts{};  // tasks by state, groups included
  std::uint32_t open = 0;                           // tasks that are not terminal

  [[nodiscard]] const orchestration::Workflow& definition() const { return *workflow->definition; }
  [[nodiscard]] const orchestration::Task& definition_of(const Task& task) const {
    return definition().tasks[task.definition];
  }
  [[nodiscard]] const orchestration::Labels& get_labels() const;
  // "build", or "convert.3" for an instance.
  [[nodiscard]] std::string key_of(const Task& task) const;
  // Index of the task with that key, or UINT32_MAX.
  [[nodiscard]] std::uint32_t find(std::string_view key) const;
};

}  // namespace ez::core
