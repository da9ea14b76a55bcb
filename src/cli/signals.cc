#include "cli/signals.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <vector>

#include "base/check.h"

namespace ez::cli {
namespace {
sigset_t stop_set() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  return set;
}
}  // namespace

StopSignals::StopSignals() {
  std::signal(SIGPIPE, SIG_IGN);
  const sigset_t set = stop_set();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal_fd_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  wake_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  EZ_CHECK(signal_fd_ >= 0 && wake_fd_ >= 0, "the kernel gives no descriptors for signals");
}

StopSignals::~StopSignals() {
  ::close(signal_fd_);
  ::close(wake_fd_);
  const sigset_t set = stop_set();
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

int StopSignals::wait_for(std::chrono::milliseconds duration, std::initializer_list<int> also) {
  std::vector<pollfd> fds{{signal_fd_, POLLIN, 0}, {wake_fd_, POLLIN, 0}};
  for (const int fd : also) fds.push_back({fd, POLLIN, 0});
  if (::poll(fds.data(), fds.size(), static_cast<int>(duration.count())) <= 0) return 0;
  signalfd_siginfo info{};
  if (::read(signal_fd_, &info, sizeof info) == sizeof info) return static_cast<int>(info.ssi_signo);
  std::uint64_t count = 0;
  (void)!::read(wake_fd_, &count, sizeof count);
  return 0;
}

void StopSignals::wake() {
  const std::uint64_t one = 1;
  (void)!::write(wake_fd_, &one, sizeof one);
}

}  // namespace ez::cli
