#include "log/inspect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "log/fake_disk.h"
#include "log/testing.h"

namespace ez::log {
namespace {

constexpr const char* kDirectory = "/data/log";

class InspectTest : public testing::Test {
 protected:
  // Two lives of 30 records over several segments, a snapshot in each.
  void SetUp() override {
    for (int life = 0; life < 2; ++life) {
      auto opened = open_local_log(disk_, kDirectory, small_options(clock_, random_));
      ASSERT_TRUE(opened.ok());
      RecordingListener listener;
      ASSERT_TRUE((*opened)->start(LogIndex{0}, listener).ok());
      ASSERT_TRUE(poll_until(**opened, [&] { return listener.leading; }));
      for (std::uint64_t i = 1; i <= 30; ++i) {
        ASSERT_TRUE((*opened)->append(listener.epoch, Ticket{i}, std::string(600, 'i')).ok());
        (*opened)->poll(microseconds(0));
      }
      auto writer = (*opened)->begin_snapshot((*opened)->last_index(), listener.epoch);
      ASSERT_TRUE(writer.ok());
      ASSERT_TRUE((*writer)->write("the state").ok());
      ASSERT_TRUE((*writer)->commit().ok());
    }
  }
  LogReport report() {
    auto made = inspect(disk_, kDirectory);
    EXPECT_TRUE(made.ok()) << made.error().to_string();
    return std::move(made).value();
  }
  std::map<std::string, std::string> everything() {
    std::map<std::string, std::string> out;
    for (const std::string& path : disk_.paths()) out[path] = disk_.contents(path);
    return out;
  }

  FakeDisk disk_{41};
  ManualClock clock_;
  SeededRandom random_{42};
};

TEST_F(InspectTest, CountsWhatIsThereAndChangesNothing) {
  disk_.set_contents("/data/log/spare-1.tmp", "left over");
  const auto before = everything();
  const LogReport found = report();
  EXPECT_EQ(everything(), before);
  EXPECT_TRUE(found.healthy());
  EXPECT_FALSE(found.locked || found.empty);
  EXPECT_EQ(found.first_index.value, 1U);
  EXPECT_EQ(found.last_index.value, 60U);
  EXPECT_EQ(found.records, 60U);
  EXPECT_EQ(found.record_bytes, 60U * 632);
  EXPECT_EQ(found.first_epoch.value, 1U);
  EXPECT_EQ(found.last_epoch.value, 2U);
  EXPECT_GE(found.segments.size(), 4U);
  ASSERT_EQ(found.snapshots.size(), 2U);
  EXPECT_TRUE(found.snapshots[0].verified && found.snapshots[1].verified);
  EXPECT_EQ(found.snapshots[1].index.value, 60U);
  EXPECT_EQ(found.snapshots[1].epoch.value, 2U);
  EXPECT_EQ(found.snapshots[1].bytes, 9U);
  EXPECT_EQ(found.leftovers, std::vector<std::string>{"spare-1.tmp"});
  EXPECT_EQ(found.torn_bytes, 0U);
}

TEST_F(InspectTest, SaysWhenTheLockIsHeldAndReadsAllTheSame) {
  const auto opened = open_local_log(disk_, kDirectory, small_options(clock_, random_));
  ASSERT_TRUE(opened.ok());
  const LogReport found = report();
  EXPECT_TRUE(found.locked);
  EXPECT_THAT(found.lock_holder, testing::HasSubstr("process"));
  EXPECT_EQ(found.records, 60U);
}

TEST_F(InspectTest, ListsEveryDamageWithFileOffsetAndAdvice) {
  const LogReport good = report();
  const std::string first = good.segments[0].path;
  const std::string third = good.segments[2].path;
  const std::string snapshot = good.snapshots[1].path;
  disk_.flip_bit(first, (512 * 3 + 7) * 8);
  disk_.flip_bit(third, (512 * 5 + 100) * 8);
  disk_.flip_bit(snapshot, 70 * 8);
  const LogReport found = report();
  ASSERT_EQ(found.damage.size(), 3U);
  EXPECT_EQ(found.damage[0].file, first);
  EXPECT_EQ(found.damage[0].offset, 512U * 3);
  EXPECT_EQ(found.damage[1].file, third);
  EXPECT_EQ(found.damage[1].offset, 512U * 5);
  EXPECT_EQ(found.damage[2].file, snapshot);
  EXPECT_EQ(found.damage[2].code, Code::SnapshotDamaged);
  EXPECT_THAT(found.damage[2].advice, testing::HasSubstr("Move the file"));
  for (const Damage& damage : found.damage) EXPECT_FALSE(damage.advice.empty());
  EXPECT_EQ(found.records, 60U - 2U) << "what stands behind a damage is still read";
  EXPECT_EQ(found.last_index.value, 60U);
}

TEST_F(InspectTest, ATornTailIsReportedAndIsNoDamage) {
  const LogReport good = report();
  const std::string path = good.segments.back().path;
  std::string contents = disk_.contents(path);
  const std::uint64_t end = good.segments.back().end_offset;
  contents.replace(end, 5, "trace");
  disk_.set_contents(path, contents);
  const LogReport found = report();
  EXPECT_TRUE(found.healthy());
  EXPECT_EQ(found.torn_file, path);
  EXPECT_EQ(found.torn_offset, end);
  EXPECT_EQ(found.torn_bytes, 512U);
}

TEST_F(InspectTest, TheListOfDamageIsBounded) {
  const LogReport good = report();
  for (const SegmentSummary& segment : good.segments) {
    std::string contents = disk_.contents(segment.path);
    for (std::size_t at = 512; at < contents.size(); at += 1024)
      contents[at + 8] = static_cast<char>(~contents[at + 8]);
    disk_.set_contents(segment.path, contents);
  }
  const LogReport found = report();
  EXPECT_FALSE(found.healthy());
  EXPECT_LE(found.damage.size(), kMaxDamages);
}

TEST(Inspect, AnEmptyOrMissingDirectory) {
  FakeDisk disk(1);
  const auto empty = inspect(disk, "/data");
  ASSERT_TRUE(empty.ok());
  EXPECT_TRUE(empty->empty && empty->healthy());
  const auto missing = inspect(disk, "/nowhere");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code(), Code::DataDirUnusable);
}

}  // namespace
}  // namespace ez::log
