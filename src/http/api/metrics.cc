// Metrics that are read when they are asked for. tests/golden/metrics.txt lists all names.
#include "http/api/context.h"

namespace ez::http::api {
namespace {

using engine::EngineCounters;
using telemetry::CollectKind;
using telemetry::Samples;

struct EngineMetric {
  std::string_view name;
  std::string_view help;
  CollectKind kind;
  double (*value)(const EngineCounters&);
};

constexpr EngineMetric kEngineMetrics[] = {
    {"ez_leading", "1 while this server leads the log.", CollectKind::kGauge,
     [](const EngineCounters& c) { return c.leading ? 1.0 : 0.0; }},
    {"ez_log_records_total", "Records of the log that were applied.", CollectKind::kCounter,
     [](const EngineCounters& c) { return static_cast<double>(c.kernel.records); }},
    {"ez_log_first_index", "Index of the oldest record that is kept.", CollectKind::kGauge,
     [](const EngineCounters& c) { return static_cast<double>(c.log_first); }},
    {"ez_log_last_index", "Index of the newest record.", CollectKind::kGauge,
     [](const EngineCounters& c) { return static_cast<double>(c.log_last); }},
    {"ez_commands_total", "Commands that were applied.", CollectKind::kCounter,
     [](const EngineCounters& c) { return static_cast<double>(c.kernel.commands); }},
    {"ez_commands_refused_total", "Commands that the log did not take.", CollectKind::kCounter,
     [](const EngineCounters& c) { return static_cast<double>(c.kernel.refused); }},
    {"ez_commands_pending", "Commands that wait for the log.", CollectKind::kGauge,
     [](const EngineCounters& c) { return static_cast<double>(c.pending_proposals); }},
    {"ez_snapshots_total", "Snapshots that were written.", CollectKind::kCounter,
     [](const EngineCounters& c) { return static_cast<double>(c.kernel.snapshots); }},
    {"ez_runs_live", "Runs that are not over.", CollectKind::kGauge,
     [](const EngineCounters& c) { return static_cast<double>(c.live_runs); }},
    {"ez_runs_started_total", "Runs that were started.", CollectKind::kCounter,
     [](const EngineCounters& c) { return static_cast<double>(c.kernel.runs_started); }},
    {"ez_runs_finished_total", "Runs that ended, one way or the other.", CollectKind::kCounter,
     [](const EngineCounters& c) { return static_cast<double>(c.kernel.runs_finished); }},
    {"ez_tasks_ready", "Tasks that wait for an agent.", CollectKind::kGauge,
     [](const EngineCounters& c) { return static_cast<double>(c.ready_tasks); }},
    {"ez_tasks_assigned_total", "Leases that were granted.", CollectKind::kCounter,
     [](const EngineCounters& c) { return static_cast<double>(c.kernel.assigned); }},
    {"ez_leases", "Leases that agents hold.", CollectKind::kGauge,
     [](const EngineCounters& c) { return static_cast<double>(c.leases); }},
    {"ez_leases_expired_total", "Leases that ended because their agent was silent.", CollectKind::kCounter,
     [](const EngineCounters& c) { return static_cast<double>(c.kernel.leases_expired); }},
    {"ez_agents", "Registered agents.", CollectKind::kGauge,
     [](const EngineCounters& c) { return static_cast<double>(c.agents); }},
    {"ez_agents_waiting", "Requests of agents that wait for work.", CollectKind::kGauge,
     [](const EngineCounters& c) { return static_cast<double>(c.waiting_demands); }},
    {"ez_timers", "Deadlines and backoffs of tasks that are running.", CollectKind::kGauge,
     [](const EngineCounters& c) { return static_cast<double>(c.timers); }},
};

struct ServerMetric {
  std::string_view name;
  std::string_view help;
  CollectKind kind;
  double (*value)(const ServerFigures&);
};

constexpr ServerMetric kServerMetrics[] = {
    {"ez_http_connections", "Open connections.", CollectKind::kGauge,
     [](const ServerFigures& f) { return static_cast<double>(f.connections); }},
    {"ez_http_connections_accepted_total", "Connections that were accepted.", CollectKind::kCounter,
     [](const ServerFigures& f) { return static_cast<double>(f.accepted); }},
    {"ez_http_connections_refused_total", "Connections that were beyond the limit.", CollectKind::kCounter,
     [](const ServerFigures& f) { return static_cast<double>(f.refused); }},
};

struct OwnMetric {
  std::string_view name;
  std::string_view help;
  CollectKind kind;
  double (*value)(Context&);
};

constexpr OwnMetric kOwnMetrics[] = {
    {"ez_event_streams", "Open event streams.", CollectKind::kGauge,
     [](Context& c) { return static_cast<double>(c.followers.load()); }},
    {"ez_http_long_polls", "Requests that wait with a deadline.", CollectKind::kGauge,
     [](Context& c) { return static_cast<double>(c.timers.size()); }},
    {"ez_http_answers_queued", "Answers that wait to be written as JSON.", CollectKind::kGauge,
     [](Context& c) { return static_cast<double>(c.renders.waiting()); }},
    {"ez_http_transfers_queued", "Requests that wait for the disk.", CollectKind::kGauge,
     [](Context& c) { return static_cast<double>(c.transfers.waiting()); }},
    {"ez_blobs", "Stored blobs.", CollectKind::kGauge,
     [](Context& c) { return static_cast<double>(c.services.blobs.count()); }},
    {"ez_blob_bytes", "Bytes of all blobs as stored.", CollectKind::kGauge,
     [](Context& c) { return static_cast<double>(c.services.blobs.stored_bytes()); }},
    {"ez_attempt_log_bytes", "Bytes of all logs of attempts.", CollectKind::kGauge,
     [](Context& c) { return static_cast<double>(c.services.logs.stored_bytes()); }},
};

}  // namespace

void collect_metrics(Context& context) {
  telemetry::Registry& registry = context.services.metrics;
  const auto keep = [&](std::string_view name, std::string_view help, CollectKind kind,
                        std::function<void(Samples&)> collect) {
    context.collected.push_back(registry.collect(name, help, kind, {}, std::move(collect)));
  };
  for (const EngineMetric& metric : kEngineMetrics) {
    keep(metric.name, metric.help, metric.kind, [&context, value = metric.value](Samples& samples) {
      samples.add({}, value(context.services.engine.counters()));
    });
  }
  for (const ServerMetric& metric : kServerMetrics) {
    keep(metric.name, metric.help, metric.kind, [&context, value = metric.value](Samples& samples) {
      std::lock_guard lock(context.server_mutex);
      if (context.server != nullptr) samples.add({}, value(context.server->figures()));
    });
  }
  for (const OwnMetric& metric : kOwnMetrics) {
    keep(metric.name, metric.help, metric.kind,
         [&context, value = metric.value](Samples& samples) { samples.add({}, value(context)); });
  }
  context.collected.push_back(
      registry.collect("ez_results_total", "Results that agents reported, by what became of them.",
                       CollectKind::kCounter, {"status"}, [&context](Samples& samples) {
                         const engine::KernelCounters counters = context.services.engine.counters().kernel;
                         samples.add({"accepted"}, static_cast<double>(counters.results_accepted));
                         samples.add({"duplicate"}, static_cast<double>(counters.results_duplicate));
                         samples.add({"stale"}, static_cast<double>(counters.results_stale));
                       }));
  context.collected.push_back(registry.collect(
      "ez_build_info", "1; the label says which ez this is.", CollectKind::kGauge, {"version"},
      [&context](Samples& samples) { samples.add({context.services.version}, 1); }));
  for (telemetry::CollectHandle& handle : telemetry::register_process_metrics(registry)) {
    context.collected.push_back(std::move(handle));
  }
}

}  // namespace ez::http::api
