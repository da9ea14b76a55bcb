// Resumption: a finished run that did not succeed is taken up by a new run that keeps what was done.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "core/command.pb.h"
#include "core/state.h"

namespace ez::engine {

// The StartRun command for a run that takes over every completed task of `run` (succeeded, skipped, failed
// with on_failure: continue) and starts its branch where the old one ended. With `checkpoint` (the id of a
// task with `checkpoint: true`) only what was complete when that task was, and the branch as it was then.
// Errors: WRONG_STATE (the run succeeded or is not over), TASK_NOT_FOUND (no such completed checkpoint).
[[nodiscard]] Result<core::pb::StartRun> resume_command(const core::Run& run, const std::string& checkpoint);

// The StartRun command for a run that does the chosen tasks of a finished run again, whatever became of it:
// with `redo` also everything that follows them, otherwise what follows keeps its results. Its branch starts
// where the last merge that is kept left the old one: work that is done again and was merged before that
// stays in it. Errors: WRONG_STATE (the run is not over), TASK_NOT_FOUND.
[[nodiscard]] Result<core::pb::StartRun> restart_command(const core::Run& run,
                                                         const std::vector<std::string>& tasks, bool redo);

// The StartRun command for a run that takes over whatever is complete of `run`, live or not: what an import
// of a live run does.
[[nodiscard]] core::pb::StartRun continue_command(const core::Run& run);

}  // namespace ez::engine
