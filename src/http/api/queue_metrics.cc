// Metrics of the queue and its brokers. tests/golden/metrics.txt lists all names.
#include "http/api/context.h"
#include "queue/manager/manager.h"

namespace ez::http::api {
namespace {

using queue::EmbeddedFigures;
using telemetry::CollectKind;
using telemetry::Samples;

struct QueueMetric {
  std::string_view name;
  std::string_view help;
  CollectKind kind;
  std::uint64_t EmbeddedFigures::*value;
};

constexpr QueueMetric kQueueMetrics[] = {
    {"ez_queue_topics", "Topics of the queue.", CollectKind::kGauge, &EmbeddedFigures::topics},
    {"ez_queue_messages", "Messages that are kept.", CollectKind::kGauge, &EmbeddedFigures::messages},
    {"ez_queue_bytes", "Bytes of the messages that are kept.", CollectKind::kGauge, &EmbeddedFigures::bytes},
    {"ez_queue_dead_letters", "Dead letters that are kept.", CollectKind::kGauge, &EmbeddedFigures::dead},
    {"ez_queue_published_total", "Messages that were accepted.", CollectKind::kCounter,
     &EmbeddedFigures::published},
    {"ez_queue_duplicates_total", "Messages whose id was known.", CollectKind::kCounter,
     &EmbeddedFigures::duplicates},
    {"ez_queue_delivered_total", "Deliveries, repetitions among them.", CollectKind::kCounter,
     &EmbeddedFigures::delivered},
    {"ez_queue_acknowledged_total", "Deliveries that were acknowledged.", CollectKind::kCounter,
     &EmbeddedFigures::acknowledged},
    {"ez_queue_given_back_total", "Deliveries that were given back or whose lease ended: they come again.",
     CollectKind::kCounter, &EmbeddedFigures::given_back},
    {"ez_queue_expired_total", "Messages that outlived their time.", CollectKind::kCounter,
     &EmbeddedFigures::expired},
};

double real(std::uint64_t value) { return static_cast<double>(value); }

void collect_brokers(Context& context, queue::Manager& manager) {
  telemetry::Registry& registry = context.services.metrics;
  const auto keep = [&](std::string_view name, std::string_view help, CollectKind kind,
                        std::vector<std::string> labels, std::function<void(Samples&)> collect) {
    context.collected.push_back(registry.collect(name, help, kind, std::move(labels), std::move(collect)));
  };
  keep("ez_queue_backend_up", "1 while the broker answers.", CollectKind::kGauge, {"backend"},
       [&manager](Samples& samples) {
         for (const auto& one : manager.backends()) samples.add({one.name}, one.up ? 1 : 0);
       });
  keep("ez_queue_backend_round_trip_seconds", "Of the newest good check.", CollectKind::kGauge, {"backend"},
       [&manager](Samples& samples) {
         for (const auto& one : manager.backends()) {
           samples.add({one.name}, static_cast<double>(one.round_trip_us) / 1e6);
         }
       });
  keep("ez_queue_backend_sent_total", "Messages for a broker, by what it said.", CollectKind::kCounter,
       {"backend", "result"}, [&manager](Samples& samples) {
         for (const auto& one : manager.backends()) {
           samples.add({one.name, "accepted"}, real(one.sent));
           samples.add({one.name, "not_accepted"}, real(one.not_sent));
         }
       });
  keep("ez_queue_backend_received_total",
       "Messages from a broker: copies that came back, published by others (new, known, impossible).",
       CollectKind::kCounter, {"backend", "kind"}, [&manager](Samples& samples) {
         for (const auto& one : manager.backends()) {
           samples.add({one.name, "returned"}, real(one.own));
           samples.add({one.name, "from_others"}, real(one.strange));
           samples.add({one.name, "repeated"}, real(one.repeated));
           samples.add({one.name, "refused"}, real(one.refused));
         }
       });
  keep("ez_queue_active", "1: messages of the route go there now.", CollectKind::kGauge, {"route", "backend"},
       [&manager](Samples& samples) {
         for (const auto& one : manager.routes()) samples.add({one.topic, one.active}, 1);
       });
  keep("ez_queue_waiting_for_broker", "Messages of a direct route that no broker has confirmed yet.",
       CollectKind::kGauge, {"route"}, [&manager](Samples& samples) {
         for (const auto& one : manager.routes()) {
           if (one.direct) samples.add({one.topic}, real(one.waiting));
         }
       });
  keep("ez_queue_switches_total", "How often messages of a route were sent another way.",
       CollectKind::kCounter, {},
       [&manager](Samples& samples) { samples.add({}, real(manager.switches_total())); });
  keep("ez_queue_on_the_way", "Messages that a broker has still to bring back, by group.",
       CollectKind::kGauge, {},
       [&manager](Samples& samples) { samples.add({}, real(manager.on_the_way())); });
}

}  // namespace

void collect_queue_metrics(Context& context) {
  queue::EmbeddedBus* const bus = context.services.queue;
  if (bus == nullptr) return;
  telemetry::Registry& registry = context.services.metrics;
  for (const QueueMetric& metric : kQueueMetrics) {
    context.collected.push_back(registry.collect(
        metric.name, metric.help, metric.kind, {},
        [bus, value = metric.value](Samples& samples) { samples.add({}, real(bus->figures().*value)); }));
  }
  const auto by_topic = [&](std::string_view name, std::string_view help,
                            std::uint64_t (*value)(const queue::EmbeddedTopic&)) {
    context.collected.push_back(
        registry.collect(name, help, CollectKind::kGauge, {"topic"}, [bus, value](Samples& samples) {
          for (const queue::EmbeddedTopic& topic : bus->topics("")) {
            samples.add({topic.counts.topic}, real(value(topic)));
          }
        }));
  };
  by_topic("ez_queue_ready", "Messages that may be delivered now, of the slowest group.",
           [](const queue::EmbeddedTopic& topic) { return topic.counts.ready; });
  by_topic("ez_queue_in_flight", "Deliveries that are out and not settled.",
           [](const queue::EmbeddedTopic& topic) { return topic.counts.in_flight; });
  if (context.services.queue_manager != nullptr) collect_brokers(context, *context.services.queue_manager);
}

}  // namespace ez::http::api
