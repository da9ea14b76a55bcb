#include "base/thread_turns.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace ez {
namespace {

constexpr std::uint64_t kTurnNs = 100'000;  // the least that the kernel grants

// As in <linux/sched/types.h>, which does not go together with <sched.h> in one file. Version 0 of it.
struct Attributes {
  std::uint32_t size = sizeof(Attributes);
  std::uint32_t policy = SCHED_OTHER;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime_ns = 0;
  std::uint64_t deadline_ns = 0;
  std::uint64_t period_ns = 0;
};
static_assert(sizeof(Attributes) == 48);

void take_turns(std::uint64_t turn_ns) {
  Attributes attributes;
  if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  if (attributes.policy != SCHED_OTHER) return;  // somebody chose another one for all of ez
  attributes.runtime_ns = turn_ns;
  (void)::syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace

void take_short_turns() { take_turns(kTurnNs); }
void take_usual_turns() { take_turns(0); }

}  // namespace ez
