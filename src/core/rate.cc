#include "core/rate.h"

#include <algorithm>

namespace ez::core {
namespace {

// A bucket that is full says nothing.
void forget_full(State& state, std::int64_t now_us) {
  while (!state.rate_ends.empty() && state.rate_ends.begin()->first <= now_us) {
    state.rates.erase(state.rate_ends.begin()->second);
    state.rate_ends.erase(state.rate_ends.begin());
  }
}

}  // namespace

std::string rate_key(const Run& run, const std::string& rendered) {
  return run.workflow->namespace_name + "\n" + rendered;
}

void put_rate(State& state, const std::string& key, std::int64_t full_us) {
  std::int64_t& slot = state.rates[key];
  state.rate_ends.erase({slot, key});
  slot = full_us;
  state.rate_ends.insert({slot, key});
}

std::int64_t reserve_start(State& state, const std::string& key, const orchestration::Rate& rate,
                           std::int64_t now_ms) {
  const std::int64_t now_us = now_ms * 1000;
  forget_full(state, now_us);
  const auto known = state.rates.find(key);
  const std::int64_t full_us = known == state.rates.end() ? now_us : std::max(known->second, now_us);
  const std::int64_t per_us = rate.per_ms * 1000;
  const std::int64_t cost_us = std::max<std::int64_t>(1, per_us / rate.limit);
  put_rate(state, key, full_us + cost_us);
  const std::int64_t start_us = std::max(now_us, full_us + cost_us - per_us);
  return (start_us + 999) / 1000;
}

}  // namespace ez::core
