// Breaker: stops calls to what keeps failing, and lets one through now and then to see whether it is back.
//
//   closed ── kFailures in a row ──▶ open ── its time is over ──▶ half open: one call
//      ▲                              ▲                              │
//      └──────────── success ─────────┼──────────────────────────────┤
//                                     └───── failure: twice as long ─┘
//
// Not thread-safe. Times are monotonic milliseconds of the caller.
#pragma once

#include <cstdint>

namespace ez::models {

class Breaker {
 public:
  static constexpr std::uint32_t kFailures = 5;
  static constexpr std::int64_t kFirstOpenMs = 5'000;
  static constexpr std::int64_t kMaxOpenMs = 120'000;

  // Whether a call may go now. One that may while it is half open is the probe: its outcome must be told.
  [[nodiscard]] bool allows(std::int64_t now_ms) const { return open_until_ms_ <= now_ms && !probing_; }
  void began(std::int64_t now_ms);
  void succeeded();
  void failed(std::int64_t now_ms);
  // The call ended without saying anything about the other side (its client left).
  void forgotten() { probing_ = false; }
  // When allows() may be true again; 0: now.
  [[nodiscard]] std::int64_t opens_at_ms() const { return open_until_ms_; }
  [[nodiscard]] bool is_open(std::int64_t now_ms) const { return open_until_ms_ > now_ms; }

 private:
  std::uint32_t failures_ = 0;  // in a row
  std::int64_t open_ms_ = 0;    // how long it was opened the last time; 0: it is closed
  std::int64_t open_until_ms_ = 0;
  bool probing_ = false;
};

}  // namespace ez::models
