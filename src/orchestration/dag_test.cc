#include "orchestration/dag.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/random.h"

namespace ez::orchestration {
namespace {

std::vector<Task> make_tasks(const std::vector<std::vector<std::uint32_t>>& dependencies) {
  std::vector<Task> tasks(dependencies.size());
  for (std::size_t i = 0; i < tasks.size(); ++i) tasks[i].dependencies = dependencies[i];
  return tasks;
}

std::vector<Task> random_dag(Random& random, std::uint32_t count) {
  std::vector<Task> tasks(count);
  for (std::uint32_t i = 1; i < count; ++i) {
    std::set<std::uint32_t> chosen;
    for (std::uint64_t k = random.below(4); k > 0; --k)
      chosen.insert(static_cast<std::uint32_t>(random.below(i)));
    tasks[i].dependencies.assign(chosen.begin(), chosen.end());
  }
  return tasks;
}

TEST(Dag, OrderPutsDependenciesFirst) {
  SeededRandom random(3);
  for (int round = 0; round < 50; ++round) {
    const auto tasks = random_dag(random, 60);
    const auto order = topological_order(tasks);
    ASSERT_EQ(order.size(), tasks.size());
    std::vector<std::size_t> place(tasks.size());
    for (std::size_t i = 0; i < order.size(); ++i) place[order[i]] = i;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      for (const auto d : tasks[i].dependencies) EXPECT_LT(place[d], place[i]) << "round " << round;
    }
  }
  EXPECT_EQ(topological_order(make_tasks({{1}, {}, {0}})), (std::vector<std::uint32_t>{1, 0, 2}));
  EXPECT_EQ(topological_order(make_tasks({{1}, {0}, {}})), (std::vector<std::uint32_t>{2}));
}

TEST(Dag, NamesEachCycleOnce) {
  using Cycles = std::vector<std::vector<std::uint32_t>>;
  EXPECT_EQ(find_cycles(make_tasks({{}, {0}, {0, 1}}), 10), Cycles{});
  EXPECT_EQ(find_cycles(make_tasks({{1}, {2}, {0}}), 10), (Cycles{{0, 1, 2}}));
  EXPECT_EQ(find_cycles(make_tasks({{0}}), 10), (Cycles{{0}}));
  EXPECT_EQ(find_cycles(make_tasks({{1}, {0}, {3}, {2}}), 10), (Cycles{{0, 1}, {2, 3}}));
  EXPECT_EQ(find_cycles(make_tasks({{1}, {0}, {3}, {2}}), 1), (Cycles{{0, 1}}));
  EXPECT_EQ(find_cycles(make_tasks({{1}, {2}, {3}, {1}}), 10), (Cycles{{1, 2, 3}}));
}

TEST(Dag, LinksDependentsAndDepth) {
  auto tasks = make_tasks({{}, {0}, {0}, {1, 2}, {}});
  link_tasks(tasks);
  EXPECT_EQ(tasks[0].dependents, (std::vector<std::uint32_t>{1, 2}));
  EXPECT_EQ(tasks[3].dependents, (std::vector<std::uint32_t>{}));
  EXPECT_EQ(tasks[0].depth_below, 2U);
  EXPECT_EQ(tasks[1].depth_below, 1U);
  EXPECT_EQ(tasks[3].depth_below, 0U);
  EXPECT_EQ(tasks[4].depth_below, 0U);
}

TEST(Dag, UpstreamAgreesWithAWalk) {
  SeededRandom random(11);
  for (const std::uint32_t count : {2U, 40U, 700U}) {  // 700: more than one pass
    const auto tasks = random_dag(random, count);
    std::vector<std::set<std::uint32_t>> above(count);
    for (std::uint32_t i = 0; i < count; ++i) {
      for (const auto d : tasks[i].dependencies) {
        above[i].insert(d);
        above[i].insert(above[d].begin(), above[d].end());
      }
    }
    std::vector<std::pair<std::uint32_t, std::uint32_t>> questions;
    for (int k = 0; k < 5'000; ++k) {
      questions.emplace_back(static_cast<std::uint32_t>(random.below(count)),
                             static_cast<std::uint32_t>(random.below(count)));
    }
    const auto answers = are_upstream(tasks, questions);
    for (std::size_t k = 0; k < questions.size(); ++k) {
      EXPECT_EQ(answers[k], above[questions[k].first].contains(questions[k].second)) << count << " " << k;
    }
  }
  EXPECT_TRUE(are_upstream(make_tasks({{}, {0}}), {}).empty());
}

TEST(Dag, LongChainsNeedNoStack) {
  std::vector<Task> tasks(kMaxTasks);
  for (std::uint32_t i = 0; i + 1 < tasks.size(); ++i) tasks[i].dependencies = {i + 1};
  EXPECT_TRUE(find_cycles(tasks, 10).empty());
  link_tasks(tasks);
  EXPECT_EQ(tasks.back().depth_below, kMaxTasks - 1);
  const auto last = static_cast<std::uint32_t>(kMaxTasks - 1);
  EXPECT_EQ(are_upstream(tasks, {{0, last}, {last, 0}}), (std::vector<bool>{true, false}));
  tasks.back().dependencies = {0};
  const auto cycles = find_cycles(tasks, 10);
  ASSERT_EQ(cycles.size(), 1U);
  EXPECT_EQ(cycles[0].size(), kMaxTasks);
}

}  // namespace
}  // namespace ez::orchestration
