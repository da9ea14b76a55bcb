// Rates per key: a token bucket in integers. A bucket is one number, the moment at which it will be full
// again; a start moves it on by per / limit. A task over the rate is given the moment of its start at once
// and waits for it with a timer of its own, so nobody stands in a line and nothing is scanned: first come,
// first served.
#pragma once

#include <cstdint>
#include <string>

#include "core/state.h"

namespace ez::core {

// Takes a start out of the bucket; when it may happen, never before now_ms.
[[nodiscard]] std::int64_t reserve_start(State& state, const std::string& key,
                                         const orchestration::Rate& rate, std::int64_t now_ms);
// The key of a task's bucket.
[[nodiscard]] std::string rate_key(const Run& run, const std::string& rendered);
void put_rate(State& state, const std::string& key, std::int64_t full_us);

}  // namespace ez::core
