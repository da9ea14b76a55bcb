#include "storage/attempt_logs.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <mutex>
#include <thread>

#include "storage/test_support.h"

namespace ez::storage {
namespace {

namespace fs = std::filesystem;

class AttemptLogsTest : public testing::Test {
 protected:
  void SetUp() override { open(); }
  void open() {
    logs.reset();
    auto opened = AttemptLogs::open(folder.path(), limits);
    EZ_ASSERT_OK(opened);
    logs = std::move(*opened);
  }
  std::string all(const AttemptId& id) {
    auto chunk = logs->read(id, 0, kMaxLogReadBytes);
    EXPECT_TRUE(chunk.ok()) << chunk.error().to_string();
    return chunk->bytes;
  }

  TemporaryFolder folder;
  AttemptLogLimits limits;
  std::unique_ptr<AttemptLogs> logs;
  const AttemptId build{RunId{1}, "build", 1};
};

TEST_F(AttemptLogsTest, AppendsAreIdempotentByOffset) {
  EXPECT_EQ(logs->append(build, 0, "hello ")->size, 6U);
  EXPECT_EQ(logs->append(build, 0, "hello ")->size, 6U);
  EXPECT_EQ(logs->append(build, 3, "lo world")->size, 11U);  // overlaps
  EXPECT_EQ(logs->append(build, 11, "")->size, 11U);
  EXPECT_EQ(all(build), "hello world");
  auto gap = logs->append(build, 12, "x");
  EZ_EXPECT_CODE(gap, LogGap);
  EXPECT_NE(gap.error().message().find("size 11"), std::string::npos);
  EXPECT_EQ(*logs->size(build), 11U);
  open();
  EXPECT_EQ(all(build), "hello world");
  EXPECT_EQ(logs->stored_bytes(), 11U);
  EXPECT_EQ(logs->append(build, 11, "!")->size, 12U);
}

TEST_F(AttemptLogsTest, ReadsPieces) {
  const std::string bytes = random_bytes(1, 100'000);
  EZ_ASSERT_OK(logs->append(build, 0, bytes));
  EXPECT_EQ(logs->read(build, 50'000, 10)->bytes, bytes.substr(50'000, 10));
  EXPECT_EQ(logs->read(build, 99'990, 1000)->bytes, bytes.substr(99'990));
  EXPECT_EQ(logs->read(build, 100'000, 10)->bytes, "");
  EXPECT_EQ(logs->read(build, ~0ULL, 10)->bytes, "");
  EXPECT_EQ(logs->read(build, 0, 10)->state.size, 100'000U);
}

TEST_F(AttemptLogsTest, NothingPrintedIsEmpty) {
  auto chunk = logs->read(build, 0, 100);
  EZ_ASSERT_OK(chunk);
  EXPECT_EQ(chunk->bytes, "");
  EXPECT_FALSE(chunk->state.finished);
  EZ_ASSERT_OK(logs->finish(build));
  EXPECT_TRUE(logs->state(build)->finished);
  EXPECT_FALSE(fs::exists(folder / "logs/01/r1"));
}

TEST_F(AttemptLogsTest, FinishedStaysFinished) {
  EZ_ASSERT_OK(logs->append(build, 0, "done\n"));
  EZ_ASSERT_OK(logs->finish(build));
  EZ_ASSERT_OK(logs->finish(build));
  EXPECT_EQ(logs->append(build, 0, "done\n")->size, 5U);  // a late repetition is fine
  EZ_EXPECT_CODE(logs->append(build, 5, "more"), WrongState);
  open();
  EXPECT_TRUE(logs->state(build)->finished);
  EXPECT_EQ(all(build), "done\n");
  EZ_EXPECT_CODE(logs->append(build, 5, "more"), WrongState);
}

TEST_F(AttemptLogsTest, NamesThatLeaveTheFolderAreRefused) {
  const std::string long_name(64, 'a');
  for (const std::string& task :
       {std::string(), std::string(".."), std::string("../x"), std::string("a/b"), std::string("/etc/passwd"),
        std::string("a..1"), std::string("a."), std::string(".1"), std::string("a.b"), std::string("A"),
        std::string("-a"), std::string("_a"), std::string("a\0b", 3), std::string("a.1.2"),
        std::string("a.1234567890"), long_name}) {
    EZ_EXPECT_CODE(logs->append({RunId{1}, task, 1}, 0, "x"), InvalidArgument);
    EZ_EXPECT_CODE(logs->read({RunId{1}, task, 1}, 0, 1), InvalidArgument);
    EZ_EXPECT_CODE(logs->finish({RunId{1}, task, 1}), InvalidArgument);
    EZ_EXPECT_CODE(logs->subscribe({RunId{1}, task, 1}, {}), InvalidArgument);
  }
  EZ_EXPECT_CODE(logs->append({RunId{0}, "a", 1}, 0, "x"), InvalidArgument);
  EZ_EXPECT_CODE(logs->append({RunId{1}, "a", 0}, 0, "x"), InvalidArgument);
  for (const std::string& task :
       {std::string("a"), std::string("0_-"), std::string("convert.0"), long_name.substr(1)}) {
    EZ_ASSERT_OK(logs->append({RunId{1}, task, 1}, 0, task));
    EXPECT_EQ(all({RunId{1}, task, 1}), task);
  }
}

TEST_F(AttemptLogsTest, AttemptsAndInstancesDoNotMix) {
  EZ_ASSERT_OK(logs->append({RunId{1}, "a", 1}, 0, "a1"));
  EZ_ASSERT_OK(logs->append({RunId{1}, "a", 2}, 0, "a2"));
  EZ_ASSERT_OK(logs->append({RunId{1}, "a.1", 1}, 0, "a.1-1"));
  EZ_ASSERT_OK(logs->append({RunId{257}, "a", 1}, 0, "r257"));
  open();
  EXPECT_EQ(all({RunId{1}, "a", 1}), "a1");
  EXPECT_EQ(all({RunId{1}, "a", 2}), "a2");
  EXPECT_EQ(all({RunId{1}, "a.1", 1}), "a.1-1");
  EXPECT_EQ(all({RunId{257}, "a", 1}), "r257");
}

TEST_F(AttemptLogsTest, OverItsLimitALogEndsWithAMarker) {
  limits.max_attempt_bytes = 10;
  open();
  EXPECT_FALSE(logs->append(build, 0, "0123456789")->truncated);  // exactly the limit is fine
  auto over = logs->append(build, 10, "abc");
  EZ_ASSERT_OK(over);
  EXPECT_TRUE(over->truncated);
  const std::string expected = "0123456789\n[ez: the log ends here, at its limit of 10 bytes]\n";
  EXPECT_EQ(all(build), expected);
  for (int round = 0; round < 2; ++round) {
    auto dropped = logs->append(build, 1'000'000, "more");
    EZ_ASSERT_OK(dropped);
    EXPECT_TRUE(dropped->truncated);
    EXPECT_EQ(dropped->size, 1'000'004U);
    EXPECT_EQ(all(build), expected);
    open();  // and after a start it still knows
  }
  const AttemptId other{RunId{1}, "other", 1};
  EXPECT_TRUE(logs->append(other, 0, "0123456789abcdef")->truncated);
  EXPECT_EQ(all(other), expected);
}

TEST_F(AttemptLogsTest, TheBudgetRefusesAndComesBack) {
  limits.total_bytes = 100;
  open();
  EZ_ASSERT_OK(logs->append(build, 0, std::string(60, 'x')));
  const AttemptId other{RunId{2}, "build", 1};
  EZ_EXPECT_CODE(logs->append(other, 0, std::string(41, 'y')), DiskFull);
  EXPECT_EQ(*logs->size(other), 0U);
  EXPECT_EQ(logs->stored_bytes(), 60U);
  EZ_ASSERT_OK(logs->remove_run(RunId{1}));
  EXPECT_EQ(logs->stored_bytes(), 0U);
  EZ_ASSERT_OK(logs->append(other, 0, std::string(41, 'y')));
  EZ_EXPECT_CODE(logs->append(other, 41, std::string(kMaxAppendBytes + 1, 'y')), PayloadTooLarge);
}

// A real refusal of the kernel in the middle of a write (the limit on the size of files stands in for a full
// disk).
TEST_F(AttemptLogsTest, AFailedWriteLeavesTheLogAsItWas) {
  EZ_ASSERT_OK(logs->append(build, 0, "kept"));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 1000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  auto failed = logs->append(build, 4, std::string(5000, 'x'));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, old_handler);
  EZ_EXPECT_CODE(failed, IoFailed);
  EXPECT_EQ(all(build), "kept");
  EXPECT_EQ(logs->stored_bytes(), 4U);
  EZ_ASSERT_OK(logs->append(build, 4, " on"));
  EXPECT_EQ(all(build), "kept on");
}

TEST_F(AttemptLogsTest, RemoveRunTakesOnlyThatRun) {
  EZ_ASSERT_OK(logs->append({RunId{1}, "a", 1}, 0, "x"));
  EZ_ASSERT_OK(logs->append({RunId{1}, "b", 1}, 0, "x"));
  EZ_ASSERT_OK(logs->append({RunId{257}, "a", 1}, 0, "kept"));
  EZ_ASSERT_OK(logs->finish({RunId{1}, "b", 1}));
  EZ_ASSERT_OK(logs->remove_run(RunId{1}));
  EZ_ASSERT_OK(logs->remove_run(RunId{1}));
  EZ_ASSERT_OK(logs->remove_run(RunId{99}));
  EXPECT_FALSE(fs::exists(folder / "logs/01/r1"));
  EXPECT_EQ(all({RunId{1}, "a", 1}), "");
  EXPECT_EQ(all({RunId{257}, "a", 1}), "kept");
  EXPECT_EQ(logs->stored_bytes(), 4U);
}

TEST_F(AttemptLogsTest, OpenFilesAreBounded) {
  limits.max_open_files = 16;
  open();
  for (std::uint32_t round = 0; round < 3; ++round) {
    for (std::uint32_t i = 1; i <= 200; ++i) {
      EZ_ASSERT_OK(logs->append({RunId{i}, "a", 1}, round, "x"));
      EXPECT_LE(logs->open_files(), 16U);
    }
  }
  for (std::uint32_t i = 1; i <= 200; ++i) EXPECT_EQ(all({RunId{i}, "a", 1}), "xxx");
}

TEST_F(AttemptLogsTest, ForgetsOldAttemptsButNotTheirBytes) {
  const std::uint32_t many = kMaxRemembered + 2000;
  for (std::uint32_t i = 1; i <= many; ++i)
    EZ_ASSERT_OK(logs->append({RunId{1}, "a." + std::to_string(i), 1}, 0, "x"));
  for (std::uint32_t i = 1; i <= many; i += 97) {
    EXPECT_EQ(logs->append({RunId{1}, "a." + std::to_string(i), 1}, 1, "y")->size, 2U);
  }
  EXPECT_LE(logs->open_files(), limits.max_open_files);
}

TEST_F(AttemptLogsTest, FollowersAreCalled) {
  std::vector<LogState> seen;
  {
    auto follower = logs->subscribe(build, [&](const LogState& state) { seen.push_back(state); });
    EZ_ASSERT_OK(follower);
    EZ_ASSERT_OK(logs->append(build, 0, "one"));
    EZ_ASSERT_OK(logs->append(build, 0, "one"));  // a repetition grows nothing
    EZ_ASSERT_OK(logs->append({RunId{1}, "other", 1}, 0, "x"));
    EZ_ASSERT_OK(logs->append(build, 3, "two"));
    EZ_ASSERT_OK(logs->finish(build));
    ASSERT_EQ(seen.size(), 3U);
    EXPECT_EQ(seen[0].size, 3U);
    EXPECT_EQ(seen[1].size, 6U);
    EXPECT_FALSE(seen[1].finished);
    EXPECT_TRUE(seen[2].finished);
    EZ_ASSERT_OK(logs->remove_run(RunId{1}));
    EXPECT_EQ(seen.size(), 4U);
  }
  EZ_ASSERT_OK(logs->append(build, 0, "again"));
  EXPECT_EQ(seen.size(), 4U);  // ended
}

TEST_F(AttemptLogsTest, FollowersAreBoundedAndGiveTheirPlaceBack) {
  std::vector<LogSubscription> followers;
  for (std::size_t i = 0; i < kMaxSubscriptions; ++i) {
    auto follower = logs->subscribe(build, [](const LogState&) {});
    EZ_ASSERT_OK(follower);
    followers.push_back(std::move(*follower));
  }
  EZ_EXPECT_CODE(logs->subscribe(build, [](const LogState&) {}), Overloaded);
  followers.pop_back();
  EZ_ASSERT_OK(logs->subscribe(build, [](const LogState&) {}));
  logs.reset();
  followers.clear();  // may outlive the store
  open();
}

// One thread appends, another follows to the end by notifications alone: every byte arrives, nothing is
// polled.
TEST_F(AttemptLogsTest, FollowingMissesNothing) {
  const std::string bytes = text_bytes(3, 300'000);
  std::mutex mutex;
  std::condition_variable changed;
  std::uint64_t calls = 0;
  auto follower = logs->subscribe(build, [&](const LogState&) {
    {
      std::lock_guard lock(mutex);
      ++calls;
    }
    changed.notify_one();
  });
  EZ_ASSERT_OK(follower);
  std::string got;
  std::thread reader([&] {
    for (std::uint64_t handled = 0;;) {
      auto chunk = logs->read(build, got.size(), 7000);
      ASSERT_TRUE(chunk.ok());
      got += chunk->bytes;
      if (got.size() < chunk->state.size) continue;
      if (chunk->state.finished) return;
      std::unique_lock lock(mutex);
      ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(30), [&] { return calls > handled; }));
      handled = calls;
    }
  });
  for (std::size_t at = 0; at < bytes.size(); at += 997) {
    EXPECT_TRUE(logs->append(build, at, std::string_view(bytes).substr(at, 997)).ok());
  }
  EXPECT_TRUE(logs->finish(build).ok());
  reader.join();
  EXPECT_TRUE(got == bytes);
}

TEST_F(AttemptLogsTest, ManyThreadsAppendReadAndRemove) {
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (std::uint32_t t = 1; t <= 4; ++t) {
    threads.emplace_back([&, t] {
      const AttemptId id{RunId{t}, "a", 1};
      auto follower = logs->subscribe(id, [](const LogState&) {});
      for (std::uint64_t i = 0; i < 500; ++i) {
        if (!logs->append(id, i * 10, "0123456789").ok()) ++failures;
        if (i % 50 == 0 && !logs->remove_run(RunId{100 + t}).ok()) ++failures;
        if (!logs->append({RunId{100 + t}, "b", 1}, 0, "x").ok()) ++failures;
      }
      if (*logs->size(id) != 5000) ++failures;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
}

}  // namespace
}  // namespace ez::storage
