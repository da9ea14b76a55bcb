#include "orchestration/retry.h"

#include <algorithm>
#include <limits>

namespace ez::orchestration {
namespace {

// a × b / 1000, saturating; a and b are not negative.
std::int64_t scale_permille(std::int64_t a, std::int64_t b) {
  const __int128 product = static_cast<__int128>(a) * b / 1000;
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  return product > kMax ? kMax : static_cast<std::int64_t>(product);
}

}  // namespace

std::int64_t backoff_ms(const Retry& policy, std::uint32_t next_attempt, std::uint32_t sample_permille) {
  const std::int64_t ceiling = std::max<std::int64_t>(0, policy.max_backoff_ms);
  std::int64_t wait = std::min(std::max<std::int64_t>(0, policy.backoff_ms), ceiling);
  // Stops when nothing changes any more: at the ceiling, at zero, or with a factor of one.
  for (std::uint32_t attempt = 2; attempt < next_attempt; ++attempt) {
    const std::int64_t next = std::min(ceiling, scale_permille(wait, policy.multiplier_permille));
    if (next == wait) break;
    wait = next;
  }
  // jitter × sample in parts of a million, so that small waits keep their jitter.
  const std::int64_t sample = std::min<std::int64_t>(1000, sample_permille);
  const __int128 jitter = static_cast<__int128>(wait) * policy.jitter_permille * sample / 1'000'000;
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  const __int128 total = jitter + wait;
  return total > kMax ? kMax : static_cast<std::int64_t>(total);
}

}  // namespace ez::orchestration
