// Finds finished runs. Every search walks along indexes that are in the order of the list, newest first, and
// stops after a page:
//
//   - by workflow, state, namespace and time along the indexes of `runs`;
//   - by label, error or who started it along the table `terms`: the rarest of the given words leads, the
//   others are
//     looked up for each run that it leads to;
//   - by a text: first the words that contain it are found (there are few distinct ones), then each is walked
//   along
//     as above and the walks are merged.
#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include "base/ids.h"
#include "base/json.h"
#include "storage/history_rows.h"

namespace ez::storage {
namespace {

constexpr std::string_view kFinalStates[] = {"succeeded", "failed", "cancelled"};
constexpr std::int64_t kCountedAtMost = 2'000;  // of a word, to tell rare ones from frequent ones
constexpr std::size_t kMaxMeanings = 256;       // words that may contain a text

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool contains(std::string_view text, std::string_view part) {
  const auto found = std::search(text.begin(), text.end(), part.begin(), part.end(),
                                 [](char a, char b) { return lower(a) == lower(b); });
  return found != text.end();
}

// "r12" or "12".
std::optional<std::int64_t> id_of(std::string_view text) {
  if (const auto id = parse_run_id(text)) return to_sql(id->value);
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  if (std::from_chars(text.data(), end, number).ptr != end || number == 0) return std::nullopt;
  return to_sql(number);
}

// One walk: what leads, besides what all of them have to match.
struct Walk {
  std::string term;      // along `terms`; empty: along `runs`
  std::string also;      // a further word that the run must have
  std::string workflow;  // of that workflow (instead of the filter's)
  std::optional<std::int64_t> id;
};

class Search {
 public:
  Search(Database& database, const HistoryFilter& filter, std::size_t limit, const Place* after)
      : database_(database), filter_(filter), limit_(limit), after_(after) {
    for (const auto& [name, value] : filter.labels) terms_.push_back(label_term(name, value));
    if (!filter.started_by.empty()) terms_.push_back(started_by_term(filter.started_by));
    if (!filter.error_code.empty()) terms_.push_back(error_term(filter.error_code));
  }

  Result<std::vector<HistoryRow>> run() {
    EZ_ASSIGN(const std::string lead, rarest());
    if (filter_.text.empty()) {
      EZ_TRY(follow(Walk{lead, "", "", {}}));
    } else {
      EZ_ASSIGN(const std::vector<Walk> walks, meanings(lead));
      for (const Walk& walk : walks) EZ_TRY(follow(walk));
    }
    return std::move(rows_);
  }

 private:
  // The given word that the fewest runs have; empty when no word is given.
  Result<std::string> rarest() {
    if (terms_.size() <= 1) return terms_.empty() ? std::string() : terms_.front();
    EZ_ASSIGN(Statement count,
              database_.prepare("SELECT count(*) FROM (SELECT 1 FROM terms WHERE term=?1 LIMIT ?2)"));
    std::string best;
    std::int64_t fewest = INT64_MAX;
    for (const std::string& term : terms_) {
      EZ_ASSIGN(const bool row, count.bind(1, std::string_view(term)).bind(2, kCountedAtMost).step());
      const std::int64_t number = row ? count.integer(0) : 0;
      count.reset();
      if (number < fewest) {
        fewest = number;
        best = term;
      }
    }
    return best;
  }

  // The distinct values of an index's first column from `from` on, as long as they start with it.
  Result<std::vector<std::string>> distinct(std::string_view table, std::string_view column,
                                            const std::string& from) {
    EZ_ASSIGN(Statement next,
              database_.prepare("SELECT " + std::string(column) + " FROM " + std::string(table) + " WHERE " +
                                std::string(column) + ">?1 ORDER BY " + std::string(column) + " LIMIT 1"));
    std::vector<std::string> out;
    std::string at = from;
    for (;;) {
      EZ_ASSIGN(const bool row, next.bind(1, std::string_view(at)).step());
      if (!row) break;
      std::string value(next.text(0));
      next.reset();
      if (!value.starts_with(from)) break;
      at = value;
      if (contains(std::string_view(value).substr(from.size()), filter_.text))
        out.push_back(std::move(value));
      if (out.size() > kMaxMeanings) {
        return Error(Code::RequestInvalid,
                     "text: more than " + std::to_string(kMaxMeanings) + " names contain it",
                     "Give more of the text.");
      }
    }
    return out;
  }

  Result<std::vector<Walk>> meanings(const std::string& lead) {
    std::vector<Walk> walks;
    if (const auto id = id_of(filter_.text)) walks.push_back({"", "", "", id});
    if (filter_.workflow.empty()) {
      EZ_ASSIGN(const std::vector<std::string> workflows, distinct("runs", "workflow", ""));
      for (const std::string& workflow : workflows) walks.push_back({lead, "", workflow, {}});
    } else if (contains(filter_.workflow, filter_.text)) {
      walks.push_back({lead, "", filter_.workflow, {}});
    }
    for (const std::string& prefix : {started_by_term(""), error_term("")}) {
      EZ_ASSIGN(const std::vector<std::string> terms, distinct("terms", "term", prefix));
      for (const std::string& term : terms)
        walks.push_back(lead.empty() ? Walk{term, "", "", {}} : Walk{lead, term, "", {}});
    }
    return walks;
  }

  std::string conditions(const Walk& walk, std::string_view of) const {
    const std::string place(of);
    std::string sql;
    if (!filter_.namespace_name.empty()) sql += " AND " + place + ".namespace=?1";
    if (!filter_.workflow.empty() || !walk.workflow.empty()) sql += " AND " + place + ".workflow=?2";
    if (filter_.created_from_ms) sql += " AND " + place + ".created_ms>=?4";
    if (filter_.created_before_ms) sql += " AND " + place + ".created_ms<?5";
    if (after_ != nullptr) sql += " AND (" + place + ".created_ms, " + place + ".id)<(?6, ?7)";
    if (filter_.finished_from_ms) sql += " AND r.finished_ms>=?9";
    // What ended before a time was created before it: that bounds the walk.
    if (filter_.finished_before_ms) sql += " AND r.finished_ms<?10 AND " + place + ".created_ms<?10";
    if (walk.id) sql += " AND " + place + ".id=?11";
    const auto has = [&](std::size_t parameter) {
      sql += " AND EXISTS(SELECT 1 FROM terms o WHERE o.term=?" + std::to_string(parameter) +
             " AND o.state=" + place + ".state AND o.created_ms=" + place + ".created_ms AND o.id=" + place +
             ".id)";
    };
    if (!walk.also.empty()) has(13);
    for (std::size_t i = 0; i < terms_.size(); ++i) {
      if (terms_[i] != walk.term) has(14 + i);
    }
    return sql;
  }

  // Along one order of the index: `state` is empty when the order does not need it.
  Status follow(const Walk& walk, std::string_view state) {
    std::string sql = "SELECT " + std::string(kRowColumns);
    std::string_view place = "r";
    if (walk.term.empty()) {
      sql += " FROM runs r LEFT JOIN facets f ON f.id=r.id WHERE 1";
    } else {
      place = "t";
      // CROSS JOIN: SQLite keeps the order of the tables.
      sql += " FROM terms t CROSS JOIN runs r ON r.id=t.id LEFT JOIN facets f ON f.id=t.id WHERE t.term=?12";
    }
    if (!state.empty()) sql += " AND " + std::string(place) + ".state=?3";
    sql += conditions(walk, place) + " ORDER BY " + std::string(place) + ".created_ms DESC, " +
           std::string(place) + ".id DESC LIMIT ?8";
    EZ_ASSIGN(Statement select, database_.prepare(sql));
    if (!filter_.namespace_name.empty()) select.bind(1, std::string_view(filter_.namespace_name));
    const std::string& workflow = walk.workflow.empty() ? filter_.workflow : walk.workflow;
    if (!workflow.empty()) select.bind(2, std::string_view(workflow));
    if (!state.empty()) select.bind(3, state);
    if (filter_.created_from_ms) select.bind(4, *filter_.created_from_ms);
    if (filter_.created_before_ms) select.bind(5, *filter_.created_before_ms);
    if (after_ != nullptr) select.bind(6, after_->created_ms).bind(7, after_->id);
    select.bind(8, static_cast<std::int64_t>(limit_) + 1);
    if (filter_.finished_from_ms) select.bind(9, *filter_.finished_from_ms);
    if (filter_.finished_before_ms) select.bind(10, *filter_.finished_before_ms);
    if (walk.id) select.bind(11, *walk.id);
    if (!walk.term.empty()) select.bind(12, std::string_view(walk.term));
    if (!walk.also.empty()) select.bind(13, std::string_view(walk.also));
    for (std::size_t i = 0; i < terms_.size(); ++i) {
      if (terms_[i] != walk.term) select.bind(static_cast<int>(14 + i), std::string_view(terms_[i]));
    }
    for (;;) {
      EZ_ASSIGN(const bool row, select.step());
      if (!row) return {};
      HistoryRow read = read_row(select);
      if (seen_.insert(read.id).second) rows_.push_back(std::move(read));
    }
  }

  // Keeps the newest limit + 1 of what was found so far.
  void cut() {
    std::sort(rows_.begin(), rows_.end(), [](const HistoryRow& a, const HistoryRow& b) {
      return std::pair(a.created_ms, a.id) > std::pair(b.created_ms, b.id);
    });
    if (rows_.size() > limit_ + 1) rows_.resize(limit_ + 1);
  }

  Status follow(const Walk& walk) {
    if (!filter_.state.empty()) {
      EZ_TRY(follow(walk, filter_.state));
    } else if (walk.term.empty()) {
      EZ_TRY(follow(walk, ""));
    } else {
      // The words are in order for each final state.
      for (const std::string_view state : kFinalStates) EZ_TRY(follow(walk, state));
    }
    cut();
    return {};
  }

  Database& database_;
  const HistoryFilter& filter_;
  const std::size_t limit_;
  const Place* const after_;
  std::vector<std::string> terms_;
  std::vector<HistoryRow> rows_;
  std::set<RunId> seen_;
};

}  // namespace

std::string started_by_term(std::string_view principal) { return "p:" + std::string(principal); }
std::string error_term(std::string_view code) { return "e:" + std::string(code); }
std::string label_term(std::string_view name, std::string_view value) {
  return "l:" + std::string(name) + "=" + std::string(value);
}

std::vector<std::string> terms_of(const HistoryRow& row) {
  std::vector<std::string> out;
  if (!row.started_by.empty()) out.push_back(started_by_term(row.started_by));
  if (!row.error_code.empty()) out.push_back(error_term(row.error_code));
  for (const auto& [name, value] : row.labels) out.push_back(label_term(name, value));
  return out;
}

std::string labels_text(const HistoryRow::Labels& labels) {
  if (labels.empty()) return "";
  Value::Map map;
  for (const auto& [name, value] : labels) map.emplace_back(name, Value(value));
  return to_json(Value(std::move(map)));
}

HistoryRow::Labels read_labels(std::string_view text) {
  HistoryRow::Labels out;
  if (text.empty()) return out;
  const auto value = parse_json(text);
  if (!value.ok() || !value->is_map()) return out;
  for (const auto& [name, label] : value->as_map()) {
    if (label.is_string()) out.emplace_back(name, label.as_string());
  }
  return out;
}

Result<std::vector<HistoryRow>> search_history(Database& database, const HistoryFilter& filter,
                                               std::size_t limit, const Place* after) {
  return Search(database, filter, limit, after).run();
}

}  // namespace ez::storage
