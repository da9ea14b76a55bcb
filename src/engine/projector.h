// What derives from the log and is kept outside it: rows of finished runs in history, references to blobs.
//
// The loop hands work over; a thread (or, in tests and the simulation, the caller of pump()) writes it in
// batches, each one transaction. The log is only trimmed behind a position that flush() has made durable, so
// a crash replays what is missing; everything here may come twice.
//
// Flow control. When kMaxQueued runs wait, full() is true and the engine refuses new runs with OVERLOADED
// until it catches up. Failures: kept in failure(); the engine then stops, because what was finished could
// otherwise be lost from sight.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/cow.h"
#include "base/result.h"
#include "core/run.h"
#include "storage/blob_store.h"
#include "storage/history.h"

namespace ez::engine {

class Projector {
 public:
  static constexpr std::size_t kMaxQueued = 50'000;

  // `blobs` may be null (no artifacts); both outlive the projector.
  Projector(storage::History& history, storage::BlobStore* blobs);

  void finished(const Cow<core::Run>& run, LogIndex index);
  void referenced(std::string owner, std::vector<std::string> sha256s);
  [[nodiscard]] bool full() const;

  // A finished run that is not yet durable in history; empty otherwise. Any thread.
  [[nodiscard]] Cow<core::Run> find(RunId id) const;
  // The newest such runs, newest first.
  [[nodiscard]] std::vector<Cow<core::Run>> recent(std::size_t limit) const;

  // Writes everything that waits; returns how many items. One thread at a time.
  [[nodiscard]] Result<std::size_t> pump();
  // Waits for work, pumps; returns when stop() was called and nothing is left, or on a failure.
  void run();
  void stop();
  // Blocks until everything handed over before the call is durable and the position is at least `index`.
  [[nodiscard]] Status flush(LogIndex index);
  [[nodiscard]] std::optional<Error> failure() const;

 private:
  struct Item {
    Cow<core::Run> run;  // empty: a reference item
    LogIndex index;
    std::string owner;
    std::vector<std::string> sha256s;
  };
  [[nodiscard]] Status write(const std::vector<Item>& items, LogIndex position);
  void announce(std::size_t queued);

  storage::History& history_;
  storage::BlobStore* blobs_;
  std::mutex pump_mutex_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable gathered_;  // a whole batch waits
  std::deque<Item> queue_;
  std::map<RunId, Cow<core::Run>> unwritten_;
  std::uint64_t handed_over_ = 0;
  std::uint64_t written_ = 0;
  bool stopping_ = false;
  std::optional<Error> failure_;
};

// The history row of a finished run.
[[nodiscard]] storage::HistoryRow history_row(const core::Run& run);

}  // namespace ez::engine
