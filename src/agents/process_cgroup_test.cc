#include "agents/process_cgroup.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "agents/test_support.h"

namespace ez::agents {
namespace {

// A child that waits for one byte, then forks until refused (at most 40 times) and exits with the count.
struct Forker {
  pid_t pid = -1;
  int go = -1;
  Forker() {
    int start[2];
    if (::pipe(start) != 0) return;
    pid = ::fork();
    if (pid != 0) {
      ::close(start[0]);
      go = start[1];
      return;
    }
    ::close(start[1]);
    char byte = 0;
    if (::read(start[0], &byte, 1) != 1) ::_exit(99);
    int count = 0;
    pid_t made[40];
    while (count < 40) {
      const pid_t child = ::fork();
      if (child < 0) break;
      if (child == 0) {
        ::pause();
        ::_exit(0);
      }
      made[count++] = child;
    }
    for (int i = 0; i < count; ++i) {
      ::kill(made[i], SIGKILL);
      ::waitpid(made[i], nullptr, 0);
    }
    ::_exit(count);
  }
  ~Forker() {
    if (pid > 0) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
    if (go >= 0) ::close(go);
  }
  int finish() {
    int status = 0;
    if (::write(go, "g", 1) != 1 || ::waitpid(pid, &status, 0) != pid) return -1;
    pid = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
};

TEST(ProcessCgroupTest, TheKernelRefusesWhatIsTooMuch) {
  EZ_NEED_CHILDREN_WITHOUT_THREADS();
  Forker forker;
  ASSERT_GT(forker.pid, 0);
  ProcessCgroup group;
  if (!group.hold(forker.pid, 8)) GTEST_SKIP() << "the pids controller is not ours to use here";
  EXPECT_EQ(forker.finish(), 7);
}

TEST(ProcessCgroupTest, OnlyWhatADeadWorkerLeftIsRemoved) {
  EZ_NEED_CHILDREN_WITHOUT_THREADS();
  Forker forker;
  ASSERT_GT(forker.pid, 0);
  int done[2];
  ASSERT_EQ(::pipe(done), 0);
  const pid_t worker = ::fork();
  if (worker == 0) {
    ProcessCgroup group;
    const bool held = group.hold(forker.pid, 8);
    [[maybe_unused]] const ssize_t said = ::write(done[1], held ? "y" : "n", 1);
    ::_exit(0);  // as if killed: the folder stays
  }
  char held = 0;
  ASSERT_EQ(::read(done[0], &held, 1), 1);
  ::waitpid(worker, nullptr, 0);
  ::close(done[0]);
  ::close(done[1]);
  if (held != 'y') GTEST_SKIP() << "the pids controller is not ours to use here";
  remove_stale_cgroups();
  EXPECT_EQ(forker.finish(), 7) << "a group with living processes must keep holding them";
  EXPECT_GE(remove_stale_cgroups(), 1U);
}

}  // namespace
}  // namespace ez::agents
