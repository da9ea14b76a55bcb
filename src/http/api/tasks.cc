// Tasks of a run: list, show, attempts, control.
#include "core/view.h"
#include "http/api/context.h"
#include "http/api/fields.h"
#include "http/api/task_control.h"

namespace ez::http::api {
namespace {

using core::pb::ControlTask;
using security::Permission;

Status list_tasks(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "state", "limit", "cursor"}));
  EZ_ASSIGN(const RunId run, run_of(request));
  EZ_ASSIGN(const std::size_t limit, list_limit(request));
  EZ_ASSIGN(const std::vector<std::uint64_t> cursor, read_cursor('t', request, 1));
  std::string state;
  if (const std::string* given = request.query.find("state")) state = *given;
  bool known = state.empty();
  for (int i = 0; i < core::kTaskStates; ++i)
    known = known || core::to_text(static_cast<core::TaskState>(i)) == state;
  if (!known)
    return Error(Code::RequestInvalid, "state: there is no task state '" + state.substr(0, 64) + "'");
  with_run(context, answer, run, Permission::kRunRead,
           [answer, limit, cursor, state](const Cow<core::Run>& found) {
             // Tasks are only ever added at the end of their run, so a place in it is a stable cursor.
             Value::List items;
             for (std::uint64_t i = cursor.empty() ? 0 : cursor[0]; i < found->tasks.size(); ++i) {
               const auto index = static_cast<std::uint32_t>(i);
               if (!state.empty() && core::to_text(found->tasks[index].state) != state) continue;
               if (items.size() == limit) {
                 answer->list(items, make_cursor('t', {i}));
                 return;
               }
               items.push_back(core::task_view(*found, index));
             }
             answer->list(items, "");
           });
  return {};
}

Status show_task(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const RunId run, run_of(request));
  with_run(context, answer, run, Permission::kRunRead,
           [answer, task = request.parameter("task")](const Cow<core::Run>& found) {
             const Result<std::uint32_t> index = task_index(*found, task);
             if (!index.ok()) {
               answer->problem(index.error());
             } else {
               answer->json(200, core::task_view(*found, *index));
             }
           });
  return {};
}

Status list_attempts(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const RunId run, run_of(request));
  with_run(context, answer, run, Permission::kRunRead,
           [answer, task = request.parameter("task")](const Cow<core::Run>& found) {
             const Result<std::uint32_t> index = task_index(*found, task);
             if (!index.ok()) {
               answer->problem(index.error());
             } else {
               answer->list(core::attempts_view(*found, *index).as_list(), "");
             }
           });
  return {};
}

template <ControlTask::Action action>
Status control(Context& context, Request& request, const DeferredPtr& answer) {
  return control_task(context, request, answer, action, Permission::kRunControl);
}

}  // namespace

Result<std::uint32_t> task_index(const core::Run& run, const std::string& task) {
  const std::uint32_t index = run.find(task);
  if (index != UINT32_MAX) return index;
  return Error(Code::TaskNotFound, "run " + to_text(run.id) + " has no task '" + task.substr(0, 128) + "'");
}

Status control_task(Context& context, Request& request, const DeferredPtr& answer, ControlTask::Action action,
                    Permission permission) {
  EZ_ASSIGN(const RunId run, run_of(request));
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  const std::string comment = fields.text("comment", kMaxCommentBytes);
  EZ_TRY(fields.done());
  const std::string task = request.parameter("task");
  with_run(context, answer, run, permission,
           [&context, answer, run, task, comment, action, permission](const Cow<core::Run>& found) {
             const Result<std::uint32_t> index = task_index(*found, task);
             const auto check = [&]() -> Status {
               if (!index.ok()) return index.error();
               if (core::is_terminal(found->state)) {
                 return Error(Code::WrongState,
                              to_text(run) + " is over: it " + std::string(core::to_text(found->state)));
               }
               const auto& approval = found->definition_of(found->tasks[*index]).approval;
               const bool decides = action == ControlTask::APPROVE || action == ControlTask::REJECT;
               if (!decides || !approval || approval->role.empty()) return {};
               const security::RoleInfo* role = security::find_role(approval->role);
               if (role == nullptr) {
                 return Error(Code::PermissionDenied,
                              "task " + task + " asks for the role " + approval->role + ", which nobody has",
                              "Correct the role in the workflow; the roles are admin, maintainer, operator, "
                              "viewer and agent.");
               }
               return answer->permit_role(role->role, found->workflow->namespace_name);
             };
             if (const Status status = check(); !status.ok()) {
               answer->problem(status.error());
               return;
             }
             core::pb::Command command;
             ControlTask& body_of = *command.mutable_control_task();
             body_of.set_run(run.value);
             body_of.set_task(task);
             body_of.set_action(action);
             body_of.set_principal(answer->principal());
             body_of.set_comment(comment);
             propose(context, answer, std::move(command),
                     [&context, answer, run, task, permission](const core::Reply&) {
                       with_run(context, answer, run, permission, [answer, task](const Cow<core::Run>& now) {
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

void add_task_routes(Router& router, Context& context) {
  constexpr std::string_view kTask = "/v1/runs/{run}/tasks/{task}";
  const auto below = [&](std::string_view rest) { return std::string(kTask) + std::string(rest); };
  add_route(router, context, Method::kGet, "/v1/runs/{run}/tasks", Permission::kRunRead,
            "List the tasks of a run", list_tasks);
  add_route(router, context, Method::kGet, kTask, Permission::kRunRead, "Show a task", show_task);
  add_route(router, context, Method::kGet, below("/attempts"), Permission::kRunRead,
            "List the attempts of a task", list_attempts);
  add_route(router, context, Method::kPost, below("/retry"), Permission::kRunControl, "Retry a task",
            retry_task);
  add_route(router, context, Method::kPost, below("/cancel"), Permission::kRunControl, "Cancel a task",
            control<ControlTask::CANCEL>);
}

}  // namespace ez::http::api
