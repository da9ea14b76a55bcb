// Start-time fair queueing in integers: who is served next when several queues want the same agents.
//
// Each queue has a tag, the virtual time at which its next task may start. The smallest tag is served;
// serving moves the queue's tag on by kTurn / weight, and the clock to the tag that was served. A queue that
// was idle starts again at the clock: it gets no credit for the past. Over any busy stretch the served tasks
// of two queues that always have work differ from the ratio of their weights by at most one turn.
#pragma once

#include <algorithm>
#include <cstdint>

namespace ez::orchestration {

inline constexpr std::uint32_t kMaxWeight = 1'000;
// Divisible by the small weights that people use; 2^64 / kTurn tasks fit before the clock could overflow.
inline constexpr std::uint64_t kTurn = 720'720;

[[nodiscard]] constexpr std::uint64_t turn_cost(std::uint32_t weight) {
  return kTurn / (weight == 0 ? 1 : weight);
}

// When the next `pending`th task of a queue may start.
[[nodiscard]] constexpr std::uint64_t start_tag(std::uint64_t tag, std::uint64_t clock, std::uint32_t weight,
                                                std::uint64_t pending = 0) {
  return std::max(tag, clock) + pending * turn_cost(weight);
}

// One task of the queue was served.
constexpr void charge(std::uint64_t& tag, std::uint64_t& clock, std::uint32_t weight) {
  clock = std::max(tag, clock);
  tag = clock + turn_cost(weight);
}

}  // namespace ez::orchestration
