// The gateway's figures for /metrics. Labels are bounded: providers and keys are configured, a model that a
// client names counts as itself only when a provider answered for it. Internal to gateway/.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "models/ledger/bank.h"
#include "telemetry/metrics.h"

namespace ez::models {

class GatewayMetrics {
 public:
  explicit GatewayMetrics(telemetry::Registry& registry);

  // One call is over. `outcome`: "ok", or the kind of the error ("rate_limit", "budget" …), or "cancelled".
  void call(std::string_view provider, std::string_view model, std::string_view outcome,
            std::int64_t duration_us);
  void first_byte(std::string_view provider, std::int64_t us);
  void usage(const UsageKey& key, const UsageSum& sum);
  void retried(std::string_view provider, std::string_view reason);
  // A second leg: "won", "lost", "failed"; or why there was none: "over_share", "no_money", "no_key".
  void hedged(std::string_view provider, std::string_view outcome);
  void claimed_too_much(std::string_view provider);

 private:
  telemetry::Family<telemetry::Counter>& calls_;
  telemetry::Family<telemetry::Counter>& tokens_;
  telemetry::Family<telemetry::Counter>& cost_;
  telemetry::Family<telemetry::Counter>& retries_;
  telemetry::Family<telemetry::Counter>& hedges_;
  telemetry::Family<telemetry::Counter>& excess_;
  telemetry::Family<telemetry::Histogram>& durations_;
  telemetry::Family<telemetry::Histogram>& first_bytes_;
};

}  // namespace ez::models
