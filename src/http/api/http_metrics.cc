#include "http/api/http_metrics.h"

namespace ez::http::api {
namespace {
constexpr std::size_t kMaxSeries = 1'024;
constexpr std::string_view kClasses[] = {"other", "1xx", "2xx", "3xx", "4xx", "5xx"};
constexpr double kMicrosecondsPerSecond = 1e6;
}  // namespace

HttpMetrics::HttpMetrics(telemetry::Registry& registry, const Router& router)
    : requests_(registry.counters("ez_http_requests_total",
                                  "Answered HTTP requests by route and class of status.",
                                  {"method", "route", "status"}, {.max_series = kMaxSeries})),
      latencies_(
          registry.histograms("ez_http_request_duration_seconds",
                              "From the complete request to the first byte of the answer; long-polls include "
                              "their wait.",
                              {"method", "route"}, telemetry::latency_bounds(), {.max_series = kMaxSeries})) {
  unmatched_.route = "none";
  for (const Route* route : router.routes()) {
    auto series = std::make_unique<Series>();
    series->method = route->method;
    series->route = route->pattern;
    routes_[route->pattern.data()] = std::move(series);  // a text of its own, also where patterns are equal
  }
}

HttpMetrics::Series& HttpMetrics::series_of(const Access& access) {
  const auto found = access.route.empty() ? routes_.end() : routes_.find(access.route.data());
  return found == routes_.end() ? unmatched_ : *found->second;
}

void HttpMetrics::observe(const Access& access) {
  Series& series = series_of(access);
  const std::string_view method = &series == &unmatched_ ? "other" : method_name(series.method);
  const std::size_t status = access.status >= 100 && access.status < 600 ? access.status / 100 : 0;
  telemetry::Counter* counter = series.by_class[status].load(std::memory_order_acquire);
  if (counter == nullptr) {
    counter = &requests_.with({method, series.route, kClasses[status]});
    series.by_class[status].store(counter, std::memory_order_release);
  }
  counter->increment();
  telemetry::Histogram* latency = series.latency.load(std::memory_order_acquire);
  if (latency == nullptr) {
    latency = &latencies_.with({method, series.route});
    series.latency.store(latency, std::memory_order_release);
  }
  latency->observe(static_cast<double>(access.duration_us) / kMicrosecondsPerSecond);
}

}  // namespace ez::http::api
