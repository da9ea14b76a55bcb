#include "agents/file_lock.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>
#include <vector>

#include "agents/test_support.h"

namespace ez::agents {
namespace {

using std::chrono::milliseconds;

TEST(FileLock, IsHeldByOneAtATime) {
  const TempDir dir;
  const std::string path = dir / "lock";
  constexpr int kThreads = 6;
  constexpr int kRounds = 40;
  std::atomic<int> inside{0};
  std::atomic<int> done{0};
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) {
        const auto lock = FileLock::acquire(path, milliseconds(60'000));
        if (!lock.ok() || ++inside != 1) ++failed;
        ++done;
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(done, kThreads * kRounds);
}

// Others take it again and again without a pause until the one that waits has had it.
TEST(FileLock, WhoeverWaitsIsNotStarvedByThoseThatComeLater) {
  const TempDir dir;
  const std::string path = dir / "lock";
  std::atomic<bool> had{false};
  std::atomic<int> taken{0};
  std::vector<std::thread> others;
  for (int i = 0; i < 3; ++i) {
    others.emplace_back([&] {
      while (!had) {
        const auto lock = FileLock::acquire(path, milliseconds(60'000));
        if (lock.ok()) ++taken;
      }
    });
  }
  while (taken < 100) std::this_thread::yield();
  {
    const auto mine = FileLock::acquire(path, milliseconds(30'000));
    had = true;
    EXPECT_TRUE(mine.ok()) << mine.error().to_string();
  }
  for (std::thread& other : others) other.join();
}

TEST(FileLock, WaitsNoLongerThanItsTime) {
  const TempDir dir;
  const auto held = FileLock::acquire(dir / "lock", milliseconds(0));
  ASSERT_TRUE(held.ok());
  const auto second = FileLock::acquire(dir / "lock", milliseconds(5));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code(), Code::RepositoryBusy);
}

// The holder takes the file away: those that wait for the old file must not hold a lock that nobody sees.
TEST(FileLock, ARemovedFileIsNoLock) {
  const TempDir dir;
  const std::string path = dir / "lock";
  auto first = FileLock::acquire(path, milliseconds(0));
  ASSERT_TRUE(first.ok());
  std::atomic<bool> got{false};
  std::thread waiting([&] { got = FileLock::acquire(path, milliseconds(60'000)).ok(); });
  first->remove();
  waiting.join();
  EXPECT_TRUE(got);
  const auto again = FileLock::acquire(path, milliseconds(0));
  ASSERT_TRUE(again.ok());
  struct stat named {};
  struct stat held {};
  ASSERT_EQ(::stat(path.c_str(), &named), 0);
  ASSERT_EQ(::fstat(again->fd(), &held), 0);
  EXPECT_EQ(named.st_ino, held.st_ino);
}

}  // namespace
}  // namespace ez::agents
