// Background: a few threads that work through a bounded queue, for what is too long for an I/O thread or the
// engine's loop.
//
// Threads: post() from any. Flow control: post() refuses when the queue is full or stop() was called; the
// caller answers.
#pragma once

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"

namespace ez::http::api {

class Background {
 public:
  using Task = std::function<void()>;
  // Each thread takes up to `batch` tasks at a time: many for short ones, 1 for long ones. `name` (static, at
  // most 15 characters) is what its threads are called.
  Background(const char* name, int threads, std::size_t capacity, std::size_t batch);
  ~Background();  // stop()
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // False: nothing will run.
  [[nodiscard]] bool post(Task task);
  // Runs what was accepted, then joins. Idempotent.
  void stop();
  [[nodiscard]] std::size_t waiting() const { return queue_.size(); }

 private:
  void run();

  const char* const name_;
  BoundedQueue<Task> queue_;
  const std::size_t batch_;
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

}  // namespace ez::http::api
