// A task's output on its way to the control plane: written to a file at once, uploaded from there by a thread
// of its own. A slow or absent server never holds up the command, and nothing is lost while the worker lives.
//
// Bounds: the file holds what the sandbox's output limit lets through plus ez's own lines; chunks are at most
// kMaxLogChunk; an upload that fails is repeated with growing pauses until finish() runs out of time. An
// error that no retry helps (the lease is gone) ends the upload.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "agents/process.h"
#include "base/result.h"

namespace ez::agents {

inline constexpr std::size_t kMaxLogChunk = 64 * 1024;

// The log of one attempt at the control plane. Called from one thread at a time.
class LogPort {
 public:
  virtual ~LogPort() = default;
  // Where the log ends now: not zero when an earlier item of the same attempt (execute, then merge) wrote to
  // it.
  [[nodiscard]] virtual Result<std::uint64_t> size() = 0;
  // Appends at that offset; the same bytes at the same offset again are fine.
  [[nodiscard]] virtual Status append(std::uint64_t offset, std::string_view bytes) = 0;
};

class LogSpool {
 public:
  // The file is created; the port outlives the spool. IO_FAILED, DISK_FULL.
  [[nodiscard]] static Result<std::unique_ptr<LogSpool>> open(const std::string& path, LogPort& port);
  ~LogSpool();  // without finish(): what is not uploaded yet is dropped

  // Any thread. Bytes that the disk refuses are dropped; finish() then says so.
  void append(std::string_view bytes);
  // A line of ez itself, marked as such.
  void note(std::string_view text);

  // Uploads the rest, at most that long. An error when not everything arrived. Once, at the end.
  [[nodiscard]] Status finish(std::chrono::milliseconds wait);

 private:
  LogSpool(UniqueFd file, LogPort& port);
  void upload();

  UniqueFd file_;
  LogPort& port_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t written_ = 0;
  std::uint64_t uploaded_ = 0;
  bool closing_ = false;
  std::chrono::steady_clock::time_point give_up_ = std::chrono::steady_clock::time_point::max();
  Status failure_;
  std::thread thread_;
};

}  // namespace ez::agents
