// SIGTERM and SIGINT as something to wait for, together with other events. One at a time, made in main's
// thread before any other thread starts, so that all threads inherit the mask.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>

namespace ez::cli {

class StopSignals {
 public:
  StopSignals();   // blocks SIGTERM, SIGINT, SIGHUP; ignores SIGPIPE
  ~StopSignals();  // the former mask
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // The signal that came, 0 when the time is over, wake() was called, or one of `also` can be read.
  [[nodiscard]] int wait_for(std::chrono::milliseconds duration, std::initializer_list<int> also = {});
  // Ends a wait. Any thread.
  void wake();

 private:
  int signal_fd_ = -1;
  int wake_fd_ = -1;
};

}  // namespace ez::cli
