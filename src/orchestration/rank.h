// The order of ready tasks of one namespace, as a point in time: the smaller, the sooner it is served.
//
// A task's rank is the moment at which it became ready, moved by what makes it urgent. Every move is bounded,
// so a task that waits long enough goes before any newer one (ageing), and a rank never changes while the
// task waits: an ordered set is enough, nothing is looked at again.
#pragma once

#include <cstdint>

#include "orchestration/definition.h"

namespace ez::orchestration {

// What a task is taken to last when its remaining path is estimated.
inline constexpr std::int64_t kTaskGuessMs = 60'000;
// The longest path that counts: a task gains at most this much on one that nothing waits for.
inline constexpr std::int64_t kMaxPathMs = 30 * 60'000;
// How long before its latest start a task of a run with a deadline becomes urgent.
inline constexpr std::int64_t kSlackMs = 10 * 60'000;

struct RankInput {
  std::int64_t ready_ms = 0;
  Priority priority = Priority::kNormal;
  std::uint32_t tasks_below = 0;  // longest chain of tasks that wait for this one
  std::int64_t deadline_ms = 0;   // of its run; 0: none
};

// Handicap of a priority in milliseconds of waiting.
[[nodiscard]] std::int64_t priority_handicap_ms(Priority priority);

[[nodiscard]] std::int64_t rank_ms(const RankInput& task);

}  // namespace ez::orchestration
