#include "telemetry/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <thread>

#include "telemetry/text.h"

namespace ez::telemetry {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Metrics, ExposesExactText) {
  Registry registry;
  auto& tasks = registry.counters("ez_tasks_total", "Tasks\nby \\ outcome.", {"workflow", "outcome"});
  tasks.with({"a\"b\\c\nd", "ok"}).increment(3);
  tasks.with({"a", "ok"}).increment();
  registry.counter("ez_cost_usd_total", "Money.", 1'000'000).increment(1'250'000);
  registry.gauge("ez_agents", "Agents.").set(-2.5);
  auto& wait = registry.histograms("ez_wait_seconds", "Waits.", {"queue"}, {0.1, 1}).with({"q"});
  wait.observe(0.1);
  wait.observe(0.5);
  wait.observe(7);
  EXPECT_EQ(registry.expose(),
            "# HELP ez_agents Agents.\n"
            "# TYPE ez_agents gauge\n"
            "ez_agents -2.5\n"
            "# HELP ez_cost_usd_total Money.\n"
            "# TYPE ez_cost_usd_total counter\n"
            "ez_cost_usd_total 1.25\n"
            "# HELP ez_tasks_total Tasks\\nby \\\\ outcome.\n"
            "# TYPE ez_tasks_total counter\n"
            "ez_tasks_total{workflow=\"a\",outcome=\"ok\"} 1\n"
            "ez_tasks_total{workflow=\"a\\\"b\\\\c\\nd\",outcome=\"ok\"} 3\n"
            "# HELP ez_wait_seconds Waits.\n"
            "# TYPE ez_wait_seconds histogram\n"
            "ez_wait_seconds_bucket{queue=\"q\",le=\"0.1\"} 1\n"
            "ez_wait_seconds_bucket{queue=\"q\",le=\"1\"} 2\n"
            "ez_wait_seconds_bucket{queue=\"q\",le=\"+Inf\"} 3\n"
            "ez_wait_seconds_sum{queue=\"q\"} 7.6\n"
            "ez_wait_seconds_count{queue=\"q\"} 3\n");
}

TEST(Metrics, SpecialNumbers) {
  Registry registry;
  auto& gauges = registry.gauges("g", "G.", {"kind"});
  gauges.with({"inf"}).set(std::numeric_limits<double>::infinity());
  gauges.with({"ninf"}).set(-std::numeric_limits<double>::infinity());
  gauges.with({"nan"}).set(std::numeric_limits<double>::quiet_NaN());
  gauges.with({"big"}).set(1e300);
  const std::string text = registry.expose();
  EXPECT_THAT(text, HasSubstr("g{kind=\"inf\"} +Inf\n"));
  EXPECT_THAT(text, HasSubstr("g{kind=\"ninf\"} -Inf\n"));
  EXPECT_THAT(text, HasSubstr("g{kind=\"nan\"} NaN\n"));
  EXPECT_THAT(text, HasSubstr("g{kind=\"big\"} 1e+300\n"));
  // Micro-units stay exact where a double would not.
  registry.counter("c_total", "C.", 1'000'000).increment(9'007'199'254'740'993);
  EXPECT_THAT(registry.expose(), HasSubstr("c_total 9007199254.740993\n"));
}

TEST(Metrics, TooManySeriesGoToOther) {
  Registry registry;
  auto& family = registry.counters("c_total", "C.", {"user", "kind"}, {.max_series = 3});
  for (int i = 0; i < 10; ++i) family.with({"user" + std::to_string(i), "k"}).increment();
  EXPECT_EQ(family.size(), 4U);
  EXPECT_EQ(family.with({"user2", "k"}).value(), 1U);
  EXPECT_EQ(family.with({"user99", "k"}).value(), 7U);
  EXPECT_THAT(registry.expose(), HasSubstr("c_total{user=\"other\",kind=\"other\"} 7\n"));
}

TEST(Metrics, LabelValuesAreBoundedAndValid) {
  Registry registry;
  auto& family = registry.counters("c_total", "C.", {"v"});
  family.with({std::string(5000, 'x')}).increment();
  family.with({"\xff\xfe"}).increment();
  const std::string text = registry.expose();
  EXPECT_THAT(text, HasSubstr("v=\"" + std::string(kMaxLabelBytes, 'x') + "\""));
  EXPECT_THAT(text, HasSubstr("v=\"\xEF\xBF\xBD\xEF\xBF\xBD\""));
}

TEST(Metrics, SameNameGivesSameFamily) {
  Registry registry;
  EXPECT_EQ(&registry.counters("c_total", "C.", {"a"}), &registry.counters("c_total", "C.", {"a"}));
  EXPECT_DEATH((void)registry.counters("c_total", "C.", {"b"}), "two shapes");
  EXPECT_DEATH((void)registry.gauge("c_total", "C."), "two shapes");
  EXPECT_DEATH((void)registry.gauge("1bad", "C."), "wrong name");
  EXPECT_DEATH((void)registry.histograms("h", "H.", {"le"}, {1}), "label");
}

TEST(Metrics, ManyThreadsLoseNothing) {
  Registry registry;
  Counter& counter = registry.counter("c_total", "C.");
  Gauge& gauge = registry.gauge("g", "G.");
  Histogram& histogram = registry.histogram("h", "H.", {1, 2});
  constexpr int kThreads = 4;
  constexpr int kRounds = 20'000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kRounds; ++i) {
        counter.increment();
        gauge.add(1);
        histogram.observe(i % 3);
        if (i % 1000 == 0) {
          EXPECT_THAT(registry.expose(), HasSubstr("h_count"));
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), 1U * kThreads * kRounds);
  EXPECT_EQ(gauge.value(), 1.0 * kThreads * kRounds);
  EXPECT_EQ(histogram.count(), 1U * kThreads * kRounds);
}

TEST(Metrics, CallbacksComeAndGo) {
  Registry registry;
  double depth = 3;
  {
    auto handle =
        registry.collect("ez_queue_depth", "Depth.", CollectKind::kGauge, {"queue"}, [&](Samples& out) {
          out.add({"a"}, depth);
          out.add({"b"}, 1);
        });
    EXPECT_THAT(registry.expose(),
                HasSubstr("ez_queue_depth{queue=\"a\"} 3\nez_queue_depth{queue=\"b\"} 1\n"));
    depth = 4;
    CollectHandle moved = std::move(handle);
    EXPECT_THAT(registry.expose(), HasSubstr("ez_queue_depth{queue=\"a\"} 4\n"));
  }
  EXPECT_THAT(registry.expose(), Not(HasSubstr("ez_queue_depth")));
}

TEST(Metrics, CallbackSamplesAreBounded) {
  Registry registry;
  auto handle = registry.collect("g", "G.", CollectKind::kGauge, {"v"},
                                 [](Samples& out) {
                                   for (int i = 0; i < 100; ++i) out.add({std::to_string(i)}, 1);
                                 },
                                 {.max_series = 10});
  EXPECT_THAT(registry.expose(), HasSubstr("g{v=\"other\"} 90\n"));
}

TEST(Metrics, ProcessMetricsAreReal) {
  Registry registry;
  auto handles = register_process_metrics(registry);
  const std::string text = registry.expose();
  for (const char* name : {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
                           "process_max_fds", "process_threads", "process_start_time_seconds"}) {
    const auto at = text.find("\n" + std::string(name) + " ");
    ASSERT_NE(at, std::string::npos) << name;
    EXPECT_GT(std::strtod(text.c_str() + at + 2 + std::string(name).size(), nullptr), 0.0) << name;
  }
}

TEST(Utf8, PrefixNeverCutsASequence) {
  const std::string text = "a\u00e9\u20ac\U0001F600z";  // 1 + 2 + 3 + 4 + 1 bytes
  const std::size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};
  for (std::size_t limit = 0; limit < std::size(expected); ++limit) {
    EXPECT_EQ(utf8_prefix(text, limit).size(), expected[limit]) << limit;
  }
  EXPECT_EQ(utf8_prefix(std::string(20, '\x80'), 10).size(), 10U);
  EXPECT_EQ(utf8_clean("ok\xC0\xAF\xED\xA0\x80!"),
            "ok\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD!");
}

}  // namespace
}  // namespace ez::telemetry
