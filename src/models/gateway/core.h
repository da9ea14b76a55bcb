// What the calls of one gateway share. Internal to gateway/.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>

#include "models/cassette/cassette.h"
#include "models/gateway/gateway.h"
#include "models/gateway/metrics.h"
#include "models/upstream/http_client.h"

namespace ez::models {

struct Gateway::Core {
  Core(GatewayOptions given, Bank& bank, Clock& given_clock, Random& given_random,
       telemetry::Registry& registry, telemetry::Redactor* given_redactor)
      : config(std::move(given.config)),
        clock(given_clock),
        random(given_random),
        redactor(given_redactor),
        ledger(bank, given_clock, [this] { flush_later(); }),
        metrics(registry) {}

  // Rows of many calls share a record of the log.
  void flush_later() {
    (void)http->post_after(kFlushEvery, [this] {
      if (ledger.flush()) flush_later();
    });
  }
  static constexpr std::chrono::milliseconds kFlushEvery{200};

  [[nodiscard]] KeyPool& pool(const Provider& provider) { return *pools.at(provider.name); }

  // Of the HTTP client's thread: thousandths of a hedge that may be sent, and calls that are watched for one.
  std::int64_t hedge_credit = 0;
  std::uint32_t hedge_timers = 0;

  std::atomic<bool> stopped{false};
  const ModelsConfig config;
  Clock& clock;
  Random& random;
  telemetry::Redactor* const redactor;
  Ledger ledger;
  GatewayMetrics metrics;
  std::map<std::string, std::unique_ptr<KeyPool>, std::less<>> pools;
  std::unique_ptr<CassetteFile> cassette;
  std::unique_ptr<HttpClient> http;  // last: its thread uses everything above
};

}  // namespace ez::models
