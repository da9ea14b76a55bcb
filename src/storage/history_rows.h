// What the parts of the history store share. Internal to storage/.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "storage/history.h"
#include "storage/sqlite.h"

namespace ez::storage {

// The columns of a row without its record, in the order of read_row(): of `runs` as r and `facets` as f.
inline constexpr std::string_view kRowColumns =
    "r.id, r.namespace, r.workflow, r.version, r.state, r.priority, r.created_ms, r.started_ms, "
    "r.finished_ms,"
    " r.cost_microusd, r.tasks, r.tasks_succeeded, r.tasks_failed, r.tasks_skipped, r.tasks_cancelled,"
    " f.started_by, f.error_code, f.labels";
inline constexpr int kRowColumnCount = 18;

// SQLite has signed integers; ids and indexes keep their bits.
[[nodiscard]] inline std::int64_t to_sql(std::uint64_t value) { return static_cast<std::int64_t>(value); }
[[nodiscard]] inline std::uint64_t from_sql(std::int64_t value) { return static_cast<std::uint64_t>(value); }

[[nodiscard]] HistoryRow read_row(const Statement& from);

// The words under which a run stands in the table `terms`: who started it, its error, its labels.
[[nodiscard]] std::string started_by_term(std::string_view principal);
[[nodiscard]] std::string error_term(std::string_view code);
[[nodiscard]] std::string label_term(std::string_view name, std::string_view value);
[[nodiscard]] std::vector<std::string> terms_of(const HistoryRow& row);

// Labels as one JSON object, and back (what is no such text gives none).
[[nodiscard]] std::string labels_text(const HistoryRow::Labels& labels);
[[nodiscard]] HistoryRow::Labels read_labels(std::string_view text);

struct Place {
  std::int64_t created_ms = 0;
  std::int64_t id = 0;
  auto operator<=>(const Place&) const = default;
};

// Up to limit + 1 rows that match, newest first, from behind `after` on. REQUEST_INVALID: the text has too
// many meanings.
[[nodiscard]] Result<std::vector<HistoryRow>> search_history(Database& database, const HistoryFilter& filter,
                                                             std::size_t limit, const Place* after);

}  // namespace ez::storage
