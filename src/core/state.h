// The state: what the log's commands add up to. A cache of the log, never the truth itself.
//
// Pure data and pure rules: no clock, no randomness, no I/O, no threads, no unordered iteration. One thread
// (the engine's loop) writes; snapshots and readers hold copy-on-write pages.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/cow.h"
#include "base/ids.h"
#include "core/pause.h"
#include "core/ready_index.h"
#include "core/run.h"
#include "core/schedule.h"

namespace ez::core {

// Semantics of the commands that this binary knows. A log that asks for more is refused (VERSION_BARRIER).
inline constexpr std::uint32_t kSemantics = 3;
inline constexpr std::uint32_t kRunTimer = UINT32_MAX;          // in TimerKey::task: the run's deadline
inline constexpr std::uint32_t kRunWarnTimer = UINT32_MAX - 8;  // likewise: the warning before it
inline constexpr std::int64_t kIdempotencyMs = 24LL * 3600 * 1000;
inline constexpr std::size_t kMaxLiveRuns = 2'000'000;
inline constexpr std::size_t kMaxAgents = 20'000;
inline constexpr std::size_t kMaxNamespaces = 10'000;
inline constexpr std::uint32_t kMaxNamespaceTasks = 1'000'000;  // what max_running may be

struct Agent {
  AgentId id;
  std::string name;
  std::string type;
  std::vector<std::string> capabilities;  // sorted
  std::uint32_t capacity = 1;
  std::int64_t registered_ms = 0;
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;
  std::uint32_t running = 0;    // leases, derived
  std::vector<ClassId> serves;  // derived, sorted
};

// The right to work on one attempt. Kept until the agent answers or is lost, also when its task was
// cancelled.
struct Lease {
  Fence fence;
  RunId run;
  std::uint32_t task = 0;
  std::uint32_t attempt = 0;
  AgentId agent;
  bool merge = false;
  bool cancelled = false;  // its outcome no longer matters; the agent is told to stop
  std::int64_t granted_ms = 0;
  std::int64_t heartbeat_ms = 0;
  std::string task_key;
  std::int64_t reserve_microusd = -1;  // the most the attempt may still cost; -1: no limit
  std::int64_t open_microusd = 0;      // of that with the model gateway, neither metered nor given back
  bool metered = false;                // the gateway says what it costs, not the agent
  std::int64_t lent_microusd = 0;      // of a merge: taken out of the run's budget for its resolver so far
};

struct TimerKey {
  std::int64_t due_ms;
  RunId run;
  std::uint32_t task;
  auto operator<=>(const TimerKey&) const = default;
};

// A namespace: runs of one team or product, with its share of the agents. It exists once a workflow or a
// setting names it.
struct Namespace {
  std::string name;
  std::uint32_t weight = 1;
  std::uint32_t max_running = 0;  // tasks at the same time; 0: no limit
  bool paused = false;            // derived from State::pauses
  std::uint64_t live_runs = 0;    // derived, like the rest
  std::uint64_t ready = 0;
  std::uint64_t running = 0;
  [[nodiscard]] bool is_full() const { return max_running != 0 && running >= max_running; }
};

// Places under one concurrency key. Entries of whole runs have kRunTimer as their task.
struct Throttle {
  std::uint32_t held = 0;
  std::set<ReadyKey> holders;  // by age: when they first could run; of keys that workflows name
  std::set<ReadyKey> waiting;
};

struct IdempotencyEntry {
  RunId run;
  std::int64_t created_ms = 0;
  std::string request_hash;
};

struct RunPage {
  static constexpr std::uint64_t kRuns = 128;
  std::array<Cow<Run>, kRuns> runs;
  std::uint32_t used = 0;
};

class State {
 public:
  // ---- primary: what a snapshot holds ----
  std::uint64_t next_run = 1;
  std::uint64_t next_agent = 1;
  std::uint64_t next_fence = 1;
  std::int64_t now_ms = 0;  // the largest time a command carried: time never goes back inside the state
  LogIndex applied;
  // (namespace, name) → versions 1, 2, …
  std::map<std::pair<std::string, std::string>, std::vector<std::shared_ptr<const WorkflowVersion>>>
      workflows;
  std::map<AgentId, Agent> agents;
  std::map<Fence, Lease> leases;
  std::map<std::string, IdempotencyEntry> idempotency;  // namespace/key
  std::map<std::uint64_t, Cow<RunPage>> pages;          // run number / RunPage::kRuns

  std::map<std::string, Pause> pauses;             // by pause_key; resumed ones too
  std::map<std::string, std::int64_t> rates;       // by key: when the bucket is full again, microseconds
  std::map<std::string, Cow<Schedule>> schedules;  // by schedule_key
  // By NamespaceId, in order of appearance; a snapshot holds those whose settings are not the built-in ones.
  std::vector<Namespace> namespaces;
  CostTable cost_totals;  // by namespace, model and key

  // ---- derived: rebuilt from the above ----
  std::map<std::string, NamespaceId> namespace_ids;
  std::vector<WorkflowQueue> queues;
  std::vector<AgentType> agent_types;
  std::map<std::string, AgentTypeId> agent_type_ids;
  std::size_t live_runs = 0;
  PauseBoard pause_board = std::make_shared<const std::vector<Pause>>();
  std::set<std::pair<std::int64_t, std::string>> rate_ends;
  std::set<TimerKey> timers;
  std::map<std::uint32_t, std::string> schedule_numbers;  // → schedule_key
  std::set<std::uint32_t> unplanned;                      // schedules that wait for the leader's next plan
  std::vector<AbilityClass> classes;
  std::map<std::string, ClassId> class_ids;
  std::map<std::string, Throttle> throttles;
  std::map<std::string, AgentId> agent_names;
  std::set<std::pair<AgentId, Fence>> cancelled_leases;
  std::set<std::pair<RunId, Fence>> open_allowances;  // leases with open_microusd
  std::set<std::pair<std::int64_t, std::string>> idempotency_ages;

  [[nodiscard]] const Run* find_run(RunId id) const;
  [[nodiscard]] Cow<Run> share_run(RunId id) const;  // empty when it is not live
  [[nodiscard]] Run* write_run(RunId id);
  void add_run(Cow<Run> run);
  // Takes a finished run out of memory.
  Cow<Run> remove_run(RunId id);
  // In ascending order; stops when visit returns false.
  void each_run(const std::function<bool(const Cow<Run>&)>& visit) const;

  [[nodiscard]] NamespaceId namespace_of(const std::string& name);
  [[nodiscard]] AgentTypeId agent_type_of(const std::string& name);
  [[nodiscard]] ClassId class_of(const std::string& type, const std::vector<std::string>& capabilities);
  [[nodiscard]] ClassId merge_class() { return class_of("merge", {}); }
  // The newest for version 0; null when there is none.
  [[nodiscard]] std::shared_ptr<const WorkflowVersion> find_workflow(const std::string& namespace_name,
                                                                     const std::string& name,
                                                                     std::uint32_t version) const;
  void add_workflow(std::shared_ptr<WorkflowVersion> version);
  void add_agent(Agent agent);
  void remove_agent(AgentId id);
  void add_lease(Lease lease);
  void remove_lease(Fence fence);
  void cancel_lease(Lease& lease);
  void set_timer(RunId run, std::uint32_t task, std::int64_t& slot, std::int64_t due_ms);

  // Rebuilds everything derived of that run (timers, ready places, throttles); used when a snapshot is read.
  void derive_run(const Run& run);
};

// Handicap of a priority in milliseconds of waiting.
[[nodiscard]] std::int64_t priority_handicap_ms(orchestration::Priority priority);

// The type of the agents that serve classes of that type.
[[nodiscard]] const std::string& serving_type(const std::string& class_type);

// Whether an agent of that type with those (sorted) capabilities can do tasks of the class.
[[nodiscard]] bool can_serve(const AbilityClass& ability, const std::string& type,
                             const std::vector<std::string>& capabilities);

}  // namespace ez::core
