// Whether a broker may be used, by what its checks said: a pure state machine.
//
// It is down until its first good check. Up, it falls after `fail_after` failures in a row. Down, it comes
// back after `return_after` good checks in a row; each fall within `calm_ms` of the one before doubles that,
// up to `most_return_after`, so that a broker that comes and goes is not switched to all the time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/error.h"

namespace ez::queue {

struct BreakerOptions {
  int fail_after = 2;
  int return_after = 4;
  int most_return_after = 8;
  std::int64_t calm_ms = 60'000;
};

class Breaker {
 public:
  explicit Breaker(BreakerOptions options) : options_(options), needed_(1) {}

  // Both say whether it changed between up and down. Times are monotonic milliseconds.
  bool succeeded(std::int64_t now_ms);
  bool failed(std::int64_t now_ms, const Error& why);

  [[nodiscard]] bool up() const { return up_; }
  [[nodiscard]] std::int64_t since_ms() const { return since_ms_; }
  // The last failure; none since the last good check while it is up.
  [[nodiscard]] const std::optional<Error>& why() const { return why_; }
  [[nodiscard]] int needed() const { return needed_; }  // good checks in a row before it comes back

 private:
  BreakerOptions options_;
  bool up_ = false;
  int failures_ = 0;
  int successes_ = 0;
  int needed_;
  std::optional<std::int64_t> fell_ms_;
  std::int64_t since_ms_ = 0;
  std::optional<Error> why_;
};

inline bool Breaker::succeeded(std::int64_t now_ms) {
  failures_ = 0;
  if (up_) {
    why_.reset();
    return false;
  }
  if (++successes_ < needed_) return false;
  up_ = true;
  since_ms_ = now_ms;
  why_.reset();
  return true;
}

inline bool Breaker::failed(std::int64_t now_ms, const Error& why) {
  successes_ = 0;
  why_ = why;
  if (!up_ || ++failures_ < options_.fail_after) return false;
  const bool soon = fell_ms_ && now_ms - *fell_ms_ < options_.calm_ms;
  needed_ = soon ? std::min(needed_ * 2, std::max(options_.most_return_after, options_.return_after))
                 : options_.return_after;
  up_ = false;
  failures_ = 0;
  fell_ms_ = now_ms;
  since_ms_ = now_ms;
  return true;
}

}  // namespace ez::queue
