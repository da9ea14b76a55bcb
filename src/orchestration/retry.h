// How long to wait before the next attempt. Pure; the leader draws the sample and stamps the result into the
// command.
#pragma once

#include <cstdint>

#include "orchestration/definition.h"

namespace ez::orchestration {

// Wait before attempt `next_attempt` (2 is the first retry). sample_permille in [0, 1000] is the jitter draw.
// min(max_backoff, backoff × multiplier^(next_attempt - 2)) × (1 + jitter × sample), integer arithmetic,
// saturating.
[[nodiscard]] std::int64_t backoff_ms(const Retry& policy, std::uint32_t next_attempt,
                                      std::uint32_t sample_permille);

}  // namespace ez::orchestration
