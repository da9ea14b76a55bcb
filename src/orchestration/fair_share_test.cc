#include "orchestration/fair_share.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace ez::orchestration {
namespace {

struct Queue {
  std::uint32_t weight;
  std::uint64_t tag = 0;
  int served = 0;
};

int serve(std::vector<Queue>& queues, std::uint64_t& clock) {
  const auto next = std::min_element(queues.begin(), queues.end(), [&](const Queue& a, const Queue& b) {
    return start_tag(a.tag, clock, a.weight) < start_tag(b.tag, clock, b.weight);
  });
  charge(next->tag, clock, next->weight);
  return ++next->served;
}

TEST(FairShare, ServesByWeightAtEveryInstant) {
  std::vector<Queue> queues{{1}, {3}, {7}};
  std::uint64_t clock = 0;
  for (int i = 1; i <= 11'000; ++i) {
    serve(queues, clock);
    for (const Queue& queue : queues) {
      const double fair = i * queue.weight / 11.0;
      ASSERT_NEAR(queue.served, fair, 2.0) << "weight " << queue.weight << " after " << i;
    }
  }
}

TEST(FairShare, AnIdleQueueGetsNoCreditForThePast) {
  std::vector<Queue> queues{{1}, {1}};
  std::uint64_t clock = 0;
  std::vector<Queue> alone{queues[0]};
  for (int i = 0; i < 1'000; ++i) serve(alone, clock);
  queues[0] = alone[0];
  queues[0].served = 0;
  for (int i = 0; i < 100; ++i) serve(queues, clock);
  EXPECT_NEAR(queues[0].served, 50, 1);
}

TEST(FairShare, PendingTasksCountAsServed) {
  EXPECT_EQ(start_tag(100, 50, 1, 2), 100 + 2 * kTurn);
  EXPECT_EQ(start_tag(10, 50, kTurn, 1), 51U);
  EXPECT_EQ(turn_cost(0), kTurn);
}

}  // namespace
}  // namespace ez::orchestration
