// Resumption: a finished run that did not succeed is taken up by a new run that keeps what was done.
#pragma once

#include <string>

#include "base/result.h"
#include "core/command.pb.h"
#include "core/state.h"

namespace ez::engine {

// The StartRun command for a run that takes over every completed task of `run` (succeeded, skipped, failed
// with on_failure: continue) and starts its branch where the old one ended. With `checkpoint` (the id of a
// task with `checkpoint: true`) only what was complete when that task was, and the branch as it was then.
// Errors: WRONG_STATE (the run succeeded or is not over), TASK_NOT_FOUND (no such completed checkpoint).
[[nodiscard]] Result<core::pb::StartRun> resume_command(const core::Run& run, const std::string& checkpoint);

}  // namespace ez::engine
