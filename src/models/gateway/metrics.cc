#include "models/gateway/metrics.h"

namespace ez::models {

GatewayMetrics::GatewayMetrics(telemetry::Registry& registry)
    : calls_(registry.counters("ez_model_calls_total", "Calls of models by how they ended.",
                               {"provider", "model", "outcome"})),
      tokens_(registry.counters("ez_model_tokens_total", "Tokens that providers counted.",
                                {"provider", "model", "type"})),
      cost_(registry.counters("ez_model_cost_usd_total", "What calls of models cost.",
                              {"provider", "model", "key"}, {telemetry::kDefaultMaxSeries, 1'000'000})),
      retries_(registry.counters("ez_model_retries_total", "Calls that were sent once more.",
                                 {"provider", "reason"})),
      hedges_(registry.counters("ez_model_hedges_total",
                                "Second requests for slow calls, by what came of them.",
                                {"provider", "outcome"})),
      excess_(registry.counters("ez_model_claims_refused_total",
                                "Answers whose usage was beyond what the call could cost.", {"provider"})),
      durations_(registry.histograms("ez_model_call_duration_seconds", "From the request to the end.",
                                     {"provider"}, telemetry::latency_bounds())),
      first_bytes_(registry.histograms("ez_model_first_byte_seconds", "From the request to its first byte.",
                                       {"provider"}, telemetry::latency_bounds())) {}

void GatewayMetrics::call(std::string_view provider, std::string_view model, std::string_view outcome,
                          std::int64_t duration_us) {
  calls_.with({provider, model, outcome}).increment();
  durations_.with({provider}).observe(static_cast<double>(duration_us) / 1e6);
}

void GatewayMetrics::first_byte(std::string_view provider, std::int64_t us) {
  first_bytes_.with({provider}).observe(static_cast<double>(us) / 1e6);
}

void GatewayMetrics::hedged(std::string_view provider, std::string_view outcome) {
  hedges_.with({provider, outcome}).increment();
}

void GatewayMetrics::usage(const UsageKey& key, const UsageSum& sum) {
  const auto count = [&](std::string_view type, std::uint64_t tokens) {
    if (tokens > 0) tokens_.with({key.provider, key.model, type}).increment(tokens);
  };
  count("input", sum.input_tokens);
  count("cache_read", sum.cache_read_tokens);
  count("cache_write", sum.cache_write_tokens);
  count("output", sum.output_tokens);
  if (sum.microusd > 0) {
    cost_.with({key.provider, key.model, key.key}).increment(static_cast<std::uint64_t>(sum.microusd));
  }
}

void GatewayMetrics::retried(std::string_view provider, std::string_view reason) {
  retries_.with({provider, reason}).increment();
}

void GatewayMetrics::claimed_too_much(std::string_view provider) { excess_.with({provider}).increment(); }

}  // namespace ez::models
