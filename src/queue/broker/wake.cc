#include "queue/broker/wake.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "base/check.h"

namespace ez::queue::broker {

Wake::Wake() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { EZ_CHECK(fd_ >= 0, "eventfd"); }

Wake::~Wake() { ::close(fd_); }

void Wake::notify() const {
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then it is readable anyway.
  [[maybe_unused]] const auto written = ::write(fd_, &one, sizeof one);
}

void Wake::drain() const {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto taken = ::read(fd_, &count, sizeof count);
}

void Wake::wait(std::chrono::milliseconds time) const {
  pollfd wanted{fd_, POLLIN, 0};
  ::poll(&wanted, 1, static_cast<int>(std::clamp<std::int64_t>(time.count(), 0, 60'000)));
}

}  // namespace ez::queue::broker
