// A live run moves to another version of its workflow.
#include "core/migration.h"
#include "http/api/context.h"
#include "http/api/fields.h"

namespace ez::http::api {
namespace {

using security::Permission;

// What was planned is answered; the command plans it again, on whatever the run is by then.
void propose_migration(Context& context, const DeferredPtr& answer, core::pb::Command command, Value view) {
  propose(context, answer, std::move(command),
          [answer, view = std::move(view)](const core::Reply&) { answer->json(200, view); });
}

void migrate(Context& context, const DeferredPtr& answer, const core::pb::MigrateRun& wanted, bool preview) {
  context.services.engine.read([&context, answer, wanted, preview](const core::State& state) {
    const RunId id{wanted.run()};
    const core::Run* run = state.find_run(id);
    if (run == nullptr) {
      answer->problem(Error(Code::WrongState, to_text(id) + " is over"));
      return;
    }
    if (wanted.from_version() != 0 && wanted.from_version() != run->workflow->version) {
      answer->problem(Error(Code::WrongState, to_text(id) + " has version " +
                                                  std::to_string(run->workflow->version) + ", not " +
                                                  std::to_string(wanted.from_version())));
      return;
    }
    const auto plan = core::plan_migration(state, *run, wanted.to_version());
    if (!plan.ok()) {
      answer->problem(plan.error());
      return;
    }
    Value view = core::migration_view(*run, *plan);
    view.set("preview", Value(preview));
    if (preview) {
      answer->json(200, view);
      return;
    }
    core::pb::Command command;
    core::pb::MigrateRun& body = *command.mutable_migrate_run();
    body = wanted;
    body.set_from_version(run->workflow->version);
    body.set_to_version(plan->to->version);
    propose_migration(context, answer, std::move(command), std::move(view));
  });
}

Status migrate_run(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(const RunId run, run_of(request));
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  core::pb::MigrateRun wanted;
  wanted.set_run(run.value);
  wanted.set_to_version(static_cast<std::uint32_t>(fields.number("version", 0, 1, UINT32_MAX)));
  wanted.set_from_version(static_cast<std::uint32_t>(fields.number("from", 0, 1, UINT32_MAX)));
  wanted.set_principal(answer->principal());
  const bool preview = fields.flag("preview", false);
  EZ_TRY(fields.done());
  with_run(context, answer, run, Permission::kRunControl,
           [&context, answer, wanted, preview](const Cow<core::Run>&) {
             migrate(context, answer, wanted, preview);
           });
  return {};
}

}  // namespace

void add_migrate_routes(Router& router, Context& context) {
  add_route(router, context, Method::kPost, "/v1/runs/{run}/migrate", Permission::kRunControl,
            "Move a live run to another version of its workflow", migrate_run);
}

}  // namespace ez::http::api
