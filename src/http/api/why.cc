// Why a task waits, runs or ended.
#include "core/why.h"

#include "http/api/context.h"
#include "http/api/task_control.h"

namespace ez::http::api {
namespace {

using security::Permission;

Status why(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace"}));
  EZ_ASSIGN(const RunId run, run_of(request));
  with_run(context, answer, run, Permission::kRunRead,
           [&context, answer, run, task = request.parameter("task")](const Cow<core::Run>& found) {
             context.services.engine.read([answer, found, run, task](const core::State& state) {
               // The run as it is now, which may be further than when it was found.
               const core::Run* live = state.find_run(run);
               const core::Run& seen = live == nullptr ? *found : *live;
               const Result<std::uint32_t> index = task_index(seen, task);
               if (!index.ok()) {
                 answer->problem(index.error());
               } else {
                 answer->json(200, core::why_view(state, seen, *index));
               }
             });
           });
  return {};
}

}  // namespace

void add_why_routes(Router& router, Context& context) {
  add_route(router, context, Method::kGet, "/v1/runs/{run}/tasks/{task}/why", Permission::kRunRead,
            "Why a task waits, runs or ended", why);
}

}  // namespace ez::http::api
