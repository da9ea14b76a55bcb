// Time comes in through this interface, so that tests and the simulation own it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ez {

class Clock {
 public:
  virtual ~Clock() = default;
  // Wall time, milliseconds since 1970-01-01 UTC. May jump in both directions.
  [[nodiscard]] virtual std::int64_t now_ms() = 0;
  // Never goes back; microseconds since an arbitrary start. For durations and latencies.
  [[nodiscard]] virtual std::int64_t monotonic_us() = 0;
};

// The machine's clocks. Thread-safe; lives as long as the process.
[[nodiscard]] Clock& system_clock();

// RFC 3339 in UTC with milliseconds: 2026-11-22T16:48:00.000Z.
[[nodiscard]] std::string format_time(std::int64_t unix_ms);

}  // namespace ez
