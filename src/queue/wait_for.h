// Waits for the answer of a call with a callback. Never inside a callback.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "base/result.h"

namespace ez::queue {

// Where a callback leaves its answer. Shared, because the callback may still be running when the waiter goes.
template <typename T>
class Mailbox {
 public:
  void put(T value) {
    std::lock_guard lock(mutex_);
    value_.emplace(std::move(value));
    filled_.notify_one();
  }
  T wait() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [&] { return value_.has_value(); });
    return std::move(*value_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable filled_;
  std::optional<T> value_;
};

// start(callback) begins the call; gives what the callback gets.
template <typename T, typename Start>
T await(Start start) {
  auto mailbox = std::make_shared<Mailbox<T>>();
  start([mailbox](T value) { mailbox->put(std::move(value)); });
  return mailbox->wait();
}

template <typename T, typename Start>
Result<T> wait_for(Start start) {
  return await<Result<T>>(std::move(start));
}

}  // namespace ez::queue
