#include "base/thread_turns.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <thread>

namespace ez {
namespace {

struct Turns {
  std::uint32_t policy = 0;
  std::int32_t nice = 0;
  std::uint64_t slice_ns = 0;  // 0: this kernel tells none
};

Turns turns_of_this_thread() {
  std::array<char, 48> bytes{};  // struct sched_attr, version 0
  EXPECT_EQ(::syscall(SYS_sched_getattr, 0, bytes.data(), bytes.size(), 0), 0);
  Turns out;
  std::memcpy(&out.policy, bytes.data() + 4, sizeof out.policy);
  std::memcpy(&out.nice, bytes.data() + 16, sizeof out.nice);
  std::memcpy(&out.slice_ns, bytes.data() + 24, sizeof out.slice_ns);
  return out;
}

TEST(ThreadTurns, OnlyTheTurnsChange) {
  std::thread([] {
    const Turns before = turns_of_this_thread();
    take_short_turns();
    const Turns brief = turns_of_this_thread();
    take_usual_turns();
    const Turns after = turns_of_this_thread();
    EXPECT_EQ(brief.policy, before.policy);
    EXPECT_EQ(brief.nice, before.nice);
    EXPECT_EQ(after.policy, before.policy);
    if (before.slice_ns == 0) return;  // before Linux 6.12
    EXPECT_LT(brief.slice_ns, before.slice_ns);
    EXPECT_EQ(after.slice_ns, before.slice_ns);
  }).join();
}

}  // namespace
}  // namespace ez
