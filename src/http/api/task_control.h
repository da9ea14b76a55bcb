// Decisions on one task, shared by tasks.cc and approvals.cc. Internal to http/api/.
#pragma once

#include <string>

#include "http/api/context.h"
#include "http/api/fields.h"

namespace ez::http::api {

// Errors: TASK_NOT_FOUND.
[[nodiscard]] Result<std::uint32_t> task_index(const core::Run& run, const std::string& task);

inline constexpr std::size_t kMaxRestartTasks = 1'000;
// The member `mode`: keep, redo or nothing.
[[nodiscard]] std::string read_restart_mode(Fields& fields);
// POST …/tasks/{task}/retry {comment?, mode?}: without a mode a task that waits for a person tries again;
// with one it is done again although it has ended, and with redo what follows it too.
[[nodiscard]] Status retry_task(Context& context, Request& request, const DeferredPtr& answer);

// POST …/tasks/{task}/<action> {comment?}: asks for `permission` in the run's namespace and, for a decision
// on an approval with a role, for that role; answers with the task as it is afterwards.
[[nodiscard]] Status control_task(Context& context, Request& request, const DeferredPtr& answer,
                                  core::pb::ControlTask::Action action, security::Permission permission);

}  // namespace ez::http::api
