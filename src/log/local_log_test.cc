// What is particular to the local log: the directory, the lock, a full disk, group commit.
#include "log/local_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "log/disk_posix.h"
#include "log/fake_disk.h"
#include "log/testing.h"

namespace ez::log {
namespace {

using testing::HasSubstr;

class LocalLogTest : public testing::Test {
 protected:
  LocalLogOptions options() { return small_options(clock_, random_); }

  // Opens on the fake disk, replays everything and leads.
  void lead(const LocalLogOptions& chosen) {
    log_.reset();
    auto opened = open_local_log(disk_, "/data/log", chosen);
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
    log_ = std::move(opened).value();
    listener_ = std::make_unique<RecordingListener>();
    ASSERT_TRUE(log_->start(LogIndex{0}, *listener_).ok());
    ASSERT_TRUE(poll_until(*log_, [&] { return listener_->leading; }));
  }
  Status append(const std::string& bytes) { return log_->append(listener_->epoch, Ticket{++ticket_}, bytes); }

  FakeDisk disk_{31};
  ManualClock clock_;
  SeededRandom random_{32};
  std::unique_ptr<RecordingListener> listener_;
  std::unique_ptr<Log> log_;
  std::uint64_t ticket_ = 0;
};

TEST_F(LocalLogTest, EverythingAppendedTogetherCostsOneWriteAndOneSync) {
  LocalLogOptions chosen = options();
  chosen.segment_bytes = 1 << 20;
  chosen.max_batch_bytes = 1 << 20;
  lead(chosen);
  ASSERT_TRUE(append("first").ok());  // looks at the free room
  log_->poll(microseconds(0));
  const std::uint64_t before = disk_.operations();
  for (int i = 0; i < 256; ++i) ASSERT_TRUE(append(std::string(100, 'c')).ok());
  EXPECT_EQ(disk_.operations(), before) << "append() does not touch the disk";
  log_->poll(microseconds(0));
  EXPECT_EQ(disk_.operations(), before + 2) << "pwrite and fdatasync";
  EXPECT_EQ(listener_->records.size(), 257U);
}

TEST_F(LocalLogTest, NothingIsCommittedBeforeItsSync) {
  lead(options());
  ASSERT_TRUE(append("one").ok());
  disk_.fail_operation(2, Code::IoFailed);  // the sync after the write
  log_->poll(microseconds(0));
  EXPECT_TRUE(disk_.fault_happened());
  EXPECT_TRUE(listener_->records.empty());
  ASSERT_TRUE(listener_->failure.has_value());
  EXPECT_EQ(listener_->failure->code(), Code::LogWriteFailed);
  ASSERT_EQ(listener_->ended.size(), 1U);
  EXPECT_EQ(listener_->ended[0].second, AppendOutcome::kUnknown);
  const std::uint64_t operations = disk_.operations();
  const Status refused = append("two");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::ShuttingDown);
  log_->poll(microseconds(0));
  EXPECT_EQ(disk_.operations(), operations) << "a failed sync is never tried again";
}

TEST_F(LocalLogTest, BelowTheReserveItRefusesAndComesBack) {
  LocalLogOptions chosen = options();
  chosen.reserve_bytes = 100'000;
  disk_.set_capacity(1'000'000);
  lead(chosen);
  ASSERT_TRUE(append("one").ok());
  log_->poll(microseconds(0));
  disk_.set_contents("/data/other", std::string(950'000, 'x'));
  clock_.advance_ms(2000);
  const Status refused = append("two");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::LogDiskFull);
  EXPECT_TRUE(refused.error().retry());
  disk_.set_contents("/data/other", "");
  clock_.advance_ms(200);
  EXPECT_TRUE(append("three").ok());
  log_->poll(microseconds(0));
  EXPECT_THAT(listener_->bodies(), testing::ElementsAre("one", "three"));
  EXPECT_FALSE(listener_->failure.has_value());
}

TEST_F(LocalLogTest, ManyBytesMakeItLookAtTheFreeRoomWithoutWaiting) {
  LocalLogOptions chosen = options();
  chosen.reserve_bytes = 100'000;
  chosen.reserve_check_bytes = 5'000;
  disk_.set_capacity(1'000'000);
  lead(chosen);
  ASSERT_TRUE(append("one").ok());
  disk_.set_contents("/data/other", std::string(950'000, 'x'));
  Status status;
  int accepted = 0;
  for (; accepted < 100 && status.ok(); ++accepted) status = append(std::string(1000, 'y'));
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), Code::LogDiskFull);
  EXPECT_LE(accepted, 6);
}

TEST_F(LocalLogTest, WithoutRoomForTheNextSegmentItRefusesAndLosesNothing) {
  lead(options());
  disk_.set_capacity(10'000);  // one segment of 8192 and no second one
  std::vector<std::string> accepted;
  Status status;
  while (status.ok()) {
    const std::string bytes = "record " + std::to_string(accepted.size());
    status = append(bytes);
    if (status.ok()) accepted.push_back(bytes);
    if (accepted.size() % 5 == 0) log_->poll(microseconds(0));
    ASSERT_LT(accepted.size(), 1000U);
  }
  EXPECT_EQ(status.error().code(), Code::LogDiskFull);
  log_->poll(microseconds(0));
  EXPECT_EQ(listener_->bodies(), accepted) << "what was accepted has its place";
  EXPECT_FALSE(listener_->failure.has_value());

  disk_.set_capacity(1'000'000);
  ASSERT_TRUE(append("room again").ok());
  accepted.emplace_back("room again");
  log_->poll(microseconds(0));
  EXPECT_EQ(listener_->bodies(), accepted);
  lead(options());
  EXPECT_EQ(listener_->bodies(), accepted);
}

TEST_F(LocalLogTest, OpenedOnAFullDiskItLeadsWhenThereIsRoom) {
  lead(options());
  std::size_t records = 0;
  disk_.set_capacity(10'000);
  while (append("x").ok()) {
    ++records;
    log_->poll(microseconds(0));
  }
  EXPECT_EQ(listener_->records.size(), records);
  log_.reset();
  auto opened = open_local_log(disk_, "/data/log", options());
  ASSERT_TRUE(opened.ok()) << opened.error().to_string();
  log_ = std::move(opened).value();
  listener_ = std::make_unique<RecordingListener>();
  ASSERT_TRUE(log_->start(LogIndex{0}, *listener_).ok());
  ASSERT_TRUE(poll_until(*log_, [&] { return listener_->records.size() == records; }));
  for (int i = 0; i < 3; ++i) log_->poll(microseconds(0));
  EXPECT_FALSE(listener_->leading);
  EXPECT_FALSE(listener_->failure.has_value());
  disk_.set_capacity(1'000'000);
  clock_.advance_ms(200);
  EXPECT_TRUE(poll_until(*log_, [&] { return listener_->leading; }));
}

TEST_F(LocalLogTest, TheReportSaysWhatOpeningFound) {
  OpenReport report;
  {
    auto opened = open_local_log(disk_, "/data/log", options(), &report);
    ASSERT_TRUE(opened.ok());
    EXPECT_TRUE(report.fresh);
  }
  lead(options());
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(append(std::string(700, 'r')).ok());
    log_->poll(microseconds(0));
  }
  log_.reset();
  disk_.set_contents("/data/log/spare-9.tmp", "left over");
  auto opened = open_local_log(disk_, "/data/log", options(), &report);
  ASSERT_TRUE(opened.ok());
  EXPECT_FALSE(report.fresh);
  EXPECT_EQ(report.first_index.value, 1U);
  EXPECT_EQ(report.last_index.value, 30U);
  EXPECT_EQ(report.epoch.value, 1U);
  EXPECT_EQ(report.leftovers_removed, 1U);
  EXPECT_GE(report.segments, 3U);
  EXPECT_EQ(report.torn_bytes, 0U);
  EXPECT_THAT(disk_.paths(), testing::Not(testing::Contains("/data/log/spare-9.tmp")));
}

TEST_F(LocalLogTest, AReadOnlyDirectoryIsUnusable) {
  lead(options());
  log_.reset();
  disk_.set_read_only(true);
  const auto opened = open_local_log(disk_, "/data/log", options());
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code(), Code::DataDirUnusable);
}

TEST_F(LocalLogTest, ASnapshotWriterThatOutlivesTheLogKeepsTheDirectoryLocked) {
  lead(options());
  ASSERT_TRUE(append("one").ok());
  log_->poll(microseconds(0));
  auto writer = log_->begin_snapshot(LogIndex{1}, listener_->epoch);
  ASSERT_TRUE(writer.ok());
  log_.reset();
  const auto early = open_local_log(disk_, "/data/log", options());
  ASSERT_FALSE(early.ok());
  EXPECT_EQ(early.error().code(), Code::DataDirLocked);
  ASSERT_TRUE((*writer)->write("late but whole").ok());
  ASSERT_TRUE((*writer)->commit().ok());
  writer->reset();
  lead(options());
  EXPECT_EQ(log_->newest_snapshot().value()->read(100).value(), "late but whole");
}

TEST_F(LocalLogTest, ALongWaitIsAWaitAndNotASpin) {
  lead(options());
  log_->wake();
  log_->poll(microseconds::max());  // consumes the wake
  std::thread other([&] { log_->wake(); });
  log_->poll(microseconds::max());
  other.join();
}

TEST_F(LocalLogTest, ImpossibleOptionsAreRefused) {
  for (const std::uint64_t bytes : {0ULL, 4095ULL, (4ULL << 30) + 1}) {
    LocalLogOptions chosen = options();
    chosen.segment_bytes = bytes;
    const auto opened = open_local_log(disk_, "/data/log", chosen);
    ASSERT_FALSE(opened.ok());
    EXPECT_EQ(opened.error().code(), Code::InvalidArgument);
  }
}

Code code_of_opening(const std::string& path, std::string* message = nullptr) {
  LocalLogOptions options;
  options.segment_bytes = 8192;
  options.reserve_bytes = 0;
  const auto opened = open_local_log(posix_disk(), path, options);
  if (opened.ok()) return Code::Internal;
  if (message != nullptr) *message = opened.error().message();
  return opened.error().code();
}

TEST(LocalLogOnDisk, ASecondOpenFindsTheDirectoryLocked) {
  TemporaryDirectory directory;
  LocalLogOptions options;
  options.segment_bytes = 8192;
  auto first = open_local_log(posix_disk(), directory.path(), options);
  ASSERT_TRUE(first.ok()) << first.error().to_string();
  std::string message;
  EXPECT_EQ(code_of_opening(directory.path(), &message), Code::DataDirLocked);
  EXPECT_THAT(message, HasSubstr("process " + std::to_string(::getpid())));
  first->reset();
  EXPECT_TRUE(open_local_log(posix_disk(), directory.path(), options).ok());
}

TEST(LocalLogOnDisk, ASecondProcessFindsTheDirectoryLocked) {
  TemporaryDirectory directory;
  LocalLogOptions options;
  options.segment_bytes = 8192;
  options.background_prepare = false;
  const auto first = open_local_log(posix_disk(), directory.path(), options);
  ASSERT_TRUE(first.ok());
  const pid_t child = ::fork();
  if (child == 0) ::_exit(code_of_opening(directory.path()) == Code::DataDirLocked ? 0 : 1);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(LocalLogOnDisk, AFileInPlaceOfTheDirectoryIsUnusable) {
  TemporaryDirectory directory;
  const std::string path = directory.path() + "/file";
  std::ofstream(path) << "not a directory";
  EXPECT_EQ(code_of_opening(path), Code::DataDirUnusable);
  EXPECT_EQ(code_of_opening(path + "/log"), Code::DataDirUnusable);
  EXPECT_EQ(code_of_opening(directory.path() + "/missing/log"), Code::DataDirUnusable);
}

// In a child process, because root may write everywhere and has to become somebody else first.
TEST(LocalLogOnDisk, ADirectoryWithoutWritePermissionIsUnusable) {
  TemporaryDirectory directory;
  { ASSERT_EQ(code_of_opening(directory.path()), Code::Internal) << "opens while it may be written"; }
  ASSERT_EQ(::chmod((directory.path() + "/LOCK").c_str(), 0666), 0);
  ASSERT_EQ(::chmod((directory.path() + "/log-0000000001.seg").c_str(), 0666), 0);
  ASSERT_EQ(::chmod(directory.path().c_str(), 0555), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(2);
    ::_exit(code_of_opening(directory.path()) == Code::DataDirUnusable ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(::chmod(directory.path().c_str(), 0755), 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(LocalLogOnDisk, RollsThroughSegmentsPreparedInTheBackground) {
  TemporaryDirectory directory;
  LocalLogOptions options;
  options.segment_bytes = 256 * 1024;
  options.reserve_bytes = 0;
  std::vector<std::string> expected;
  std::uint64_t ticket = 0;
  for (int life = 0; life < 3; ++life) {
    auto opened = open_local_log(posix_disk(), directory.path(), options);
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
    RecordingListener listener;
    ASSERT_TRUE((*opened)->start(LogIndex{0}, listener).ok());
    ASSERT_TRUE(poll_until(**opened, [&] { return listener.leading; }));
    EXPECT_EQ(listener.bodies(), expected);
    for (int i = 0; i < 60; ++i) {
      for (int k = 0; k < 8; ++k) {
        expected.push_back(std::string(2000, static_cast<char>('a' + i % 26)) + std::to_string(++ticket));
        ASSERT_TRUE((*opened)->append(listener.epoch, Ticket{ticket}, expected.back()).ok());
      }
      (*opened)->poll(microseconds(0));
    }
    ASSERT_EQ(listener.bodies(), expected);
    if (life == 1) {
      ASSERT_TRUE((*opened)->seal(listener.epoch).ok());
    }
  }
}

// kill -9 in the middle of writing: a child process appends and reports each commit through a pipe before it
// dies.
TEST(LocalLogOnDisk, KillNineLosesNothingThatWasAcknowledged) {
  TemporaryDirectory directory;
  LocalLogOptions options;
  options.segment_bytes = 64 * 1024;
  options.reserve_bytes = 0;
  std::uint64_t acknowledged = 0;
  for (int round = 0; round < 5; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      auto opened = open_local_log(posix_disk(), directory.path(), options);
      if (!opened.ok()) ::_exit(1);
      RecordingListener listener;
      if (!(*opened)->start(LogIndex{0}, listener).ok()) ::_exit(2);
      listener.on_committed = [&](const Record& record) {
        if (record.ticket.value != 0 && ::write(ends[1], &record.index.value, 8) != 8) ::_exit(3);
      };
      for (std::uint64_t ticket = 1;;) {
        (*opened)->poll(microseconds(0));
        for (int i = 0; i < 7 && listener.leading; ++i, ++ticket) {
          if (!(*opened)->append(listener.epoch, Ticket{ticket}, std::string(ticket * 31 % 900, 'k')).ok())
            ::_exit(4);
        }
      }
    }
    ::close(ends[1]);
    std::uint64_t index = 0;
    const std::uint64_t enough = acknowledged + 40 + static_cast<std::uint64_t>(round) * 53;
    while (acknowledged < enough && ::read(ends[0], &index, 8) == 8) acknowledged = index;
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    while (::read(ends[0], &index, 8) == 8) acknowledged = index;
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself with " << WEXITSTATUS(status);
    OpenReport report;
    const auto opened = open_local_log(posix_disk(), directory.path(), options, &report);
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
    EXPECT_GE(report.last_index.value, acknowledged);
    acknowledged = report.last_index.value;
  }
}

}  // namespace
}  // namespace ez::log
