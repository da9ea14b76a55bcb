// Wake: an eventfd that ends the poll of another thread. All methods from any thread.
#pragma once

#include <chrono>

namespace ez::queue::broker {

class Wake {
 public:
  Wake();
  ~Wake();
  Wake(const Wake&) = delete;
  Wake& operator=(const Wake&) = delete;
  void notify() const;
  void drain() const;
  [[nodiscard]] int descriptor() const { return fd_; }
  // Until notified or the time is over.
  void wait(std::chrono::milliseconds time) const;

 private:
  const int fd_;
};

}  // namespace ez::queue::broker
