// EventLoop: one thread that waits for many file descriptors (epoll, level-triggered) and runs tasks from
// other threads. Internal to http/.
//
// Why not Asio here: the server never has two operations under way on a connection, so readiness is enough;
// an idle connection then owns no buffer and no pending operation, and a request costs three system calls
// (wait, read, write).
//
// Threads: post(), in_loop() and the stream budget from any thread; everything else from the loop's own.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"

namespace ez::http {

class Watcher {
 public:
  virtual ~Watcher() = default;
  // epoll events of its descriptor.
  virtual void ready(std::uint32_t events) = 0;
};

class LoopTask {
 public:
  virtual ~LoopTask() = default;
  virtual void run_on_loop() = 0;
};

class LoopOwner {
 public:
  virtual ~LoopOwner() = default;
  // After each round. Returns when to be called again at the latest (monotonic microseconds; INT64_MAX for
  // never), or a negative number to end the loop.
  virtual std::int64_t round_done(std::int64_t now_us) = 0;
};

class EventLoop {
 public:
  [[nodiscard]] static Result<std::shared_ptr<EventLoop>> create();
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Runs rounds until the owner ends them; afterwards every post() is refused and what was posted is dropped.
  void run(LoopOwner& owner);

  // Any thread. Runs the task in this or the next round; false when the loop has ended. The queue holds at
  // most one entry per open exchange or connection, so it is bounded by the limit of connections.
  bool post(std::shared_ptr<LoopTask> task);
  [[nodiscard]] bool in_loop() const {
    return thread_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  }

  [[nodiscard]] Status watch(int fd, std::uint32_t events, Watcher* watcher);
  void change(int fd, std::uint32_t events, Watcher* watcher);
  void forget(int fd);

  // Bytes of streams that wait for slow clients, over all connections of the loop. Any thread.
  [[nodiscard]] bool reserve_stream_bytes(std::size_t bytes) {
    if (stream_bytes_.fetch_add(bytes) + bytes <= stream_limit_) return true;
    stream_bytes_ -= bytes;
    return false;
  }
  void release_stream_bytes(std::size_t bytes) { stream_bytes_ -= bytes; }
  void set_stream_limit(std::size_t bytes) { stream_limit_ = bytes; }  // before run()

  // Time at the start of this round.
  [[nodiscard]] std::int64_t now_us() const { return now_us_; }

 private:
  EventLoop(int epoll_fd, int wake_fd) : epoll_fd_(epoll_fd), wake_fd_(wake_fd) {}
  void run_tasks();

  const int epoll_fd_;
  const int wake_fd_;
  std::int64_t now_us_ = 0;
  std::size_t stream_limit_ = 0;
  std::atomic<std::size_t> stream_bytes_{0};
  std::atomic<std::thread::id> thread_{};
  std::mutex mutex_;
  std::vector<std::shared_ptr<LoopTask>> tasks_;  // guarded by mutex_
  std::vector<std::shared_ptr<LoopTask>> running_;
  bool waiting_ = false;  // guarded by mutex_: the loop is (about to be) asleep and must be woken
  bool ended_ = false;    // guarded by mutex_
};

}  // namespace ez::http
