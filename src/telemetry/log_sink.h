// Where lines go: standard error or a file with size-bounded rotation. Private to this room; one thread at a
// time.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ez::telemetry {

class LogSink {
 public:
  // An empty path means standard error.
  LogSink(std::string path, std::uint64_t max_file_bytes, int max_files)
      : path_(std::move(path)), max_file_bytes_(max_file_bytes), max_files_(max_files) {}
  ~LogSink();
  LogSink(const LogSink&) = delete;
  LogSink& operator=(const LogSink&) = delete;

  [[nodiscard]] Status open();

  // Writes whole lines; returns how many of them were lost because the sink failed. Waits for a reader that
  // is slow (a pipe, a terminal) until `give_up` is set.
  [[nodiscard]] std::uint64_t write(std::string_view lines, const std::atomic<bool>& give_up);

 private:
  [[nodiscard]] std::uint64_t write_now(std::string_view lines, const std::atomic<bool>& give_up);
  void rotate();

  const std::string path_;
  const std::uint64_t max_file_bytes_;
  const int max_files_;
  int fd_ = -1;
  bool slow_ = false;      // not a regular file: may block
  bool mid_line_ = false;  // a failed write left half a line
  std::uint64_t size_ = 0;
};

}  // namespace ez::telemetry
