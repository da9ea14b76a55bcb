// The durable log: one interface, several providers (local now; raft and etcd later). The engine never knows
// which.
//
// Model. A log is a gap-free sequence of records (index 1, 2, …), each with the epoch of the leader that
// wrote it and opaque bytes. One process at a time leads an epoch; a larger epoch fences every smaller one.
// What is committed is durable (on a majority where there is one) and never changes. There is no mode that
// answers before the sync.
//
// Threads. Every method is called from one thread, the loop's, except wake() and read(). Callbacks of
// LogListener happen only inside poll(), on that thread. A provider may have threads of its own; it then
// wakes poll().
//
// Flow control. append() takes at most kMaxOutstandingBytes that are not yet answered and refuses more with
// OVERLOADED.
//
// Failures. A failed write or sync is final: listener.failed() once, then nothing is committed any more; the
// process stops acknowledging and exits with the error's code. A disk that is nearly full is not a failure:
// append() refuses with LOG_DISK_FULL while the reserve is still free, and accepts again when there is room.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace ez::log {

inline constexpr std::size_t kMaxRecordBytes = 48 * 1024 * 1024;
inline constexpr std::size_t kMaxOutstandingBytes = 96 * 1024 * 1024;

// The caller's own number for an append, unique within the process.
struct Ticket {
  std::uint64_t value = 0;
  auto operator<=>(const Ticket&) const = default;
};

enum class AppendOutcome {
  kRejected,  // certainly not in the log: fenced or no longer leader; may be proposed again
  kUnknown,   // may or may not appear later (leadership was lost in between); deduplicate before proposing
              // again
};

struct Record {
  LogIndex index;
  Epoch epoch;
  std::string_view bytes;  // valid during the callback only
  Ticket ticket;           // of this process's append; 0 when another process (or an earlier life) wrote it
};

class LogListener {
 public:
  virtual ~LogListener() = default;
  // In index order, without gaps, each record once.
  virtual void committed(const Record& record) = 0;
  // That append will not be reported as committed with its ticket.
  virtual void append_ended(Ticket ticket, AppendOutcome outcome) = 0;
  // Leadership changed. epoch is the newest known; leading says whether this process may append in it.
  virtual void leadership(Epoch epoch, bool leading) = 0;
  // Final; see above. What was in flight has been answered with append_ended() before.
  virtual void failed(const Error& error) = 0;
};

// A snapshot being written aside; nothing is visible until commit(). Used from one thread (not the loop's).
class SnapshotWriter {
 public:
  virtual ~SnapshotWriter() = default;  // without commit(): removes what was written
  [[nodiscard]] virtual Status write(std::string_view bytes) = 0;
  // Sync, rename, sync the directory. Afterwards the snapshot is the newest one; the previous one is kept,
  // older ones are removed.
  [[nodiscard]] virtual Status commit() = 0;
};

// Reads a snapshot whose checksums were verified before it was handed out.
class SnapshotReader {
 public:
  virtual ~SnapshotReader() = default;
  [[nodiscard]] virtual LogIndex index() const = 0;
  [[nodiscard]] virtual Epoch epoch() const = 0;
  // Up to `limit` more bytes; empty at the end.
  [[nodiscard]] virtual Result<std::string> read(std::size_t limit) = 0;
};

class Log {
 public:
  virtual ~Log() = default;

  // The newest snapshot, or nullptr when there is none. Before start(). SNAPSHOT_DAMAGED when it does not
  // verify.
  [[nodiscard]] virtual Result<std::unique_ptr<SnapshotReader>> newest_snapshot() = 0;
  // The oldest kept snapshot (for rebuilding what derives from the log), or nullptr.
  [[nodiscard]] virtual Result<std::unique_ptr<SnapshotReader>> oldest_snapshot() = 0;

  // Replays everything after `applied` through listener.committed() inside the following poll() calls, then
  // tries to lead: leadership(epoch, true) comes after the last replayed record. The listener outlives the
  // log.
  [[nodiscard]] virtual Status start(LogIndex applied, LogListener& listener) = 0;

  // Proposes one record in `epoch`. Accepted: answered by committed() or append_ended() with that ticket.
  // Refused (nothing was proposed): NOT_LEADER, OVERLOADED, LOG_DISK_FULL, PAYLOAD_TOO_LARGE, SHUTTING_DOWN
  // (it failed).
  [[nodiscard]] virtual Status append(Epoch epoch, Ticket ticket, std::string bytes) = 0;

  // Runs callbacks; with nothing to do waits up to `wait` for something or for wake(). Everything appended
  // since the last call is written and synced together (group commit).
  virtual void poll(std::chrono::microseconds wait) = 0;
  // Ends a waiting poll() early. Any thread.
  virtual void wake() = 0;

  // Ends this process's leadership: no append of `epoch` commits after it returns (pending ones end as
  // kUnknown or are committed). Used for a clean stop and for hand-over.
  [[nodiscard]] virtual Status seal(Epoch epoch) = 0;

  // A snapshot of the state after `index` (already committed). Written by another thread while the loop goes
  // on. One at a time: OVERLOADED while another writer lives; INVALID_ARGUMENT unless `index` is committed
  // and newer than the newest snapshot.
  [[nodiscard]] virtual Result<std::unique_ptr<SnapshotWriter>> begin_snapshot(LogIndex index,
                                                                               Epoch epoch) = 0;
  // Removes records up to and including `index`; only what the oldest kept snapshot covers is really removed.
  [[nodiscard]] virtual Status trim(LogIndex index) = 0;

  // The bytes of a committed record that is still kept, for those who keep references into the log instead of
  // copies. Any thread, also while the loop works. INVALID_ARGUMENT when the log does not hold it (any more);
  // LOG_DAMAGED, IO_FAILED.
  [[nodiscard]] virtual Result<std::string> read(LogIndex index) const = 0;

  [[nodiscard]] virtual LogIndex first_index()
      const = 0;  // oldest record that can be read; last_index() + 1 if none
  [[nodiscard]] virtual LogIndex last_index() const = 0;
  // Bytes of the records after the newest snapshot, with their headers; up to 128 KiB too many.
  [[nodiscard]] virtual std::uint64_t bytes_since_snapshot() const = 0;
};

}  // namespace ez::log
