// Timers: many deadlines, one thread. For long-polls, which hold no thread of their own.
//
// Threads: all methods from any. Callbacks run on the timers' thread, without a lock; they must be quick.
// Flow control: at most `capacity` at a time; one more is refused.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/clock.h"

namespace ez::http::api {

class Timers {
 public:
  using Id = std::uint64_t;
  Timers(Clock& clock, std::size_t capacity);
  ~Timers();  // stop()
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  // 0: refused, the callback is never called.
  [[nodiscard]] Id after(std::chrono::milliseconds duration, std::function<void()> callback);
  // Without effect when it has fired or is firing just now.
  void cancel(Id id);
  // Drops what waits and joins. Idempotent.
  void stop();
  [[nodiscard]] std::size_t size() const;

 private:
  void run();

  Clock& clock_;
  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::pair<std::int64_t, Id>, std::function<void()>>
      queue_;  // by the time it is due, monotonic microseconds
  std::unordered_map<Id, std::int64_t> due_us_;
  Id next_ = 1;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ez::http::api
