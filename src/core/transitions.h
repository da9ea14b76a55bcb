// The life of a task and of a run as tables: from, event, to. Anything that is not in the table cannot
// happen; asking for it is a broken invariant. docs/ARCHITECTURE.md draws both tables.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ez::core {

// Numbers are logged: append only.
enum class TaskState : std::uint8_t {
  kWaiting = 0,      // for its dependencies
  kApproval = 1,     // for a person, before it runs
  kThrottled = 2,    // for a place under its concurrency key or max_parallel
  kReady = 3,        // for an agent
  kRunning = 4,      // an agent holds the lease
  kMergeQueued = 5,  // accepted; another merge into the run branch goes first
  kMergeReady = 6,   // for an agent that merges
  kMerging = 7,      // an agent holds the lease of the merge
  kBackoff = 8,      // for the next attempt
  kConflict = 9,     // for a person: the merge conflicts
  kPaused = 10,      // for a person: attempts are exhausted (on_failure: pause)
  kExpanded = 11,    // a for_each whose instances are under way
  kSucceeded = 12,
  kFailed = 13,
  kSkipped = 14,
  kCancelled = 15,
  kTimer = 16,   // for time to pass (definition: wait)
  kSignal = 17,  // for a signal (definition: wait)
  kChild = 18,   // for the run that it started (definition: workflow)
};
inline constexpr int kTaskStates = 19;

enum class TaskEvent : std::uint8_t {
  kSkip,
  kAsk,       // needs a person's approval first
  kThrottle,  // no place under its key
  kEnqueue,   // may be given to an agent
  kLease,
  kQueueMerge,
  kEnqueueMerge,
  kLeaseMerge,
  kConflictFound,
  kBackOff,
  kPause,
  kExpand,
  kSucceed,
  kFail,
  kCancel,
  kRestart,  // a person wants it done again
  kReopen,   // of a for_each: one of its instances is done again
  kSleep,
  kAwaitSignal,
  kAwaitChild,
};

// Numbers are logged: append only.
enum class RunState : std::uint8_t {
  kRunning = 0,
  kPaused = 1,
  kSucceeded = 2,
  kFailed = 3,
  kCancelled = 4,
  kQueued = 5,  // for a place under the concurrency key of its workflow
};

inline constexpr int kRunStates = 6;

// The state after `event`, or nullopt when the table has no such row.
[[nodiscard]] std::optional<TaskState> next_state(TaskState from, TaskEvent event);

[[nodiscard]] constexpr bool is_terminal(TaskState state) {
  return state >= TaskState::kSucceeded && state <= TaskState::kCancelled;
}
[[nodiscard]] constexpr bool is_terminal(RunState state) {
  return state >= RunState::kSucceeded && state <= RunState::kCancelled;
}
[[nodiscard]] constexpr bool holds_agent(TaskState state) {
  return state == TaskState::kRunning || state == TaskState::kMerging;
}
// Needs a decision of a person before anything else happens to it.
[[nodiscard]] constexpr bool waits_for_person(TaskState state) {
  return state == TaskState::kApproval || state == TaskState::kConflict || state == TaskState::kPaused;
}

[[nodiscard]] std::string_view to_text(TaskState state);
[[nodiscard]] std::string_view to_text(RunState state);
[[nodiscard]] std::optional<RunState> parse_run_state(std::string_view text);

}  // namespace ez::core
