#include "orchestration/agent_choice.h"

#include <gtest/gtest.h>

#include <vector>

namespace ez::orchestration {
namespace {

std::size_t choose(const std::vector<AgentCandidate>& candidates) { return choose_agent(candidates); }

TEST(AgentChoice, TheFirstOfEqualsGoesFirst) {
  EXPECT_EQ(choose({{0, false, 0, 1}}), 0U);
  EXPECT_EQ(choose({{0, false, 0, 2}, {0, false, 0, 4}, {0, false, 0, 1}}), 0U);
}

TEST(AgentChoice, AWarmWorkspaceGoesBeforeALighterLoad) {
  EXPECT_EQ(choose({{0, false, 0, 4}, {0, true, 3, 4}}), 1U);
  EXPECT_EQ(choose({{0, true, 3, 4}, {0, true, 1, 4}, {0, false, 0, 4}}), 1U);
}

TEST(AgentChoice, TheSmallerShareOfCapacityGoesFirst) {
  EXPECT_EQ(choose({{0, false, 2, 4}, {0, false, 3, 8}}), 1U);
  EXPECT_EQ(choose({{0, false, 1, 2}, {0, false, 4, 8}}), 0U);
}

TEST(AgentChoice, WarmthDoesNotLetWorkPileUp) {
  // It took its grain of this round; the cold one is next.
  EXPECT_EQ(choose({{1, true, 1, 4}, {0, false, 0, 4}}), 1U);
}

TEST(AgentChoice, SpreadsARoundOverAll) {
  std::vector<AgentCandidate> agents{{0, true, 0, 4}, {0, false, 0, 4}, {0, false, 1, 4}};
  std::vector<int> got(agents.size());
  for (int task = 0; task < 9; ++task) {
    const std::size_t pick = choose(agents);
    ++got[pick];
    ++agents[pick].rounds;
    ++agents[pick].running;
  }
  EXPECT_EQ(got, (std::vector<int>{3, 3, 3}));
}

}  // namespace
}  // namespace ez::orchestration
