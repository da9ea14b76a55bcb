// Running a command: own session and process group, no terminal, bounded output, a deadline, and an end that
// leaves nothing behind. Everything else in this room that starts a program goes through here.
//
// Threads: run_process() blocks its thread for the whole life of the process and may be called from any
// number of threads at once; the child is started with vfork-safe code only. The child dies with the thread
// that started it (the kernel's parent-death signal) unless the spec says otherwise, so kill -9 of ez leaves
// no orphan that it started directly; the sandbox (sandbox.h) extends that to all descendants.
//
// Bounds: captured output per stream `max_capture_bytes`; bytes given to the sink `max_output_bytes`, then
// the process is killed. A descendant that escaped the group and keeps a pipe open delays the return by at
// most kDrainWait.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace ez::agents {

// Asks a running process to end. Any thread may cancel; the token must outlive every run_process() that it
// was given to.
class CancelToken {
 public:
  CancelToken();
  ~CancelToken();
  CancelToken(const CancelToken&) = delete;
  CancelToken& operator=(const CancelToken&) = delete;
  void cancel();
  [[nodiscard]] bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }
  [[nodiscard]] int fd() const { return fd_; }  // readable once cancelled

 private:
  int fd_ = -1;
  std::atomic<bool> cancelled_{false};
};

// Owns a file descriptor.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UniqueFd() { reset(); }
  void reset();
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// An anonymous in-memory file with these bytes, positioned at its start. IO_FAILED.
[[nodiscard]] Result<UniqueFd> memory_file(std::string_view name, std::string_view bytes);

struct ProcessSpec {
  std::vector<std::string> argv;         // argv[0] is an absolute path
  std::vector<std::string> environment;  // complete, NAME=value; nothing is inherited
  std::string directory = "/";
  std::string input;                             // standard input; empty means /dev/null
  int input_fd = -1;                             // standard input instead of `input`; stays the caller's
  std::vector<std::pair<int, int>> descriptors;  // {ours, number in the child}; all others are closed
  std::vector<std::pair<int, rlim_t>> limits;    // setrlimit in the child, soft and hard
  std::chrono::milliseconds timeout{0};          // 0: none
  std::chrono::milliseconds grace{2000};         // between the polite signal and SIGKILL
  std::chrono::milliseconds tick{0};             // how often ProcessHooks::tick is called; 0: never
  std::size_t max_capture_bytes =
      1024 * 1024;                     // kept of each stream in ProcessOutcome; more is cut, not an error
  std::uint64_t max_output_bytes = 0;  // both streams together; 0: no limit. More kills with OUTPUT_LIMIT
  bool join_streams = false;           // standard error goes into the same pipe as standard output
  // Short commands that must not end halfway: when ez dies, the process goes on to its end, its output lost.
  bool outlives_us = false;
};

// What the caller adds to the life of a process. All calls come from the thread of run_process().
class ProcessHooks {
 public:
  virtual ~ProcessHooks() = default;
  // After the start. An error kills the process and is returned by run_process().
  virtual Status started(pid_t) { return {}; }
  // Every spec.tick. An error kills the process at once and becomes ProcessOutcome::stopped.
  virtual Status tick() { return {}; }
  // The polite signal after a timeout or a cancel, besides the one to the process group. Returns whether the
  // group must be spared (the hook has signalled those who matter).
  virtual bool terminate() { return false; }
  // Output as it comes, at most 64 KiB a call; when absent (returns false) it is captured in the outcome.
  virtual bool output(std::string_view) { return false; }
  // The same for standard error, where the streams are not joined; by default it is output like any other.
  virtual bool error_output(std::string_view bytes) { return output(bytes); }
};

struct ProcessOutcome {
  int exit_code = -1;  // of exit(); 128 + signal when a signal ended it
  int signal = 0;      // 0 when it exited
  std::optional<Error>
      stopped;  // why ez ended it: COMMAND_TIMEOUT, TASK_CANCELLED, OUTPUT_LIMIT or what a hook said
  std::string out;
  std::string err;
  bool cut = false;  // out or err lost bytes to max_capture_bytes
  std::uint64_t output_bytes = 0;
  std::chrono::milliseconds duration{0};
  [[nodiscard]] bool succeeded() const { return !stopped && exit_code == 0; }
};

inline constexpr std::chrono::milliseconds kDrainWait{500};

// Runs to the end. Errors only when it could not be started: INVALID_ARGUMENT (no such program, not
// executable, no such directory), IO_FAILED, or what hooks.started() said.
[[nodiscard]] Result<ProcessOutcome> run_process(const ProcessSpec& spec, ProcessHooks* hooks = nullptr,
                                                 const CancelToken* cancel = nullptr);

// The absolute path of a program in these directories (colon-separated); empty when there is none.
[[nodiscard]] std::string find_program(std::string_view name, std::string_view path);

}  // namespace ez::agents
