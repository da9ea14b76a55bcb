// What several tests of this folder share: a clock that the test moves, small options, a directory that goes away.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/clock.h"
#include "base/random.h"
#include "log/local_log.h"

namespace ez::log {

class ManualClock final : public Clock {
 public:
  std::int64_t now_ms() override { return us_ / 1000; }
  std::int64_t monotonic_us() override { return us_; }
  void advance_ms(std::int64_t ms) { us_ += ms * 1000; }

 private:
  std::int64_t us_ = 1'000'000;
};

// Small segments, no thread, no reserve: everything happens often and in a fixed order.
inline LocalLogOptions small_options(Clock& clock, Random& random) {
  LocalLogOptions options;
  options.segment_bytes = 8192;
  options.max_batch_bytes = 4096;
  options.reserve_bytes = 0;
  options.zero_fill = false;
  options.background_prepare = false;
  options.clock = &clock;
  options.random = &random;
  return options;
}

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ez-log-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace ez::log
