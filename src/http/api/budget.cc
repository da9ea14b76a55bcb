// The budget of a live run: raised, never lowered.
#include "core/view.h"
#include "http/api/context.h"
#include "http/api/fields.h"
#include "orchestration/text.h"

namespace ez::http::api {
namespace {

using security::Permission;

Status adjust_budget(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const RunId run, run_of(request));
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  core::pb::AdjustBudget adjust;
  adjust.set_run(run.value);
  adjust.set_add_microusd(fields.number("add_microusd", 0, 0, orchestration::kMaxMoneyMicrousd));
  adjust.set_extend_ms(fields.number("extend_ms", 0, 0, orchestration::kMaxDurationMs));
  adjust.set_comment(fields.text("comment", kMaxCommentBytes));
  EZ_TRY(fields.done());
  adjust.set_principal(answer->principal());
  with_run(context, answer, run, Permission::kRunControl,
           [&context, answer, run, adjust](const Cow<core::Run>& found) {
             if (core::is_terminal(found->state)) {
               answer->problem(Error(Code::WrongState, to_text(run) + " is over: it " +
                                                           std::string(core::to_text(found->state))));
               return;
             }
             core::pb::Command command;
             *command.mutable_adjust_budget() = adjust;
             propose(context, answer, std::move(command), [&context, answer, run](const core::Reply&) {
               with_run(context, answer, run, Permission::kRunControl,
                        [answer](const Cow<core::Run>& now) { answer->json(200, core::run_summary(*now)); });
             });
           });
  return {};
}

}  // namespace

void add_budget_routes(Router& router, Context& context) {
  add_route(router, context, Method::kPost, "/v1/runs/{run}/budget", Permission::kRunControl,
            "Raise the budget of a run", adjust_budget);
}

}  // namespace ez::http::api
