// A workflow definition: what a registered workflow version says, parsed, checked and never changed
// afterwards. docs/guide/workflows.md explains every key; docs/formats/workflow.schema.json is the published
// JSON Schema.
//
// All numbers are integers in the unit that the name says. 0 means "no limit" for timeouts unless noted.
// Threads: immutable once built; shared freely.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/expression.h"
#include "base/value.h"

namespace ez::orchestration {

inline constexpr std::size_t kMaxTasks = 50'000;     // of one definition
inline constexpr std::size_t kMaxForEach = 100'000;  // instances of one for_each task
inline constexpr std::size_t kMaxSourceBytes = 16 * 1024 * 1024;
inline constexpr std::int64_t kMaxRetainDays = 36'500;
inline constexpr std::int64_t kMaxRetainRuns = 1'000'000'000;
inline constexpr std::size_t kMaxFiles = 1'000;                  // shipped with a workflow
inline constexpr std::size_t kMaxOutputSchemaBytes = 64 * 1024;  // as compact JSON

enum class InputType : std::uint8_t { kString, kInt, kNumber, kBool, kList, kMap, kGit };
enum class Priority : std::uint8_t { kCritical, kHigh, kNormal, kLow, kDeferred };
enum class OnFailure : std::uint8_t { kPause, kFail, kContinue, kRollback };
// What a run does when its money does not suffice for what it has to do next.
enum class WhenExceeded : std::uint8_t { kPause, kFail };
// What happens to a task (or a run) that finds its concurrency key full.
enum class WhenFull : std::uint8_t { kWait, kCancelOldest, kCancelNewest, kReject };
enum class WorkspaceMode : std::uint8_t { kNone, kRead, kWrite };

struct Input {
  std::string name;
  InputType type = InputType::kString;
  std::string description;
  std::optional<Value> fallback;  // none: the input is required
};

struct Retry {
  std::uint32_t max_attempts = 3;  // 1: never retried
  std::int64_t backoff_ms = 1'000;
  std::int64_t max_backoff_ms = 300'000;
  std::uint32_t multiplier_permille = 2'000;
  std::uint32_t jitter_permille = 300;  // of the backoff, added: backoff × [1, 1 + jitter]
};

// The four timeouts. A queue wait is schedule_to_start; one attempt is start_to_close; all attempts with
// their waits are schedule_to_close; heartbeat is the longest silence of the agent that holds the lease.
struct Timeouts {
  std::int64_t schedule_to_start_ms = 0;
  std::int64_t start_to_close_ms = 3'600'000;
  std::int64_t schedule_to_close_ms = 0;
  std::int64_t heartbeat_ms = 30'000;
};

struct Concurrency {
  Template key;
  std::uint32_t limit = 1;
  WhenFull when_full = WhenFull::kWait;
};

// At most `limit` starts in any stretch of `per_ms`, over all tasks with that key.
struct Rate {
  Template key;
  std::uint32_t limit = 1;
  std::int64_t per_ms = 60'000;
};

struct Sandbox {
  bool network = false;
  std::uint32_t memory_mb = 2'048;
  std::uint32_t processes = 512;
  std::uint32_t output_mb = 16;
  std::uint32_t disk_mb = 4'096;
  std::uint32_t cpu_s = 0;
};

struct AgentNeed {
  std::string type = "exec";
  std::vector<std::string> capabilities;  // sorted; an agent must have all
  std::vector<std::string> models;        // patterns of the models that it may use, as written; empty: all
  // For agents that ask a model; empty and 0: what the agent type says.
  std::string model;
  std::uint32_t max_turns = 0;
  std::uint32_t max_tokens = 0;
};

// Who settles what does not merge before a person has to; docs/guide/resolver.md.
struct Resolver {
  AgentNeed agent;                              // without capabilities: it works where the merge is
  std::optional<Template> run;                  // of an exec resolver: its script
  std::optional<Template> prompt;               // of all others: what they are told besides; may be absent
  std::uint32_t tries = 2;                      // of one merge
  std::int64_t timeout_ms = 600'000;            // of one try
  std::optional<std::int64_t> budget_microusd;  // the most that the tries of one merge may cost
};
inline constexpr std::uint32_t kMaxResolverTries = 10;
inline constexpr std::int64_t kMaxResolverTimeoutMs = 7LL * 24 * 3'600'000;

struct Approval {
  std::string role;  // empty: anyone who may decide approvals
  std::optional<Template> message;
};

// What a task without an agent waits for: a stretch of time, a moment, or a signal.
struct Wait {
  std::int64_t for_ms = 0;        // more than 0: so long
  std::optional<Template> until;  // a text: RFC 3339
  std::string signal;             // its name
  std::int64_t timeout_ms = 0;    // of a signal; 0: no limit
};

// A task that starts a run of another workflow of its namespace, its child, and ends as that does.
struct SubWorkflow {
  std::string name;
  std::uint32_t version = 0;                             // 0: the newest when it starts
  std::vector<std::pair<std::string, Template>> inputs;  // by name
};

// Values that a run shows under names, by name.
using NamedExpressions = std::vector<std::pair<std::string, Expression>>;
inline constexpr std::size_t kMaxNamedValues = 200;
inline constexpr std::uint32_t kDefaultChildren = 100;  // max_parallel of a for_each over sub-workflows
inline constexpr std::uint32_t kMaxChildren = 1'000;

struct Task {
  std::string id;
  std::string name;                         // shown to people; the id when the file gives none
  std::vector<std::uint32_t> dependencies;  // indexes into Workflow::tasks, as written
  std::vector<std::uint32_t> dependents;    // computed
  std::uint32_t depth_below = 0;            // longest chain of tasks below this one: the critical-path hint
  std::optional<Expression> when;
  std::optional<Template> for_each;
  std::uint32_t max_parallel = 0;  // of a for_each; 0: no limit
  AgentNeed agent;
  std::optional<Template> run;
  std::optional<Template> prompt;
  std::vector<std::pair<std::string, Template>> env;
  std::optional<Template> verify;
  WorkspaceMode workspace = WorkspaceMode::kNone;
  std::vector<std::string> artifacts;  // globs
  std::optional<Concurrency> concurrency;
  std::optional<Rate> rate;
  Retry retry;
  Timeouts timeout;
  OnFailure on_failure = OnFailure::kPause;
  bool checkpoint = false;
  std::optional<Priority> priority;  // none: the run's
  Sandbox sandbox;
  std::optional<Approval> approval;
  std::optional<std::int64_t> budget_microusd;  // the most that one attempt may cost
  std::optional<Wait> wait;                     // then it has no run and no prompt
  std::optional<SubWorkflow> workflow;          // likewise
  // Only with a workspace to write; shared by all tasks that have the workflow's. Null: a person at once.
  std::shared_ptr<const Resolver> resolver;
  Value mcp;            // MCP servers by name, as decode_llm.cc makes them; null: none
  Value output_schema;  // JSON Schema of what a model has to give; null: none
  // What undoes it, an index into Workflow::tasks. That task has `compensates` and depends on this one; it is
  // nobody's dependent and runs in a rollback only.
  std::optional<std::uint32_t> compensate;
  std::optional<std::uint32_t> compensates;

  // Only waits for a person: no agent is needed.
  [[nodiscard]] bool is_approval_only() const { return approval.has_value() && !run && !prompt && !workflow; }
  // The longest time of one attempt, or of its merge with all that a resolver may try; 0: no limit.
  [[nodiscard]] std::int64_t lease_ms(bool merge) const {
    const std::int64_t more = merge && resolver ? resolver->tries * resolver->timeout_ms : 0;
    return timeout.start_to_close_ms == 0 ? 0 : timeout.start_to_close_ms + more;
  }
  // Something has to be done by an agent.
  [[nodiscard]] bool needs_agent() const { return run.has_value() || prompt.has_value(); }
};

// How long finished runs of a workflow stay; 0: no limit of that kind. All 0: the server's rule.
struct Retain {
  std::int64_t days = 0;
  std::int64_t runs = 0;
};

struct ShippedFile {
  std::string path;  // relative, below $EZ_FILES
  std::string sha256;
  std::uint32_t mode = 0644;
};

struct Workflow {
  std::string name;
  std::string description;
  std::string namespace_name = "default";
  std::vector<Input> inputs;
  std::vector<std::pair<std::string, Template>> labels;  // of each run; sorted by name
  std::optional<Template> repository;
  std::optional<Template> branch;
  std::optional<Template> base;
  std::string files;  // folder beside the workflow file; empty: none
  Priority priority = Priority::kNormal;
  std::int64_t budget_microusd = 0;
  std::int64_t deadline_ms = 0;
  std::uint32_t warn_permille = 800;  // of cost and of deadline: when to warn
  WhenExceeded when_exceeded = WhenExceeded::kPause;
  std::optional<Retain> retention;         // none: the rule of the server
  std::optional<Concurrency> concurrency;  // of whole runs
  NamedExpressions outputs;                // evaluated when a run has succeeded
  NamedExpressions queries;                // evaluated when somebody asks
  std::vector<Task> tasks;
  bool rolls_back = false;   // computed: a task says on_failure: rollback
  bool starts_runs = false;  // computed: a task starts another workflow
  std::shared_ptr<const Resolver>
      resolver;  // of the file's top level, for its tasks; not in the canonical form
  // Computed: the largest budget of a resolver. Tasks that take all the money that is left leave so much.
  std::int64_t resolver_microusd = 0;

  // Index of the task with that id, or nullopt. O(log n).
  [[nodiscard]] std::optional<std::uint32_t> find_task(std::string_view id) const;
  // Whether a task waits for a signal of that name.
  [[nodiscard]] bool knows_signal(std::string_view signal) const;
  std::vector<std::uint32_t> by_id;  // task indexes sorted by id, for find_task
};

[[nodiscard]] std::string_view to_text(Priority priority);
[[nodiscard]] std::optional<Priority> parse_priority(std::string_view text);
[[nodiscard]] std::string_view to_text(OnFailure policy);
[[nodiscard]] std::string_view to_text(WhenExceeded policy);
[[nodiscard]] std::string_view to_text(WhenFull policy);
[[nodiscard]] std::string_view to_text(WorkspaceMode mode);
[[nodiscard]] std::string_view to_text(InputType type);

}  // namespace ez::orchestration
