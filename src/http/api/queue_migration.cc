// Queues: moving messages from one backend to another.
#include "base/json.h"
#include "http/api/fields.h"
#include "http/api/queue_view.h"
#include "queue/manager/manager.h"
#include "queue/manager/migration.h"

namespace ez::http::api {
namespace {

using security::Permission;

Value figure(std::uint64_t value) { return Value(static_cast<std::int64_t>(value)); }
Value time_or_null(std::int64_t ms) { return ms == 0 ? Value() : Value(format_time(ms)); }

Value migrated_topic_view(const queue::MigratedTopic& topic) {
  return Value(Value::Map{{"topic", Value(topic.topic)},
                          {"messages", figure(topic.messages)},
                          {"delayed", figure(topic.delayed)},
                          {"bytes", figure(topic.bytes)},
                          {"copied", figure(topic.copied)},
                          {"known", figure(topic.known)},
                          {"own", figure(topic.own)},
                          {"expired", figure(topic.expired)},
                          {"refused", figure(topic.refused)},
                          {"removed", figure(topic.removed)},
                          {"left", figure(topic.left)},
                          {"source_hash", Value(topic.source_hash)},
                          {"target_hash", Value(topic.target_hash)},
                          {"verified", Value(topic.verified)}});
}

Value migration_view(const queue::MigrationView& view) {
  Value::List topics;
  for (const queue::MigratedTopic& topic : view.topics) topics.push_back(migrated_topic_view(topic));
  Value::List routes;
  for (const std::string& route : view.routes) routes.push_back(Value(route));
  return Value(Value::Map{{"state", Value(std::string(queue::to_text(view.state)))},
                          {"from", Value(view.request.from)},
                          {"to", Value(view.request.to)},
                          {"topic", Value(view.request.topic.empty() ? "" : view.request.topic)},
                          {"began_at", time_or_null(view.began_ms)},
                          {"ended_at", time_or_null(view.ended_ms)},
                          {"switched", Value(view.switched)},
                          {"problem", Value(view.problem)},
                          {"routes", Value(std::move(routes))},
                          {"topics", Value(std::move(topics))}});
}

Result<queue::Migration*> migration_of(Context& context) {
  if (context.services.queue_manager == nullptr) return Error(Code::NotLeader, "this server has no queue");
  return &context.services.queue_manager->migration();
}

Status show_migration(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({}));
  EZ_ASSIGN(queue::Migration* const migration, migration_of(context));
  answer->json(200, migration_view(migration->view()));
  return {};
}

Status migrate_queues(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(queue::Migration* const migration, migration_of(context));
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  queue::MigrationRequest wanted;
  wanted.from = fields.need_line("from", 32);
  wanted.to = fields.need_line("to", 32);
  wanted.topic = fields.line("topic", queue::kMaxTopicBytes);
  wanted.append = fields.flag("append", false);
  const bool preview = fields.flag("preview", true);
  EZ_TRY(fields.done());
  transfer(context, answer, [answer, migration, wanted, preview] {
    if (preview) {
      const auto view = migration->preview(wanted);
      view.ok() ? answer->json(200, migration_view(*view)) : answer->problem(view.error());
      return;
    }
    const Status started = migration->start(wanted);
    started.ok() ? answer->json(202, migration_view(migration->view())) : answer->problem(started.error());
  });
  return {};
}

Status give_up_migration(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN(queue::Migration* const migration, migration_of(context));
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  EZ_TRY(fields.done());
  transfer(context, answer, [answer, migration] {
    const auto given_up = migration->give_up();
    given_up.ok() ? answer->json(200, migration_view(migration->view())) : answer->problem(given_up.error());
  });
  return {};
}

}  // namespace

void add_queue_migration_routes(Router& router, Context& context) {
  add_route(router, context, Method::kGet, "/v1/queue-migration", Permission::kAdminRead,
            "Show the newest migration of queues", show_migration);
  add_route(router, context, Method::kPost, "/v1/queue-migration", Permission::kAdminWrite,
            "Move messages from one backend to another", migrate_queues);
  add_route(router, context, Method::kPost, "/v1/queue-migration/give-up", Permission::kAdminWrite,
            "Give up an unfinished migration of queues", give_up_migration);
}

}  // namespace ez::http::api
