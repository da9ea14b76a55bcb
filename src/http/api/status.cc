// Is it alive, is it ready, how does it do: /healthz, /readyz, /metrics, /v1/status.
#include "base/clock.h"
#include "base/json.h"
#include "http/api/context.h"
#include "storage/files.h"

namespace ez::http::api {
namespace {

using security::Permission;

// What keeps this server from accepting work, if anything.
std::optional<Error> not_ready(Context& context) {
  if (const auto failure = context.services.engine.failure()) return failure;
  if (!context.services.engine.counters().leading)
    return Error(Code::NotLeader, "this server does not lead the log");
  const auto free = storage::free_bytes(context.services.data_dir.string());
  if (!free.ok()) return free.error();
  if (*free < context.services.reserve_bytes) {
    return Error(Code::LogDiskFull, std::to_string(*free) + " bytes are free in the data directory; " +
                                        std::to_string(context.services.reserve_bytes) +
                                        " are kept in reserve");
  }
  return std::nullopt;
}

Status show_metrics(Context& context, Request&, const DeferredPtr& answer) {
  transfer(context, answer, [&context, answer] {
    answer->responder().bytes(200, telemetry::Registry::content_type(), context.services.metrics.expose());
  });
  return {};
}

Value number(std::uint64_t value) { return Value(static_cast<std::int64_t>(value)); }

Status show_status(Context& context, Request&, const DeferredPtr& answer) {
  transfer(context, answer, [&context, answer] {
    const Services& services = context.services;
    const engine::EngineCounters counters = services.engine.counters();
    const std::int64_t now_ms = services.clock.now_ms();
    const std::optional<Error> problem = not_ready(context);
    Value view(
        Value::Map{{"version", Value(services.version)},
                   {"started_at", Value(format_time(context.started_ms))},
                   {"now", Value(format_time(now_ms))},
                   {"uptime_ms", Value(now_ms - context.started_ms)},
                   {"ready", Value(!problem.has_value())},
                   {"problem", problem ? Value(problem->to_string()) : Value()},
                   {"leading", Value(counters.leading)},
                   {"data_dir", Value(services.data_dir.string())},
                   {"runs", Value(Value::Map{{"live", number(counters.live_runs)},
                                             {"started", number(counters.kernel.runs_started)},
                                             {"finished", number(counters.kernel.runs_finished)}})},
                   {"tasks", Value(Value::Map{{"ready", number(counters.ready_tasks)},
                                              {"leased", number(counters.leases)},
                                              {"assigned", number(counters.kernel.assigned)},
                                              {"accepted", number(counters.kernel.results_accepted)}})},
                   {"agents", Value(Value::Map{{"registered", number(counters.agents)},
                                               {"waiting", number(counters.waiting_demands)}})},
                   {"log", Value(Value::Map{{"first_index", number(counters.log_first)},
                                            {"last_index", number(counters.log_last)},
                                            {"snapshots", number(counters.kernel.snapshots)}})},
                   {"storage", Value(Value::Map{{"blobs", number(services.blobs.count())},
                                                {"blob_bytes", number(services.blobs.stored_bytes())},
                                                {"log_bytes", number(services.logs.stored_bytes())}})},
                   {"event_streams", number(context.followers.load())}});
    answer->json(200, view);
  });
  return {};
}

void add_open_route(Router& router, std::string_view pattern, std::string_view summary, Handler handler) {
  Route route;
  route.pattern = pattern;
  route.summary = summary;
  route.handler = std::move(handler);
  route.body_limit = kSmallBody;
  router.add(std::move(route));
}

}  // namespace

void add_status_routes(Router& router, Context& context) {
  add_open_route(router, "/healthz", "Whether the process answers",
                 [](Request&, Responder responder) { responder.json(200, "{\"status\":\"ok\"}"); });
  add_open_route(router, "/readyz", "Whether work is accepted", [&context](Request&, Responder responder) {
    if (const auto problem = not_ready(context)) {
      // Whatever it is, to a load balancer it means "not now".
      std::string body = "{\"status\":\"not ready\",\"code\":";
      append_json_string(body, problem->name());
      body += ",\"detail\":";
      append_json_string(body, problem->message());
      body += ",\"hint\":";
      append_json_string(body, problem->hint());
      responder.header("Retry-After", "1").json(503, body + "}");
    } else {
      responder.json(200, "{\"status\":\"ready\"}");
    }
  });
  add_route(router, context, Method::kGet, "/metrics", Permission::kMetricsRead, "Metrics for Prometheus",
            show_metrics);
  add_route(router, context, Method::kGet, "/v1/status", Permission::kMetricsRead,
            "The server's state in figures", show_status);
}

}  // namespace ez::http::api
