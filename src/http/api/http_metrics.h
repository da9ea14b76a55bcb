// HttpMetrics: requests and latencies by route. observe() takes no lock once a route has been seen.
//
// Threads: observe() from any. The router's routes must be complete and outlive this (they are found by the
// address of their pattern, which the server keeps).
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <unordered_map>

#include "http/server.h"
#include "telemetry/metrics.h"

namespace ez::http::api {

class HttpMetrics {
 public:
  HttpMetrics(telemetry::Registry& registry, const Router& router);
  void observe(const Access& access);

 private:
  struct Series {
    Method method = Method::kOther;
    std::string route;
    std::array<std::atomic<telemetry::Counter*>, 6> by_class{};  // of the status, 5 for 5xx
    std::atomic<telemetry::Histogram*> latency{nullptr};
  };
  [[nodiscard]] Series& series_of(const Access& access);

  telemetry::Family<telemetry::Counter>& requests_;
  telemetry::Family<telemetry::Histogram>& latencies_;
  std::unordered_map<const char*, std::unique_ptr<Series>> routes_;  // by Route::pattern.data()
  Series unmatched_;
};

}  // namespace ez::http::api
