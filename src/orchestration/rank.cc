#include "orchestration/rank.h"

#include <algorithm>

namespace ez::orchestration {

std::int64_t priority_handicap_ms(Priority priority) {
  constexpr std::int64_t kHandicap[] = {0, 30'000, 300'000, 1'800'000, 7'200'000};
  return kHandicap[static_cast<int>(priority)];
}

std::int64_t rank_ms(const RankInput& task) {
  const std::int64_t path = std::min(kMaxPathMs, task.tasks_below * kTaskGuessMs);
  std::int64_t rank = task.ready_ms + priority_handicap_ms(task.priority) - path;
  if (task.deadline_ms != 0) {
    // From its latest start on it is as urgent as what has waited since then, whatever its priority.
    const std::int64_t latest = task.deadline_ms - (std::int64_t{task.tasks_below} + 1) * kTaskGuessMs;
    rank = std::min(rank, latest - kSlackMs);
  }
  return rank;
}

}  // namespace ez::orchestration
