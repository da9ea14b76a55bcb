// Values that a workflow shows of its runs: evaluated over the run as it is, live or finished, without
// touching it.
#include <algorithm>

#include "core/variables.h"
#include "http/api/context.h"

namespace ez::http::api {
namespace {

using security::Permission;

Status list_queries(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace"}));
  EZ_ASSIGN(const RunId run, run_of(request));
  with_run(context, answer, run, Permission::kRunRead, [answer](const Cow<core::Run>& found) {
    Value::List items;
    for (const auto& [name, expression] : found->definition().queries) {
      items.push_back(
          Value(Value::Map{{"name", Value(name)}, {"expression", Value(expression.source())}}));
    }
    answer->list(items, "");
  });
  return {};
}

Result<Value> answer_of(const core::Run& run, const std::string& name) {
  const auto& queries = run.definition().queries;
  const auto query =
      std::find_if(queries.begin(), queries.end(), [&](const auto& one) { return one.first == name; });
  if (query == queries.end()) {
    return Error(Code::QueryNotFound, run.definition().name + " version " +
                                          std::to_string(run.workflow->version) + " has no query " +
                                          name.substr(0, 64));
  }
  auto value = core::evaluate(run, nullptr, query->second);
  if (!value.ok()) return value.error().in("queries." + name);
  return Value(Value::Map{{"run", Value(to_text(run.id))},
                          {"query", Value(name)},
                          {"state", Value(core::to_text(run.state))},
                          {"value", std::move(value).value()}});
}

Status ask(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace"}));
  EZ_ASSIGN(const RunId run, run_of(request));
  with_run(context, answer, run, Permission::kRunRead,
           [answer, name = request.parameter("name")](const Cow<core::Run>& found) {
             const Result<Value> value = answer_of(*found, name);
             if (value.ok()) {
               answer->json(200, *value);
             } else {
               answer->problem(value.error());
             }
           });
  return {};
}

}  // namespace

void add_query_routes(Router& router, Context& context) {
  add_route(router, context, Method::kGet, "/v1/runs/{run}/queries", Permission::kRunRead,
            "List the queries of a run", list_queries);
  add_route(router, context, Method::kGet, "/v1/runs/{run}/queries/{name}", Permission::kRunRead,
            "Ask a query of a run", ask);
}

}  // namespace ez::http::api
