// What waits for a person: the list over all live runs, and the decision.
#include "core/view.h"
#include "http/api/context.h"
#include "http/api/task_control.h"

namespace ez::http::api {
namespace {

using core::pb::ControlTask;
using security::Permission;

bool has_waiting(const core::Run& run) {
  for (int i = 0; i < core::kTaskStates; ++i) {
    if (core::waits_for_person(static_cast<core::TaskState>(i)) &&
        run.counts[static_cast<std::size_t>(i)] != 0)
      return true;
  }
  return false;
}

// Newest run first; within a run in the order of its tasks. The cursor names the last entry that was shown,
// so that decisions made meanwhile move nothing.
Status list_approvals(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "limit", "cursor"}));
  EZ_ASSIGN(const std::size_t limit, list_limit(request));
  EZ_ASSIGN(const std::vector<std::uint64_t> cursor, read_cursor('p', request, 2));
  const std::string name_space(request.name_space());
  // The cursor's own run comes again: it may have more.
  const RunId before{cursor.empty() ? 0 : cursor[0] + 1};
  scan_live(
      context, before, limit + 1,
      [name_space](const core::Run& run) {
        return has_waiting(run) && (name_space == "*" || run.workflow->namespace_name == name_space);
      },
      [&context, answer, limit, cursor](std::vector<Cow<core::Run>> runs) {
        render(context, answer, [answer, limit, cursor, runs] {
          Value::List items;
          std::uint64_t run_of_last = 0;
          std::uint64_t task_of_last = 0;
          for (const Cow<core::Run>& run : runs) {
            for (Value& item : core::approvals_view(*run)) {
              const std::uint32_t task = run->find(item.string_or("task", ""));
              if (!cursor.empty() && run->id.value == cursor[0] && task <= cursor[1]) continue;
              if (items.size() == limit) {
                answer->list(items, make_cursor('p', {run_of_last, task_of_last}));
                return;
              }
              run_of_last = run->id.value;
              task_of_last = task;
              items.push_back(std::move(item));
            }
          }
          answer->list(items, "");
        });
      });
  return {};
}

template <ControlTask::Action action>
Status decide(Context& context, Request& request, const DeferredPtr& answer) {
  return control_task(context, request, answer, action, Permission::kApprovalDecide);
}

}  // namespace

void add_approval_routes(Router& router, Context& context) {
  add_route(router, context, Method::kGet, "/v1/approvals", Permission::kRunRead,
            "List what waits for a person", list_approvals);
  add_route(router, context, Method::kPost, "/v1/runs/{run}/tasks/{task}/approve",
            Permission::kApprovalDecide, "Approve a task", decide<ControlTask::APPROVE>);
  add_route(router, context, Method::kPost, "/v1/runs/{run}/tasks/{task}/reject", Permission::kApprovalDecide,
            "Reject a task", decide<ControlTask::REJECT>);
}

}  // namespace ez::http::api
