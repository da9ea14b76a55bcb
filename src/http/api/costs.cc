// What runs cost, line by line, and the totals of the server.
#include "base/json.h"
#include "core/view.h"
#include "http/api/context.h"

namespace ez::http::api {
namespace {

using security::Permission;

Status run_costs(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const RunId run, run_of(request));
  with_run(context, answer, run, Permission::kRunRead,
           [answer](const Cow<core::Run>& found) { answer->json(200, core::costs_view(*found)); });
  return {};
}

Status total_costs(Context& context, Request& request, const DeferredPtr& answer) {
  std::string name_space(request.name_space());
  if (name_space == "*") name_space.clear();
  context.services.engine.read([&context, answer, name_space](const core::State& state) {
    render(context, answer, [answer, name_space, totals = state.cost_totals] {
      answer->json(200, core::cost_totals_view(totals, name_space));
    });
  });
  return {};
}

}  // namespace

void add_cost_routes(Router& router, Context& context) {
  add_route(router, context, Method::kGet, "/v1/runs/{run}/costs", Permission::kRunRead,
            "What a run cost, by task, agent, model and key", run_costs);
  add_route(router, context, Method::kGet, "/v1/costs", Permission::kRunRead,
            "What all runs of a namespace cost, by model and key", total_costs);
}

}  // namespace ez::http::api
