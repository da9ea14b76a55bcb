// A task of a live run, tried or done again.
#include "core/view.h"
#include "http/api/task_control.h"

namespace ez::http::api {
namespace {

using security::Permission;

core::pb::Command command_for(RunId run, const std::string& task, const std::string& mode,
                              const std::string& principal, const std::string& comment) {
  core::pb::Command command;
  const auto fill = [&](auto& body) {
    body.set_run(run.value);
    body.set_task(task);
    body.set_principal(principal);
    body.set_comment(comment);
  };
  if (mode.empty()) {
    fill(*command.mutable_control_task());
    command.mutable_control_task()->set_action(core::pb::ControlTask::RETRY);
  } else {
    fill(*command.mutable_restart_task());
    command.mutable_restart_task()->set_redo(mode == "redo");
  }
  return command;
}

}  // namespace

std::string read_restart_mode(Fields& fields) {
  std::string mode = fields.line("mode", 16);
  if (!mode.empty() && mode != "keep" && mode != "redo") fields.fail("mode", "must be keep or redo");
  return mode;
}

Status retry_task(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const RunId run, run_of(request));
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  const std::string comment = fields.text("comment", kMaxCommentBytes);
  const std::string mode = read_restart_mode(fields);
  EZ_TRY(fields.done());
  const std::string task = request.parameter("task");
  with_run(
      context, answer, run, Permission::kRunControl,
      [&context, answer, run, task, mode, comment](const Cow<core::Run>& found) {
        const Result<std::uint32_t> index = task_index(*found, task);
        if (!index.ok()) {
          answer->problem(index.error());
          return;
        }
        if (core::is_terminal(found->state)) {
          answer->problem(Error(Code::WrongState,
                                to_text(run) + " is over: it " + std::string(core::to_text(found->state)),
                                "Start a run that does this task again with `ez retry RUN TASK --redo`."));
          return;
        }
        propose(context, answer, command_for(run, task, mode, answer->principal(), comment),
                [&context, answer, run, task](const core::Reply&) {
                  with_run(context, answer, run, Permission::kRunControl,
                           [answer, task](const Cow<core::Run>& now) {
                             const Result<std::uint32_t> at = task_index(*now, task);
                             if (at.ok()) {
                               answer->json(200, core::task_view(*now, *at));
                             } else {
                               answer->problem(at.error());
                             }
                           });
                });
      });
  return {};
}

}  // namespace ez::http::api
