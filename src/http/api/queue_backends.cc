// Queues: the brokers that messages travel through, which way they go now, and when that changed.
#include "base/json.h"
#include "http/api/queue_view.h"
#include "queue/manager/manager.h"

namespace ez::http::api {
namespace {

using security::Permission;

Value count_of(std::uint64_t value) { return Value(static_cast<std::int64_t>(value)); }
Value moment(std::int64_t ms) { return ms == 0 ? Value() : Value(format_time(ms)); }

Value backend_view(const queue::BackendStatus& backend) {
  return Value(Value::Map{{"name", Value(backend.name)},
                          {"kind", Value(backend.kind)},
                          {"url", Value(backend.url)},
                          {"up", Value(backend.up)},
                          {"since", moment(backend.since_ms)},
                          {"round_trip_us", Value(backend.round_trip_us)},
                          {"problem", Value(backend.why.empty() ? backend.trouble : backend.why)},
                          {"sent", count_of(backend.sent)},
                          {"not_sent", count_of(backend.not_sent)},
                          {"returned", count_of(backend.own)},
                          {"from_others", count_of(backend.strange)},
                          {"repeated", count_of(backend.repeated)},
                          {"refused", count_of(backend.refused)}});
}

Value route_view(const queue::RouteStatus& route) {
  return Value(Value::Map{{"topic", Value(route.topic)},
                          {"primary", Value(route.primary)},
                          {"fallback", Value(route.fallback)},
                          {"consumers", Value(route.direct ? "broker" : "ez")},
                          {"active", Value(route.active)},
                          {"moved", Value(route.moved)},
                          {"held", Value(route.held)},
                          {"since", moment(route.since_ms)},
                          {"waiting", count_of(route.waiting)}});
}

Value switch_view(const queue::QueueSwitch& one) {
  return Value(Value::Map{{"epoch", count_of(one.epoch)},
                          {"at", moment(one.at_ms)},
                          {"route", Value(one.route)},
                          {"from", Value(one.from)},
                          {"to", Value(one.to)},
                          {"why", Value(one.why)}});
}

Status show_backends(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({}));
  queue::Manager* const manager = context.services.queue_manager;
  if (manager == nullptr) return Error(Code::NotLeader, "this server has no queue");
  transfer(context, answer, [answer, manager] {
    Value::List backends;
    for (const auto& one : manager->backends()) backends.push_back(backend_view(one));
    Value::List routes;
    for (const auto& one : manager->routes()) routes.push_back(route_view(one));
    Value::List switches;
    for (const auto& one : manager->switches()) switches.push_back(switch_view(one));
    answer->json(200, Value(Value::Map{{"backends", Value(std::move(backends))},
                                       {"routes", Value(std::move(routes))},
                                       {"switches", Value(std::move(switches))}}));
  });
  return {};
}

}  // namespace

void add_queue_backend_routes(Router& router, Context& context) {
  add_route(router, context, Method::kGet, "/v1/queue-backends", Permission::kRunRead,
            "Brokers, routes and switches", show_backends);
}

}  // namespace ez::http::api
