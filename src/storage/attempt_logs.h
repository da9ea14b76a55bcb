// Logs of attempts: what a task's command printed, as files that agents append to and people follow.
// <folder>/logs/<ab>/<run>/<task>.<attempt>.open, renamed to .log when it is finished (ab: low byte of the
// run's number in hexadecimal digits). Bytes are kept as they come.
//
// Appends are idempotent by offset: an agent that does not know whether its last append arrived sends it
// again. Durability: an append is in the file but not synced; finish() syncs the bytes. After a power loss a
// live log may be shorter than what was answered: the agent's next append then fails with LOG_GAP and it
// sends again from size(). The finished flag itself may be lost then; the owner, who knows that the attempt
// has ended, calls finish() again.
//
// Bounds. Over max_attempt_bytes a log ends with one line that says so, and further bytes are taken and
// dropped (truncated = true): a chatty task never fails by its log. Over total_bytes appends are refused with
// DISK_FULL. At most max_open_files descriptors are open; at most kMaxRemembered attempts and
// kMaxSubscriptions followers are in memory (a follower more: OVERLOADED).
//
// Threads. Everything is thread-safe. Attempts are spread over kShards locks, which are held during one write
// or read.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"

namespace ez::storage {

inline constexpr std::size_t kShards = 16;
inline constexpr std::size_t kMaxRemembered = 8192;
inline constexpr std::size_t kMaxSubscriptions = 4096;
inline constexpr std::size_t kMaxAppendBytes = 8 * 1024 * 1024;
inline constexpr std::size_t kMaxLogReadBytes = 8 * 1024 * 1024;

struct AttemptLogLimits {
  std::uint64_t max_attempt_bytes = 64ULL << 20;
  std::uint64_t total_bytes = 16ULL << 30;
  std::size_t max_open_files = 64;
};

// Which log. The task is a task id, with `.<n>` for an instance of a for_each; attempts count from 1.
struct AttemptId {
  RunId run;
  std::string task;
  std::uint32_t attempt = 0;
  auto operator<=>(const AttemptId&) const = default;
};

struct AppendedLog {
  std::uint64_t size = 0;  // the offset that the next append has
  bool truncated = false;  // the limit was reached: bytes are dropped
};

struct LogState {
  std::uint64_t size = 0;  // bytes that can be read
  bool finished = false;   // no more bytes will come
};

struct LogChunk {
  std::string bytes;
  LogState state;
};

// Called after a log grew, was finished or was removed (then as finished with size 0), on the thread that did
// it, without a lock of the store. With several appending threads an older state may come after a newer one:
// read() has the truth. It must be quick, and may not append to or end a subscription of the same log.
using LogListener = std::function<void(const LogState&)>;

// A follower; afterwards (destroyed) its listener is not running and never runs again. May outlive the store.
class LogSubscription {
 public:
  LogSubscription() = default;
  LogSubscription(LogSubscription&&) noexcept = default;
  LogSubscription& operator=(LogSubscription&& other) noexcept;
  ~LogSubscription();
  struct Hook;

 private:
  friend class AttemptLogs;
  explicit LogSubscription(std::shared_ptr<Hook> hook) : hook_(std::move(hook)) {}
  std::shared_ptr<Hook> hook_;  // shared with the store, which may be notifying it while this ends
};

class AttemptLogs {
 public:
  // Opens or creates <folder>/logs and adds up the sizes (one stat a file).
  [[nodiscard]] static Result<std::unique_ptr<AttemptLogs>> open(const std::string& folder,
                                                                 const AttemptLogLimits& limits);
  ~AttemptLogs();

  // All methods refuse names that are not of the described form with INVALID_ARGUMENT, and say IO_FAILED.

  // Puts `bytes` at `offset`. What lies below the present size is taken as a repetition and not written
  // again. LOG_GAP: offset is above the present size, which the message names and size() gives. DISK_FULL:
  // the budget or the disk is full, nothing was written. WRONG_STATE: new bytes for a finished log.
  // PAYLOAD_TOO_LARGE: above kMaxAppendBytes.
  [[nodiscard]] Result<AppendedLog> append(const AttemptId& id, std::uint64_t offset, std::string_view bytes);

  // Up to `limit` (at most kMaxLogReadBytes) bytes from `offset`. A log without an append yet is empty, not
  // an error.
  [[nodiscard]] Result<LogChunk> read(const AttemptId& id, std::uint64_t offset, std::size_t limit) const;
  [[nodiscard]] Result<LogState> state(const AttemptId& id) const;
  // What the next append's offset has to be: for the answer to LOG_GAP.
  [[nodiscard]] Result<std::uint64_t> size(const AttemptId& id) const;

  // No more bytes; idempotent. An attempt that never printed anything leaves no file: its flag is in memory
  // only.
  [[nodiscard]] Status finish(const AttemptId& id);

  // To follow without polling: subscribe, then read until the end of the state, then read again at each call.
  [[nodiscard]] Result<LogSubscription> subscribe(const AttemptId& id, LogListener listener);

  // Removes every log of the run; without effect when there is none.
  [[nodiscard]] Status remove_run(RunId run);

  [[nodiscard]] std::uint64_t stored_bytes() const;
  [[nodiscard]] std::size_t open_files() const;

 private:
  struct State;
  explicit AttemptLogs(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ez::storage
