// Seeds of the simulated world. EZ_SIM_SEEDS=N runs that many (default 1000), EZ_SIM_FIRST=S starts at S; a
// failure prints the one command that repeats it.
#include <gtest/gtest.h>

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "world.h"

namespace ez::sim {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t fallback) {
  const char* text = std::getenv(name);
  return text == nullptr ? fallback : std::strtoull(text, nullptr, 10);
}

// A broken invariant of the core aborts: the command that repeats it is said then, too.
char repeat_text[128];

void say_repeat(int signal) {
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, repeat_text, std::strlen(repeat_text));
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

TEST(Simulation, EverySeedKeepsThePromise) {
  const std::uint64_t first = from_environment("EZ_SIM_FIRST", 1);
  const std::uint64_t count = from_environment("EZ_SIM_SEEDS", 1000);
  World::Tally sum;
  std::signal(SIGABRT, say_repeat);
  std::signal(SIGSEGV, say_repeat);
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    std::snprintf(repeat_text, sizeof repeat_text, "repeat with: make sim SEEDS=1 FIRST=%llu\n",
                  static_cast<unsigned long long>(seed));
    World world(seed);
    std::string found = world.trouble(1'200);
    if (found.empty()) found = world.peace();
    ASSERT_EQ(found, "") << "repeat with: make sim SEEDS=1 FIRST=" << seed;
    sum.crashes += world.tally().crashes;
    sum.takeovers += world.tally().takeovers;
    sum.snapshots += world.tally().snapshots;
    sum.finished += world.tally().finished;
    sum.stale += world.tally().stale;
    sum.duplicate += world.tally().duplicate;
    sum.unknown += world.tally().unknown;
    sum.merges += world.tally().merges;
    sum.decisions += world.tally().decisions;
    sum.restarts += world.tally().restarts;
    sum.limited += world.tally().limited;
    sum.pauses += world.tally().pauses;
    sum.queued += world.tally().queued;
    sum.repeated += world.tally().repeated;
    sum.slow += world.tally().slow;
    sum.full += world.tally().full;
    sum.shares += world.tally().shares;
    sum.signals += world.tally().signals;
    sum.timers += world.tally().timers;
    sum.children += world.tally().children;
    sum.ticks += world.tally().ticks;
    sum.missed += world.tally().missed;
    sum.migrated += world.tally().migrated;
    sum.rolled_back += world.tally().rolled_back;
    sum.draws += world.tally().draws;
  }
  std::printf(
      "%llu seeds: %llu runs finished, %llu crashes, %llu changes of leader, %llu snapshots, %llu stale and "
      "%llu duplicate results, %llu unanswered starts, %llu merges, %llu decisions, "
      "%llu restarts, %llu records repeated, %llu slow and %llu full disks, %llu tasks of fair shares\n",
      static_cast<unsigned long long>(count), static_cast<unsigned long long>(sum.finished),
      static_cast<unsigned long long>(sum.crashes), static_cast<unsigned long long>(sum.takeovers),
      static_cast<unsigned long long>(sum.snapshots), static_cast<unsigned long long>(sum.stale),
      static_cast<unsigned long long>(sum.duplicate), static_cast<unsigned long long>(sum.unknown),
      static_cast<unsigned long long>(sum.merges), static_cast<unsigned long long>(sum.decisions),
      static_cast<unsigned long long>(sum.restarts), static_cast<unsigned long long>(sum.repeated),
      static_cast<unsigned long long>(sum.slow), static_cast<unsigned long long>(sum.full),
      static_cast<unsigned long long>(sum.shares));
  if (count >= 100) {
    // A world in which nothing goes wrong proves nothing.
    EXPECT_GT(sum.crashes, count);
    EXPECT_GT(sum.draws, count);
    EXPECT_GT(sum.takeovers, count);
    EXPECT_GT(sum.snapshots, count / 2);
    EXPECT_GT(sum.stale, count / 4);
    EXPECT_GT(sum.duplicate, count / 4);
    EXPECT_GT(sum.unknown, count / 4);
    EXPECT_GT(sum.merges, count / 4);
    EXPECT_GT(sum.restarts, count / 10);
    EXPECT_GT(sum.limited, count);
    EXPECT_GT(sum.pauses, count / 2);
    EXPECT_GT(sum.queued, count);
    EXPECT_GT(sum.repeated, count);
    EXPECT_GT(sum.slow, count / 2);
    EXPECT_GT(sum.full, count / 4);
    EXPECT_GT(sum.shares, count);
    EXPECT_GT(sum.signals, count / 10);
    EXPECT_GT(sum.timers, count / 4);
    EXPECT_GT(sum.children, count / 2);
    EXPECT_GT(sum.ticks, count / 2);
    EXPECT_GT(sum.missed, count / 20);
    EXPECT_GT(sum.migrated, count / 20);
    EXPECT_GT(sum.rolled_back, count / 20);
  }
}

}  // namespace
}  // namespace ez::sim
