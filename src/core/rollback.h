// A failed run that undoes what it did (on_failure: rollback). docs/guide/rollback.md is the promise.
//
// What is under way is stopped, and when the agents have said so, the compensations of the tasks that had
// succeeded run one after the other: the last one that succeeded is undone first, and never before what
// depends on it. A compensation is a task of the definition that is skipped unless a rollback comes to it;
// attempts, retries and leases of it are those of any task. Then the run has failed, with the error that
// began it.
#pragma once

#include <string>
#include <vector>

#include "base/value.h"
#include "core/progress.h"

namespace ez::core {

[[nodiscard]] inline bool rolls_back(const Run& run) { return run.rollback && !run.rollback->over; }

// Stops what is under way; settle() goes on with the compensations.
void begin_rollback(Context& context, Run& run, TaskError error);

// The run as a whole has failed: it is rolled back when its workflow does so, else it is stopped.
void fail_run(Context& context, Run& run, TaskError error);

// Nothing of the run is open: the next compensation begins (true), something is still being stopped (false),
// or the run has ended.
[[nodiscard]] bool go_on_rollback(Context& context, Run& run);

// Whether agents still work on what was cancelled.
[[nodiscard]] bool is_stopping(const State& state, const Run& run);

// The compensations of what has succeeded, in the order in which they run.
[[nodiscard]] std::vector<std::uint32_t> compensation_order(const Run& run);

// "under_way", "done" (everything was undone) or "incomplete"; empty when there was none.
[[nodiscard]] std::string_view rollback_state(const Run& run);
// {"state", "tasks" (in order), "next"} or null.
[[nodiscard]] Value rollback_view(const Run& run);

}  // namespace ez::core
