// Faults against the local log on the fake disk. The rule behind every test: whatever happens, opening again
// gives the right state or a named refusal; an acknowledged record is never missing or changed without an
// error.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "log/crc32c.h"
#include "log/fake_disk.h"
#include "log/format.h"
#include "log/local_log.h"
#include "log/testing.h"

namespace ez::log {
namespace {

constexpr const char* kDirectory = "/data/log";

// A disk, what was acknowledged on it and what was proposed, over several lives of the process.
class World {
 public:
  explicit World(std::uint64_t seed) : disk(seed) {}

  FakeDisk disk;
  ManualClock clock;
  SeededRandom random{3};
  std::map<std::uint64_t, std::string> acknowledged;
  std::set<std::string> proposed;
  std::set<std::string> rejected;
  std::optional<Error> refusal;  // why the last life ended early

  // One life: open, replay, lead, `rounds` rounds of appends, a snapshot and a trim now and then. Ends early
  // at the first error. `applied` comes from the newest snapshot, as the engine does it.
  bool live(int rounds, OpenReport* report = nullptr) {
    refusal.reset();
    auto opened = open_local_log(disk, kDirectory, small_options(clock, random), report);
    if (!opened.ok()) return ended(opened.error());
    const std::unique_ptr<Log> log = std::move(opened).value();
    auto snapshot = log->newest_snapshot();
    if (!snapshot.ok()) return ended(snapshot.error());
    std::uint64_t applied = 0;
    if (*snapshot != nullptr) {
      applied = (*snapshot)->index().value;
      auto state = (*snapshot)->read(1 << 20);
      if (!state.ok()) return ended(state.error());
      EXPECT_EQ(*state, "state " + std::to_string(applied));
    }
    RecordingListener listener(applied);
    listener.on_committed = [&](const Record& record) { acknowledge(record); };
    if (const Status started = log->start(LogIndex{applied}, listener); !started.ok()) {
      return ended(started.error());
    }
    bool alive = poll_until(*log, [&] { return listener.leading || listener.failure; }) && !listener.failure;
    for (int round = 0; round < rounds && alive; ++round) alive = append_and_poll(*log, listener, round);
    for (const auto& [ticket, outcome] : listener.ended) {
      if (outcome == AppendOutcome::kRejected) rejected.insert(by_ticket_[ticket]);
    }
    if (listener.failure) return ended(*listener.failure);
    if (alive) check_complete(applied, listener);
    return alive;
  }

  void check_complete(std::uint64_t applied, const RecordingListener& listener) {
    const std::uint64_t last = acknowledged.empty() ? 0 : acknowledged.rbegin()->first;
    EXPECT_GE(applied + listener.records.size(), last) << "acknowledged records are missing";
  }

 private:
  bool ended(const Error& error) {
    refusal = error;
    EXPECT_NE(error.code(), Code::Internal);
    return false;
  }

  void acknowledge(const Record& record) {
    const std::string bytes(record.bytes);
    const auto [known, fresh] = acknowledged.emplace(record.index.value, bytes);
    EXPECT_EQ(known->second, bytes) << "record " << record.index.value << " has changed";
    EXPECT_TRUE(proposed.contains(bytes)) << "nobody proposed record " << record.index.value;
    EXPECT_FALSE(rejected.contains(bytes)) << "a rejected record appeared";
  }

  bool append_and_poll(Log& log, RecordingListener& listener, int round) {
    for (int i = 0; i < 3; ++i) {
      const std::uint64_t ticket = ++tickets_;
      std::string bytes = "r" + std::to_string(ticket) + ":";
      bytes.append((ticket * 397) % 1300, static_cast<char>('a' + ticket % 26));
      proposed.insert(bytes);
      by_ticket_[ticket] = bytes;
      const Status status = log.append(listener.epoch, Ticket{ticket}, bytes);
      if (!status.ok()) {
        rejected.insert(bytes);
        if (status.error().code() != Code::LogDiskFull) break;
      }
    }
    log.poll(microseconds(0));
    if (listener.failure) return false;
    if (round % 6 == 5) return snapshot_and_trim(log, listener);
    return true;
  }

  bool snapshot_and_trim(Log& log, RecordingListener& listener) {
    const LogIndex index = log.last_index();
    auto writer = log.begin_snapshot(index, listener.epoch);
    if (writer.ok()) {
      const bool written =
          (*writer)->write("state " + std::to_string(index.value)).ok() && (*writer)->commit().ok();
      if (!written) return true;  // no snapshot this time, the log goes on
    }
    if (const Status trimmed = log.trim(index); !trimmed.ok()) log.poll(microseconds(0));
    return !listener.failure;
  }

  std::uint64_t tickets_ = 0;
  std::map<std::uint64_t, std::string> by_ticket_;
};

constexpr int kRounds = 14;

// Two lives, so that opening an existing log is hit by faults as well.
void live_twice(World& world) {
  if (world.live(kRounds)) world.live(kRounds);
}

std::uint64_t operations_of_two_lives() {
  World world(1);
  live_twice(world);
  EXPECT_FALSE(world.refusal.has_value());
  EXPECT_GE(world.acknowledged.size(), 2U * 3 * kRounds);
  return world.disk.operations();
}

void expect_good_life(World& world, const std::string& when) {
  SCOPED_TRACE(when);
  EXPECT_TRUE(world.live(2)) << (world.refusal ? world.refusal->to_string()
                                               : std::string("it does not lead"));
}

TEST(LocalLogFaults, ACrashAtEveryOperationLosesNothing) {
  const std::uint64_t total = operations_of_two_lives();
  ASSERT_GT(total, 150U);
  for (std::uint64_t stop = 1; stop <= total; ++stop) {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      World world(seed * 1000 + stop);
      world.disk.stop_at_operation(stop);
      live_twice(world);
      ASSERT_TRUE(world.disk.fault_happened());
      world.disk.crash();
      // Reported as committed while replaying means durable: the second crash shows it.
      const std::string when = "stop " + std::to_string(stop) + " seed " + std::to_string(seed);
      expect_good_life(world, when);
      world.disk.crash();
      expect_good_life(world, when + ", second crash");
      if (HasFailure()) return;
    }
  }
}

TEST(LocalLogFaults, KillAtEveryOperationThenAPowerCutLosesNothing) {
  const std::uint64_t total = operations_of_two_lives();
  for (std::uint64_t stop = 1; stop <= total; ++stop) {
    World world(stop);
    world.disk.stop_at_operation(stop);
    live_twice(world);
    world.disk.kill();
    const std::string when = "stop " + std::to_string(stop);
    expect_good_life(world, when);
    world.disk.crash();
    expect_good_life(world, when + ", power cut");
    if (HasFailure()) return;
  }
}

TEST(LocalLogFaults, ACrashDuringRecoveryLosesNothing) {
  const std::uint64_t total = operations_of_two_lives();
  for (std::uint64_t stop = 3; stop <= total; stop += 7) {
    for (std::uint64_t second = 1; second <= 30; ++second) {
      World world(stop * 100 + second);
      world.disk.stop_at_operation(stop);
      live_twice(world);
      world.disk.crash();
      world.disk.stop_at_operation(second);
      world.live(1);
      world.disk.crash();
      expect_good_life(world, "stop " + std::to_string(stop) + " then " + std::to_string(second));
      if (HasFailure()) return;
    }
  }
}

void fail_every_operation(Code code) {
  const std::uint64_t total = operations_of_two_lives();
  for (std::uint64_t at = 1; at <= total; ++at) {
    for (const bool power_cut : {false, true}) {
      World world(at);
      world.disk.fail_operation(at, code);
      live_twice(world);
      ASSERT_TRUE(world.disk.fault_happened());
      if (power_cut) {
        world.disk.crash();
      } else {
        world.disk.kill();
      }
      const std::string when = "operation " + std::to_string(at) + (power_cut ? " power cut" : " kill");
      expect_good_life(world, when);
      world.disk.crash();
      expect_good_life(world, when + ", later power cut");
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(LocalLogFaults, AnIoErrorAtEveryOperationLosesNothing) { fail_every_operation(Code::IoFailed); }
TEST(LocalLogFaults, AFullDiskAtEveryOperationLosesNothing) { fail_every_operation(Code::DiskFull); }

// Writes a batch of several sectors whose sync never comes, keeps `kept` bytes of it and opens again.
TEST(LocalLogFaults, ATailTornAtEveryByteIsCutAndReported) {
  std::uint64_t bytes = 1;
  for (std::uint64_t kept = 0; kept <= bytes; ++kept) {
    SCOPED_TRACE("kept " + std::to_string(kept));
    World world(5);
    ASSERT_TRUE(world.live(1));
    const std::size_t before = world.acknowledged.size();
    // Opening writes the last batch again; the epoch's batch and the appends' batch follow, a write and a
    // sync each.
    auto opened = open_local_log(world.disk, kDirectory, small_options(world.clock, world.random));
    ASSERT_TRUE(opened.ok());
    RecordingListener listener;
    ASSERT_TRUE((*opened)->start(LogIndex{0}, listener).ok());
    ASSERT_TRUE(poll_until(**opened, [&] { return listener.leading; }));
    const std::string record = "r0:" + std::string(1000, 'z');
    world.proposed.insert(record);
    ASSERT_TRUE((*opened)->append(listener.epoch, Ticket{1}, record).ok());
    world.disk.stop_at_operation(2);
    (*opened)->poll(microseconds(0));
    ASSERT_TRUE(listener.failure.has_value());
    ASSERT_EQ(listener.ended.size(), 1U);
    EXPECT_EQ(listener.ended[0].second, AppendOutcome::kUnknown);
    opened->reset();
    bytes = world.disk.unsynced_bytes();
    ASSERT_EQ(bytes, 3 * 512U);
    world.disk.crash_keeping(kept);
    OpenReport report;
    ASSERT_TRUE(world.live(0, &report)) << world.refusal->to_string();
    EXPECT_EQ(world.acknowledged.size(), before + (kept == bytes ? 1 : 0));
    EXPECT_EQ(report.torn_bytes, kept == bytes ? 0 : (kept + 511) / 512 * 512);
    EXPECT_EQ(report.torn_file.empty(), report.torn_bytes == 0);
    expect_good_life(world, "after the cut");
    if (HasFailure()) return;
  }
}

TEST(LocalLogFaults, EveryFlippedBitIsHarmlessOrRefused) {
  World original(9);
  ASSERT_TRUE(original.live(7));
  ASSERT_TRUE(original.live(3));
  const auto paths = original.disk.paths();
  std::uint64_t refused = 0;
  std::uint64_t harmless = 0;
  for (const std::string& path : paths) {
    if (path.ends_with("LOCK")) continue;
    const std::uint64_t bits = original.disk.contents(path).size() * 8;
    std::unique_ptr<World> world;  // made again after a life that was not refused, because that one wrote
    for (std::uint64_t bit = 0; bit < bits; ++bit) {
      if (world == nullptr) {
        world = std::make_unique<World>(bit);
        ASSERT_TRUE(world->disk.make_directory(kDirectory).ok());
        for (const std::string& each : paths) world->disk.set_contents(each, original.disk.contents(each));
        world->acknowledged = original.acknowledged;
        world->proposed = original.proposed;
      }
      world->disk.flip_bit(path, bit);
      if (world->live(0)) {
        ++harmless;
        world.reset();
      } else {
        ++refused;
        ASSERT_TRUE(world->refusal.has_value()) << path << " bit " << bit;
        const Code code = world->refusal->code();
        EXPECT_TRUE(code == Code::LogDamaged || code == Code::SnapshotDamaged) << world->refusal->to_string();
        EXPECT_NE(world->refusal->message().find(path), std::string::npos) << world->refusal->to_string();
        world->disk.flip_bit(path, bit);
      }
      if (HasFailure()) FAIL() << path << " bit " << bit;
    }
  }
  EXPECT_GT(refused, 10'000U);
  EXPECT_GT(harmless, 1'000U) << "room that was never written";
}

// Everything in the written part of the last batch, which is the one that could be mistaken for a torn tail.
TEST(LocalLogFaults, AFlippedBitInTheLastAcknowledgedBatchIsRefused) {
  World original(11);
  ASSERT_TRUE(original.live(1));
  const std::string path = std::string(kDirectory) + "/log-0000000001.seg";
  const std::string contents = original.disk.contents(path);
  const std::size_t end = (contents.find_last_not_of('\0') + 512) / 512 * 512;
  ASSERT_GT(end, 2 * 512U);
  World world(12);
  ASSERT_TRUE(world.disk.make_directory(kDirectory).ok());
  world.disk.set_contents(path, contents);
  for (std::uint64_t bit = 512 * 8; bit < end * 8; ++bit) {
    world.disk.flip_bit(path, bit);
    ASSERT_FALSE(world.live(0)) << "bit " << bit;
    ASSERT_TRUE(world.refusal.has_value());
    ASSERT_EQ(world.refusal->code(), Code::LogDamaged) << world.refusal->to_string();
    world.disk.flip_bit(path, bit);
  }
}

class DamagedDirectory : public testing::Test {
 protected:
  // A log of several segments and two snapshots.
  void SetUp() override {
    ASSERT_TRUE(world_.live(17));
    for (const std::string& path : world_.disk.paths()) {
      if (path.ends_with(".seg")) segments_.push_back(path);
      if (path.ends_with(".snap")) snapshots_.push_back(path);
    }
    ASSERT_GE(segments_.size(), 3U);
    ASSERT_EQ(snapshots_.size(), 2U);
  }
  void expect_refused(Code code, const std::string& named) {
    ASSERT_FALSE(world_.live(0));
    ASSERT_TRUE(world_.refusal.has_value());
    EXPECT_EQ(world_.refusal->code(), code) << world_.refusal->to_string();
    EXPECT_NE(world_.refusal->message().find(named), std::string::npos) << world_.refusal->to_string();
  }
  World world_{21};
  std::vector<std::string> segments_;
  std::vector<std::string> snapshots_;
};

TEST_F(DamagedDirectory, AMissingMiddleSegmentIsRefused) {
  ASSERT_TRUE(world_.disk.unlink(segments_[1]).ok());
  expect_refused(Code::LogDamaged, segments_[1]);
}

TEST_F(DamagedDirectory, AMissingLastSegmentIsRefused) {
  ASSERT_TRUE(world_.disk.unlink(segments_.back()).ok());
  expect_refused(Code::LogDamaged, segments_.back());
}

TEST_F(DamagedDirectory, AMissingFirstSegmentIsRefused) {
  ASSERT_TRUE(world_.disk.unlink(snapshots_[1]).ok());
  ASSERT_TRUE(world_.disk.unlink(segments_[0]).ok());
  ASSERT_TRUE(world_.disk.unlink(segments_[1]).ok());
  expect_refused(Code::LogDamaged, segments_[2]);
}

TEST_F(DamagedDirectory, MissingSegmentsBehindASnapshotAreRefused) {
  for (const std::string& path : segments_) ASSERT_TRUE(world_.disk.unlink(path).ok());
  expect_refused(Code::LogDamaged, "snapshot");
}

TEST_F(DamagedDirectory, ACutLastSegmentIsRefused) {
  const std::string contents = world_.disk.contents(segments_.back());
  for (std::size_t bytes = 0; bytes < contents.size(); bytes += 256) {
    world_.disk.set_contents(segments_.back(), contents.substr(0, bytes));
    expect_refused(Code::LogDamaged, segments_.back());
  }
}

TEST_F(DamagedDirectory, ASegmentOfAnotherLogIsRefused) {
  World other(22);
  other.random = SeededRandom(99);
  ASSERT_TRUE(other.live(17));
  world_.disk.set_contents(segments_[1], other.disk.contents(segments_[1]));
  expect_refused(Code::LogDamaged, segments_[1]);
}

TEST_F(DamagedDirectory, ASectorInTheWrongPlaceIsRefused) {
  std::string contents = world_.disk.contents(segments_[0]);
  contents.replace(1024, 512, contents.substr(512, 512));
  world_.disk.set_contents(segments_[0], contents);
  expect_refused(Code::LogDamaged, segments_[0]);
}

TEST(LocalLogFaults, ZeroedSectorsBeforeTheLastBatchAreRefused) {
  World world(23);
  ASSERT_TRUE(world.live(2));
  const std::string path = std::string(kDirectory) + "/log-0000000001.seg";
  std::string contents = world.disk.contents(path);
  contents.replace(512, 512, std::string(512, '\0'));
  world.disk.set_contents(path, contents);
  ASSERT_FALSE(world.live(0));
  EXPECT_EQ(world.refusal->code(), Code::LogDamaged);
  EXPECT_NE(world.refusal->message().find(path + " at byte 512"), std::string::npos)
      << world.refusal->to_string();
}

// After a clean stop nothing of the records is unproven: zeroes in place of the last batch of records are
// seen as well.
TEST(LocalLogFaults, AfterACleanStopALostLastBatchIsRefused) {
  FakeDisk disk(24);
  ManualClock clock;
  SeededRandom random(3);
  {
    auto log = open_local_log(disk, kDirectory, small_options(clock, random));
    ASSERT_TRUE(log.ok());
    RecordingListener listener;
    ASSERT_TRUE((*log)->start(LogIndex{0}, listener).ok());
    ASSERT_TRUE(poll_until(**log, [&] { return listener.leading; }));
    ASSERT_TRUE((*log)->append(listener.epoch, Ticket{1}, "acknowledged").ok());
    (*log)->poll(microseconds(0));
    ASSERT_EQ(listener.records.size(), 1U);
    ASSERT_TRUE((*log)->seal(listener.epoch).ok());
  }
  const std::string path = std::string(kDirectory) + "/log-0000000001.seg";
  std::string contents = disk.contents(path);
  contents.replace(1024, 512, std::string(512, '\0'));
  disk.set_contents(path, contents);
  const auto opened = open_local_log(disk, kDirectory, small_options(clock, random));
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code(), Code::LogDamaged);
}

TEST_F(DamagedDirectory, ADamagedNewestSnapshotMayBeMovedAway) {
  world_.disk.flip_bit(snapshots_[1], 64 * 8 + 3);
  expect_refused(Code::SnapshotDamaged, snapshots_[1] + " at byte 64");
  EXPECT_NE(world_.refusal->hint().find("Move that file"), std::string::npos);
  ASSERT_TRUE(world_.disk.unlink(snapshots_[1]).ok());
  expect_good_life(world_, "from the snapshot before");
}

TEST_F(DamagedDirectory, ANewerFormatIsNamed) {
  std::string contents = world_.disk.contents(segments_.back());
  std::string header = contents.substr(0, 512);
  header[8] = 2;
  header.resize(508);
  std::string sum;
  format::put_u32(sum, crc32c(0, header));
  world_.disk.set_contents(segments_.back(), header + sum + contents.substr(512));
  expect_refused(Code::LogFormatNewer, segments_.back());
}

}  // namespace
}  // namespace ez::log
