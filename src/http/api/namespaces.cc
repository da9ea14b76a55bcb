// Namespaces: list, show, settings.
#include "core/view.h"
#include "http/api/context.h"
#include "http/api/fields.h"
#include "orchestration/fair_share.h"

namespace ez::http::api {
namespace {

using security::Permission;

// In order of name; the cursor is the last name itself.
Status list_namespaces(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "limit", "cursor"}));
  EZ_ASSIGN(const std::size_t limit, list_limit(request));
  std::string after;
  if (const std::string* given = request.query.find("cursor")) after = *given;
  context.services.engine.read([&context, answer, limit, after](const core::State& state) {
    std::vector<core::Namespace> page;
    for (auto at = state.namespace_ids.upper_bound(after);
         at != state.namespace_ids.end() && page.size() <= limit; ++at) {
      if (answer->permit(Permission::kRunRead, at->first).ok()) page.push_back(state.namespaces[at->second]);
    }
    render(context, answer, [answer, limit, page] {
      Value::List items;
      for (std::size_t i = 0; i < std::min(limit, page.size()); ++i)
        items.push_back(core::namespace_view(page[i]));
      answer->list(items, page.size() > limit ? page[limit - 1].name : "");
    });
  });
  return {};
}

void answer_namespace(Context& context, const DeferredPtr& answer, const std::string& name) {
  context.services.engine.read([answer, name](const core::State& state) {
    const auto found = state.namespace_ids.find(name);
    if (found == state.namespace_ids.end()) {
      answer->problem(Error(Code::NamespaceNotFound, "no namespace '" + name.substr(0, 64) + "'"));
    } else {
      answer->json(200, core::namespace_view(state.namespaces[found->second]));
    }
  });
}

Status show_namespace(Context& context, Request& request, const DeferredPtr& answer) {
  const std::string& name = request.parameter("name");
  EZ_TRY(answer->permit(Permission::kRunRead, name));
  answer_namespace(context, answer, name);
  return {};
}

Status set_namespace(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  core::pb::Command command;
  core::pb::SetNamespace& settings = *command.mutable_set_namespace();
  settings.set_name(request.parameter("name"));
  settings.set_weight(static_cast<std::uint32_t>(fields.number("weight", 0, 0, orchestration::kMaxWeight)));
  const std::int64_t most = fields.number("max_running", -1, 0, core::kMaxNamespaceTasks);
  settings.set_set_max_running(most >= 0);
  settings.set_max_running(static_cast<std::uint32_t>(std::max<std::int64_t>(most, 0)));
  settings.set_principal(answer->principal());
  if (settings.weight() == 0 && most < 0) fields.fail("weight", "or max_running must be given");
  EZ_TRY(fields.done());
  // A larger share for one is a smaller one for all others.
  EZ_TRY(answer->permit(Permission::kAdminWrite, "*"));
  propose(context, answer, std::move(command),
          [&context, answer, name = settings.name()](const core::Reply&) {
            answer_namespace(context, answer, name);
          });
  return {};
}

}  // namespace

void add_namespace_routes(Router& router, Context& context) {
  add_route(router, context, Method::kGet, "/v1/namespaces", Permission::kRunRead, "List namespaces",
            list_namespaces);
  add_route(router, context, Method::kGet, "/v1/namespaces/{name}", Permission::kRunRead, "Show a namespace",
            show_namespace);
  add_route(router, context, Method::kPost, "/v1/namespaces/{name}", Permission::kAdminWrite,
            "Set the share and the limit of a namespace", set_namespace);
}

}  // namespace ez::http::api
