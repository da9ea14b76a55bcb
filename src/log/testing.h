// What several tests share: a listener that keeps and checks what it is told, a clock that the test moves,
// small options, a directory that goes away.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "log/local_log.h"
#include "log/log.h"

namespace ez::log {

using std::chrono::microseconds;

// Keeps everything it is told and checks what must hold for any log at any moment.
class RecordingListener : public LogListener {
 public:
  struct Kept {
    std::uint64_t index;
    std::uint64_t epoch;
    std::string bytes;
    std::uint64_t ticket;
  };

  explicit RecordingListener(std::uint64_t applied = 0) : applied_(applied) {}

  void committed(const Record& record) override {
    EXPECT_EQ(record.index.value, applied_ + 1) << "records come in order and without gaps";
    EXPECT_GE(record.epoch.value, record_epoch_) << "epochs of records never go back";
    applied_ = record.index.value;
    record_epoch_ = record.epoch.value;
    records.push_back(
        {record.index.value, record.epoch.value, std::string(record.bytes), record.ticket.value});
    if (on_committed) on_committed(record);
  }
  void append_ended(Ticket ticket, AppendOutcome outcome) override {
    ended.emplace_back(ticket.value, outcome);
  }
  void leadership(Epoch now, bool is_leading) override {
    EXPECT_GE(now.value, epoch.value);
    epoch = now;
    leading = is_leading;
    records_when_led = records.size();
  }
  void failed(const Error& error) override {
    EXPECT_FALSE(failure.has_value()) << "failed() comes once";
    failure = error;
  }

  [[nodiscard]] std::vector<std::string> bodies() const {
    std::vector<std::string> out;
    for (const Kept& record : records) out.push_back(record.bytes);
    return out;
  }

  std::vector<Kept> records;
  std::vector<std::pair<std::uint64_t, AppendOutcome>> ended;
  Epoch epoch;
  bool leading = false;
  std::size_t records_when_led = 0;
  std::optional<Error> failure;
  std::function<void(const Record&)> on_committed;

 private:
  std::uint64_t applied_;
  std::uint64_t record_epoch_ = 0;
};

// Polls without waiting until `done`; false when it does not happen within many polls.
inline bool poll_until(Log& log, const std::function<bool()>& done) {
  for (int i = 0; i < 100'000; ++i) {
    if (done()) return true;
    log.poll(microseconds(0));
  }
  return done();
}

// Threads: any.
class ManualClock final : public Clock {
 public:
  std::int64_t now_ms() override { return us_ / 1000; }
  std::int64_t monotonic_us() override { return us_; }
  void advance_ms(std::int64_t ms) { us_ += ms * 1000; }

 private:
  std::atomic<std::int64_t> us_{1'000'000};
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
