// History: finished runs, in SQLite (<folder>/history.db; docs/formats/history.md). A projection of the log:
// derived from it, with the position up to which it was applied, and rebuilt from it when the file is absent
// (position 0).
//
// Threads. append() and remove() come from one writer thread at a time (a lock serializes them). Everything
// else may be called from any thread at any time: up to kReaders reads run side by side on connections of
// their own, further ones wait for a free one. A read sees whole appends only.
//
// Durability. An append is one transaction, durable on return (WAL, synchronous=FULL): rows and position
// together.
//
// Failures. HISTORY_FAILED: the file is damaged, foreign or of a newer schema, or the disk failed; DISK_FULL:
// nothing of that append was kept, the same append may be tried again. All methods say so; further errors are
// named below.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace ez::storage {

inline constexpr std::size_t kReaders = 4;
inline constexpr std::size_t kMaxListLimit = 1000;
inline constexpr std::size_t kMaxRecordBytes = 64 * 1024 * 1024;

struct TaskCounts {
  std::uint32_t total = 0;
  std::uint32_t succeeded = 0;
  std::uint32_t failed = 0;
  std::uint32_t skipped = 0;
  std::uint32_t cancelled = 0;
  bool operator==(const TaskCounts&) const = default;
};

struct HistoryRow {
  RunId id;
  std::string namespace_name;
  std::string workflow;
  std::uint32_t version = 0;
  std::string state;     // final state, as the API shows it
  std::string priority;  // likewise
  std::int64_t created_ms = 0;
  std::int64_t started_ms = 0;  // 0: never started
  std::int64_t finished_ms = 0;
  std::int64_t cost_microusd = 0;
  TaskCounts tasks;
  using Labels = std::vector<std::pair<std::string, std::string>>;
  std::string started_by;  // empty in rows that ez wrote before it kept this; likewise the next two
  std::string error_code;  // empty: none
  Labels labels;           // sorted by name
  std::string record;      // the full run record: opaque bytes, at most kMaxRecordBytes; packed on disk
  bool operator==(const HistoryRow&) const = default;
};

// Which runs; an empty text and an absent bound mean any.
struct HistoryFilter {
  std::string namespace_name;
  std::string workflow;
  std::string state;
  std::optional<std::int64_t> created_from_ms;    // inclusive
  std::optional<std::int64_t> created_before_ms;  // exclusive
  std::optional<std::int64_t> finished_from_ms{};
  std::optional<std::int64_t> finished_before_ms{};
  HistoryRow::Labels labels{};  // all of these
  std::string started_by{};
  std::string error_code{};
  // The id of a run, or a part of its workflow's name, of who started it or of its error's code; upper and
  // lower case of a-z are one.
  std::string text{};
};

// Which runs a rule of retention is about.
struct RetentionScope {
  std::string namespace_name;       // empty: all
  std::string workflow;             // empty: all
  std::vector<std::string> except;  // "namespace/workflow": those have a rule of their own
};

struct HistoryPage {
  std::vector<HistoryRow> rows;  // without `record`
  std::string next_cursor;       // empty: there are no more
};

class History {
 public:
  // Opens or creates <folder>/history.db.
  [[nodiscard]] static Result<std::unique_ptr<History>> open(const std::string& folder);
  ~History();

  // Adds the rows and moves the position to `applied`, never back. A row whose run is there already replaces
  // it, so the same append may come twice. PAYLOAD_TOO_LARGE: a record over its limit.
  [[nodiscard]] Status append(std::span<const HistoryRow> rows, LogIndex applied);
  // The largest `applied` so far; 0 in a new file.
  [[nodiscard]] LogIndex position() const;

  // RUN_NOT_FOUND when it is not there.
  [[nodiscard]] Result<HistoryRow> get(RunId id) const;
  // Newest first by creation, then by id; at most `limit` (1 to kMaxListLimit). `cursor` is a next_cursor of
  // a list with the same filter, or empty. Runs that are added meanwhile neither repeat nor hide others.
  // REQUEST_INVALID: not a cursor, or a text that far too many names contain.
  [[nodiscard]] Result<HistoryPage> list(const HistoryFilter& filter, std::size_t limit,
                                         std::string_view cursor) const;
  // By the first five members of the filter.
  [[nodiscard]] Result<std::uint64_t> count(const HistoryFilter& filter) const;
  // For retention: the ids of up to `limit` runs that were created before that time, oldest first.
  [[nodiscard]] Result<std::vector<RunId>> oldest(std::int64_t created_before_ms, std::size_t limit) const;

  // For retention, up to `limit` ids each, oldest first: of runs that had finished before that time; of runs
  // that are older than the newest `keep` of the scope.
  [[nodiscard]] Result<std::vector<RunId>> finished_before(const RetentionScope& scope, std::int64_t time_ms,
                                                           std::size_t limit) const;
  [[nodiscard]] Result<std::vector<RunId>> beyond_newest(const RetentionScope& scope, std::uint64_t keep,
                                                         std::size_t limit) const;

  // Removes these runs (those that are there); returns how many. Their space is used again by later appends.
  [[nodiscard]] Result<std::uint64_t> remove(std::span<const RunId> ids);
  [[nodiscard]] Result<std::uint64_t> remove(RunId id) { return remove(std::span(&id, 1)); }

  // Reads the whole file: pages, indexes, and that every record unpacks. For `ez doctor`.
  [[nodiscard]] Status check() const;

 private:
  struct State;
  explicit History(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ez::storage
