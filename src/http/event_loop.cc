#include "http/event_loop.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "base/check.h"
#include "base/clock.h"

namespace ez::http {
namespace {
constexpr int kEventsPerRound = 256;
}

Result<std::shared_ptr<EventLoop>> EventLoop::create() {
  const int epoll_fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return system_error(Code::IoFailed, Code::IoFailed, "epoll_create1", errno);
  const int wake_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd < 0) {
    const Error error = system_error(Code::IoFailed, Code::IoFailed, "eventfd", errno);
    ::close(epoll_fd);
    return error;
  }
  std::shared_ptr<EventLoop> loop(new EventLoop(epoll_fd, wake_fd));
  EZ_TRY(loop->watch(wake_fd, EPOLLIN, nullptr));
  return loop;
}

EventLoop::~EventLoop() {
  ::close(wake_fd_);
  ::close(epoll_fd_);
}

void EventLoop::run(LoopOwner& owner) {
  thread_ = std::this_thread::get_id();
  epoll_event events[kEventsPerRound];
  std::int64_t next_us = 0;
  for (;;) {
    now_us_ = system_clock().monotonic_us();
    int wait_ms = -1;
    if (next_us != std::numeric_limits<std::int64_t>::max()) {
      const std::int64_t wait_us = std::clamp<std::int64_t>(next_us - now_us_, 0, 3'600'000'000);
      wait_ms = static_cast<int>((wait_us + 999) / 1000);
    }
    {
      std::lock_guard lock(mutex_);
      if (!tasks_.empty()) wait_ms = 0;
      waiting_ = true;
    }
    const int count = ::epoll_wait(epoll_fd_, events, kEventsPerRound, wait_ms);
    EZ_CHECK(count >= 0 || errno == EINTR, "epoll_wait failed");
    {
      std::lock_guard lock(mutex_);
      waiting_ = false;
    }
    now_us_ = system_clock().monotonic_us();
    for (int i = 0; i < count; ++i) {
      if (events[i].data.ptr == nullptr) {
        std::uint64_t drained = 0;
        (void)!::read(wake_fd_, &drained, sizeof drained);
        continue;
      }
      static_cast<Watcher*>(events[i].data.ptr)->ready(events[i].events);
    }
    run_tasks();
    next_us = owner.round_done(now_us_);
    if (next_us < 0) break;
  }
  std::vector<std::shared_ptr<LoopTask>> dropped;
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
    dropped.swap(tasks_);
  }
  thread_ = std::thread::id();
}

void EventLoop::run_tasks() {
  {
    std::lock_guard lock(mutex_);
    if (tasks_.empty()) return;
    running_.swap(tasks_);
  }
  for (const auto& task : running_) task->run_on_loop();
  running_.clear();
}

bool EventLoop::post(std::shared_ptr<LoopTask> task) {
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    if (ended_) return false;
    tasks_.push_back(std::move(task));
    wake = waiting_ && tasks_.size() == 1;
  }
  if (wake) {
    const std::uint64_t one = 1;
    (void)!::write(wake_fd_, &one, sizeof one);
  }
  return true;
}

Status EventLoop::watch(int fd, std::uint32_t events, Watcher* watcher) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = watcher;
  if (::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) {
    return system_error(Code::IoFailed, Code::IoFailed, "epoll_ctl add", errno);
  }
  return {};
}

void EventLoop::change(int fd, std::uint32_t events, Watcher* watcher) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = watcher;
  EZ_CHECK(::epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd, &event) == 0,
           "epoll_ctl of a watched descriptor failed");
}

void EventLoop::forget(int fd) {
  EZ_CHECK(::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr) == 0,
           "epoll_ctl of a watched descriptor failed");
}

}  // namespace ez::http
