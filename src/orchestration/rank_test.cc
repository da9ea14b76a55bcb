// The order of ready tasks, and what it does to the time that whole workloads take.
#include "orchestration/rank.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "orchestration/parse.h"

namespace ez::orchestration {
namespace {

RankInput at(std::int64_t ready_ms) { return {ready_ms, Priority::kNormal, 0, 0}; }

TEST(Rank, OlderGoesFirstAndPrioritiesAge) {
  EXPECT_LT(rank_ms(at(0)), rank_ms(at(1)));
  RankInput deferred = at(0);
  deferred.priority = Priority::kDeferred;
  RankInput critical = at(7'199'999);
  critical.priority = Priority::kCritical;
  EXPECT_LT(rank_ms(critical), rank_ms(deferred));
  critical.ready_ms = 7'200'001;
  EXPECT_GT(rank_ms(critical), rank_ms(deferred));
}

TEST(Rank, ALongerPathGoesFirstButNobodyStarves) {
  RankInput longer = at(1'000);
  longer.tasks_below = 3;
  EXPECT_LT(rank_ms(longer), rank_ms(at(0)));
  longer.tasks_below = 50'000;
  longer.ready_ms = kMaxPathMs + 1;
  EXPECT_GT(rank_ms(longer), rank_ms(at(0)));
}

TEST(Rank, ANearDeadlineBeatsPriorityAndAFarOneChangesNothing) {
  RankInput run = at(1'000'000'000);
  run.priority = Priority::kLow;
  const std::int64_t plain = rank_ms(run);
  run.deadline_ms = run.ready_ms + 24 * 3'600'000;
  EXPECT_EQ(rank_ms(run), plain);
  run.deadline_ms = run.ready_ms + 60'000;
  EXPECT_LT(rank_ms(run), rank_ms(at(run.ready_ms - 9 * 60'000)));
}

struct Workload {
  std::string name;
  std::string source;
  std::map<std::string, int> minutes;  // by task; others take 5
  int runs;
  int agents;  // of each type
};

// Simulated time until the last task of all runs is done.
int makespan(const Workload& work, bool by_path) {
  const auto parsed = parse_workflow(work.source);
  EXPECT_TRUE(parsed.ok()) << work.name << ": " << parsed.diagnostics[0].to_string();
  if (!parsed.ok()) return 0;
  const auto& tasks = parsed.workflow->tasks;
  using Place = std::pair<int, std::uint32_t>;  // run, task
  std::map<std::string, std::set<std::tuple<std::int64_t, int, std::uint32_t>>> ready;
  std::map<std::string, int> free;
  std::set<std::tuple<int, int, std::uint32_t>> under_way;  // end, run, task
  std::map<Place, std::size_t> missing;
  const auto add = [&](int now, int run, std::uint32_t index) {
    RankInput input{std::int64_t{now} * 60'000, Priority::kNormal, by_path ? tasks[index].depth_below : 0, 0};
    ready[tasks[index].agent.type].insert({rank_ms(input), run, index});
  };
  for (int run = 0; run < work.runs; ++run) {
    for (std::uint32_t i = 0; i < tasks.size(); ++i) {
      missing[{run, i}] = tasks[i].dependencies.size();
      free[tasks[i].agent.type] = work.agents;
      if (tasks[i].dependencies.empty()) add(0, run, i);
    }
  }
  int now = 0;
  while (true) {
    for (auto& [type, waiting] : ready) {
      while (free[type] > 0 && !waiting.empty()) {
        const auto [rank, run, index] = *waiting.begin();
        waiting.erase(waiting.begin());
        --free[type];
        const auto known = work.minutes.find(tasks[index].id.substr(0, tasks[index].id.find('-')));
        under_way.insert({now + (known == work.minutes.end() ? 5 : known->second), run, index});
      }
    }
    if (under_way.empty()) return now;
    const auto [end, run, index] = *under_way.begin();
    under_way.erase(under_way.begin());
    now = end;
    ++free[tasks[index].agent.type];
    for (const std::uint32_t next : tasks[index].dependents) {
      if (--missing[{run, next}] == 0) add(now, run, next);
    }
  }
}

std::string task(const std::string& id, const std::string& agent, const std::string& dependencies) {
  return "  - {id: " + id + ", prompt: x, agent: {type: " + agent + "}, dependencies: [" + dependencies +
         "]}\n";
}

// A task SaaS for many tenants, a migration of 200 files, a course marketplace.
std::vector<Workload> workloads() {
  std::string a = "name: a\ntasks:\n" + task("spec", "claude", "") + task("schema", "gpt", "spec") +
                  task("ui", "mistral", "spec") + task("docs", "mistral", "api") +
                  task("auth", "gpt", "schema") + task("api", "gpt", "schema") +
                  task("billing", "gpt", "auth, api") + task("realtime", "gpt", "api") +
                  task("unit", "deepseek", "auth, api") + task("e2e", "deepseek", "ui, billing, realtime") +
                  task("audit", "gemini", "auth, billing") + task("deploy", "gemini", "e2e, audit");
  // Imports: file n needs the files n / 2 and n / 3; each batch of 20 is checked for types.
  std::string c =
      "name: c\ntasks:\n" + task("inventory", "gpt", "") + task("conventions", "claude", "inventory");
  std::string all;
  for (int batch = 0; batch < 10; ++batch) {
    std::string files;
    for (int i = batch * 20 + 1; i <= batch * 20 + 20; ++i) {
      std::string needs = "conventions";
      if (i > 1) needs += ", convert-" + std::to_string(i / 2);
      if (i > 2 && i / 3 != i / 2) needs += ", convert-" + std::to_string(i / 3);
      c += task("convert-" + std::to_string(i), "gpt", needs);
      files += (files.empty() ? "convert-" : ", convert-") + std::to_string(i);
    }
    c += task("typecheck-" + std::to_string(batch), "gpt", files);
    all += (all.empty() ? "typecheck-" : ", typecheck-") + std::to_string(batch);
  }
  c += task("docs", "claude", all);
  std::string d = "name: d\ntasks:\n" + task("architecture", "claude", "") +
                  task("catalogue", "gpt", "architecture") + task("video", "gpt", "architecture") +
                  task("payments", "gpt", "architecture") + task("checkout", "gpt", "payments") +
                  task("load", "gpt", "checkout, video") + task("security", "gpt", "checkout") +
                  task("merge", "claude", "catalogue, load, security") + task("staging", "gpt", "merge") +
                  task("production", "gpt", "staging");
  return {{"A, 8 runs, 2 agents a type",
           a,
           {{"spec", 10},
            {"schema", 8},
            {"auth", 12},
            {"api", 20},
            {"ui", 15},
            {"billing", 10},
            {"e2e", 12},
            {"audit", 6}},
           8,
           2},
          {"C, 2 runs, 8 agents a type", c, {{"convert", 6}, {"typecheck", 3}}, 2, 8},
          {"D, 6 runs, 2 agents a type",
           d,
           {{"architecture", 15},
            {"video", 25},
            {"payments", 20},
            {"checkout", 15},
            {"load", 10},
            {"security", 10}},
           6,
           2}};
}

TEST(Rank, WorkloadsTakeNoLongerThanFirstComeFirstServed) {
  int gained = 0;
  for (const Workload& work : workloads()) {
    const int fifo = makespan(work, false);
    const int path = makespan(work, true);
    std::printf("%-28s first come %4d min, by path %4d min\n", work.name.c_str(), fifo, path);
    EXPECT_LE(path, fifo + fifo / 50) << work.name;
    gained += fifo - path;
  }
  EXPECT_GT(gained, 0);
}

}  // namespace
}  // namespace ez::orchestration
