// The fake log does what a replicated log may do, and nothing that one may not.
#include "log/fake_log.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "log/testing.h"

namespace ez::log {
namespace {

struct Counts {
  int committed = 0, unknown_appeared = 0, unknown_lost = 0, rejected = 0, foreign = 0, leaderships = 0;
};

// One client over several handles; checks each promise of log.h against the cluster's sequence.
Counts run_seed(std::uint64_t seed) {
  FakeCluster cluster(seed, {30, 20, 4, 5});
  cluster.set_foreign({"foreign"});
  std::map<std::string, AppendOutcome> ended;
  std::set<std::string> acknowledged;
  std::map<std::uint64_t, std::string> by_ticket;
  std::uint64_t ticket = 0;
  Counts counts;
  for (int life = 0; life < 4; ++life) {
    RecordingListener listener;
    const auto log = cluster.open();
    EXPECT_TRUE(log->start(LogIndex{0}, listener).ok());
    for (int i = 0; i < 200; ++i) {
      const bool was_leading = listener.leading;
      log->poll(microseconds(0));
      counts.leaderships += !was_leading && listener.leading ? 1 : 0;
      for (int k = 0; k < 3 && listener.leading; ++k) {
        ++ticket;
        by_ticket[ticket] = "t" + std::to_string(ticket);
        EXPECT_TRUE(log->append(listener.epoch, Ticket{ticket}, by_ticket[ticket]).ok());
      }
    }
    std::size_t own = 0;
    for (const auto& record : listener.records) {
      if (record.ticket == 0) continue;
      EXPECT_EQ(record.bytes, by_ticket[record.ticket]);
      EXPECT_TRUE(acknowledged.insert(record.bytes).second);
      ++own;
    }
    for (const auto& [number, outcome] : listener.ended) {
      EXPECT_TRUE(ended.emplace(by_ticket[number], outcome).second) << "answered twice";
      EXPECT_FALSE(acknowledged.contains(by_ticket[number])) << "answered twice";
    }
    counts.committed += static_cast<int>(own);
  }
  std::set<std::string> present;
  for (const auto& entry : cluster.entries()) {
    counts.foreign += entry.bytes == "foreign" ? 1 : 0;
    EXPECT_TRUE(present.insert(entry.bytes).second || entry.bytes == "foreign") << entry.bytes << " twice";
  }
  for (const std::string& bytes : acknowledged) EXPECT_TRUE(present.contains(bytes)) << bytes;
  for (const auto& [bytes, outcome] : ended) {
    const bool appeared = present.contains(bytes);
    if (outcome == AppendOutcome::kRejected) {
      EXPECT_FALSE(appeared) << bytes << " was rejected";
      ++counts.rejected;
    } else {
      ++(appeared ? counts.unknown_appeared : counts.unknown_lost);
    }
  }
  return counts;
}

TEST(FakeLog, DoesEverythingThatAReplicatedLogMayDo) {
  Counts total;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Counts counts = run_seed(seed);
    total.committed += counts.committed;
    total.unknown_appeared += counts.unknown_appeared;
    total.unknown_lost += counts.unknown_lost;
    total.rejected += counts.rejected;
    total.foreign += counts.foreign;
    total.leaderships += counts.leaderships;
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(total.committed, 1000);
  EXPECT_GT(total.unknown_appeared, 50);
  EXPECT_GT(total.unknown_lost, 50);
  EXPECT_GT(total.rejected, 50);
  EXPECT_GT(total.foreign, 50);
  EXPECT_GT(total.leaderships, 200);
}

TEST(FakeLog, TheSameSeedGivesTheSameRun) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const Counts first = run_seed(seed);
    const Counts second = run_seed(seed);
    EXPECT_EQ(first.committed, second.committed);
    EXPECT_EQ(first.unknown_appeared, second.unknown_appeared);
    EXPECT_EQ(first.rejected, second.rejected);
  }
}

TEST(FakeLog, AnotherLeadersRecordsComeInBetween) {
  FakeCluster cluster(1);
  RecordingListener listener;
  const auto log = cluster.open();
  ASSERT_TRUE(log->start(LogIndex{0}, listener).ok());
  log->poll(microseconds(0));
  const Epoch first = listener.epoch;
  ASSERT_TRUE(log->append(first, Ticket{1}, "mine").ok());
  log->poll(microseconds(0));
  cluster.take_over({"theirs", "theirs too"});
  EXPECT_EQ(log->append(first, Ticket{2}, "late").error().code(), Code::NotLeader);
  ASSERT_TRUE(poll_until(*log, [&] { return listener.leading && listener.epoch > first; }));
  EXPECT_EQ(listener.bodies(), (std::vector<std::string>{"mine", "theirs", "theirs too"}));
  EXPECT_GT(listener.records[1].epoch, first.value);
  EXPECT_GT(listener.epoch.value, listener.records[1].epoch);
}

TEST(FakeLog, ANewHandleTakesLeadershipFromTheOld) {
  FakeCluster cluster(2);
  RecordingListener old_listener;
  RecordingListener new_listener;
  const auto old_log = cluster.open();
  ASSERT_TRUE(old_log->start(LogIndex{0}, old_listener).ok());
  old_log->poll(microseconds(0));
  ASSERT_TRUE(old_listener.leading);
  const auto new_log = cluster.open();
  ASSERT_TRUE(new_log->start(LogIndex{0}, new_listener).ok());
  new_log->poll(microseconds(0));
  EXPECT_TRUE(new_listener.leading);
  EXPECT_EQ(old_log->append(old_listener.epoch, Ticket{1}, "stale").error().code(), Code::NotLeader);
  for (int i = 0; i < 20; ++i) old_log->poll(microseconds(0));
  EXPECT_FALSE(old_listener.leading);
}

TEST(FakeLog, FullDiskAndFailure) {
  FakeCluster cluster(3);
  RecordingListener listener;
  const auto log = cluster.open();
  ASSERT_TRUE(log->start(LogIndex{0}, listener).ok());
  log->poll(microseconds(0));
  cluster.set_disk_full(true);
  EXPECT_EQ(log->append(listener.epoch, Ticket{1}, "x").error().code(), Code::LogDiskFull);
  cluster.set_disk_full(false);
  ASSERT_TRUE(log->append(listener.epoch, Ticket{2}, "y").ok());
  cluster.fail();
  log->poll(microseconds(0));
  ASSERT_TRUE(listener.failure.has_value());
  EXPECT_EQ(listener.failure->code(), Code::LogWriteFailed);
  EXPECT_EQ(listener.ended.size(), 1U);
  EXPECT_EQ(log->append(listener.epoch, Ticket{3}, "z").error().code(), Code::ShuttingDown);
}

}  // namespace
}  // namespace ez::log
