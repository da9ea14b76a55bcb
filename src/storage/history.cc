#include "storage/history.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>

#include "base/json.h"
#include "storage/files.h"
#include "storage/history_rows.h"
#include "storage/sqlite.h"
#include "storage/zstd_stream.h"

namespace ez::storage {
namespace {

constexpr int kSchemaVersion = 2;
constexpr char kSchema[] = R"sql(
  CREATE TABLE runs(
    id INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL, workflow TEXT NOT NULL, version INTEGER NOT NULL,
    state TEXT NOT NULL, priority TEXT NOT NULL,
    created_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL, finished_ms INTEGER NOT NULL,
    cost_microusd INTEGER NOT NULL,
    tasks INTEGER NOT NULL, tasks_succeeded INTEGER NOT NULL, tasks_failed INTEGER NOT NULL,
    tasks_skipped INTEGER NOT NULL, tasks_cancelled INTEGER NOT NULL,
    encoding INTEGER NOT NULL, record BLOB NOT NULL) STRICT;
  CREATE INDEX runs_by_time ON runs(created_ms, id);
  CREATE INDEX runs_by_namespace ON runs(namespace, created_ms, id);
  CREATE INDEX runs_by_workflow ON runs(workflow, created_ms, id);
  CREATE INDEX runs_by_state ON runs(state, created_ms, id);
  CREATE TABLE position(one INTEGER PRIMARY KEY CHECK(one = 1), applied INTEGER NOT NULL) STRICT;
  INSERT INTO position VALUES(1, 0);
)sql";
// What schema 2 adds.
constexpr char kSearchSchema[] = R"sql(
  CREATE INDEX runs_by_workflow_state ON runs(workflow, state, created_ms, id);
  CREATE TABLE facets(
    id INTEGER PRIMARY KEY, started_by TEXT NOT NULL, error_code TEXT NOT NULL, labels TEXT NOT NULL) STRICT;
  CREATE TABLE terms(
    term TEXT NOT NULL, state TEXT NOT NULL, created_ms INTEGER NOT NULL, id INTEGER NOT NULL,
    namespace TEXT NOT NULL, workflow TEXT NOT NULL,
    PRIMARY KEY(term, state, created_ms, id)) STRICT, WITHOUT ROWID;
)sql";

constexpr std::size_t kPackAbove = 512;
constexpr std::int64_t kRaw = 0;
constexpr std::int64_t kZstd = 1;
constexpr std::string_view kRebuildHint =
    "Check it with `ez doctor`. When it is damaged, stop ez and move history.db, history.db-wal and "
    "history.db-shm away: "
    "it is rebuilt from the log.";

Error advise(const Error& error) {
  if (error.code() != Code::HistoryFailed || error.hint() != info(Code::HistoryFailed).hint) return error;
  return Error(error.code(), error.message(), std::string(kRebuildHint));
}

}  // namespace

HistoryRow read_row(const Statement& from) {
  HistoryRow row;
  int column = 0;
  const auto number = [&] { return from.integer(column++); };
  const auto text = [&] { return std::string(from.text(column++)); };
  const auto small = [&] { return static_cast<std::uint32_t>(number()); };
  row.id = RunId{from_sql(number())};
  row.namespace_name = text();
  row.workflow = text();
  row.version = small();
  row.state = text();
  row.priority = text();
  row.created_ms = number();
  row.started_ms = number();
  row.finished_ms = number();
  row.cost_microusd = number();
  row.tasks.total = small();
  row.tasks.succeeded = small();
  row.tasks.failed = small();
  row.tasks.skipped = small();
  row.tasks.cancelled = small();
  row.started_by = text();
  row.error_code = text();
  row.labels = read_labels(from.text(column));
  return row;
}

namespace {

Result<std::string> unpack_record(std::int64_t encoding, std::string_view bytes, RunId id) {
  if (encoding == kRaw) return std::string(bytes);
  if (encoding == kZstd) {
    auto record = zstd_unpack(bytes, kMaxRecordBytes, Code::HistoryFailed);
    if (record.ok()) return record;
    return record.error().in("the record of run " + to_text(id));
  }
  return Error(Code::HistoryFailed,
               "the record of run " + to_text(id) + " has the unknown encoding " + std::to_string(encoding));
}

// "1" and the two numbers in 16 hexadecimal digits each.
std::string encode_cursor(const Place& place) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "1";
  for (const std::int64_t number : {place.created_ms, place.id}) {
    for (int shift = 60; shift >= 0; shift -= 4) out.push_back(kHex[(from_sql(number) >> shift) & 15]);
  }
  return out;
}

Result<Place> decode_cursor(std::string_view cursor) {
  const Error wrong(Code::RequestInvalid, "the cursor is not one that a list of runs gave");
  if (cursor.size() != 33 || cursor[0] != '1') return wrong;
  std::uint64_t numbers[2] = {0, 0};
  for (std::size_t i = 0; i < 32; ++i) {
    const char c = cursor[1 + i];
    const bool digit = c >= '0' && c <= '9';
    if (!digit && !(c >= 'a' && c <= 'f')) return wrong;
    numbers[i / 16] = numbers[i / 16] << 4 | static_cast<std::uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return Place{to_sql(numbers[0]), to_sql(numbers[1])};
}

std::string where(const HistoryFilter& filter) {
  std::string sql = " WHERE 1";
  if (!filter.namespace_name.empty()) sql += " AND namespace=?1";
  if (!filter.workflow.empty()) sql += " AND workflow=?2";
  if (!filter.state.empty()) sql += " AND state=?3";
  if (filter.created_from_ms.has_value()) sql += " AND created_ms>=?4";
  if (filter.created_before_ms.has_value()) sql += " AND created_ms<?5";
  return sql;
}

void bind(Statement& statement, const HistoryFilter& filter) {
  if (!filter.namespace_name.empty()) statement.bind(1, std::string_view(filter.namespace_name));
  if (!filter.workflow.empty()) statement.bind(2, std::string_view(filter.workflow));
  if (!filter.state.empty()) statement.bind(3, std::string_view(filter.state));
  if (filter.created_from_ms.has_value()) statement.bind(4, *filter.created_from_ms);
  if (filter.created_before_ms.has_value()) statement.bind(5, *filter.created_before_ms);
}

}  // namespace

struct History::State {
  std::string path;

  std::mutex write_mutex;
  std::unique_ptr<Database> writer;
  Statement insert, insert_facets, insert_term, find, move_position, erase, erase_facets, erase_term;
  std::atomic<std::uint64_t> position{0};

  std::mutex readers_mutex;
  std::condition_variable reader_free;
  std::vector<std::unique_ptr<Database>> readers;

  // Takes a run out of `terms` and `facets`; false: there is no such run.
  [[nodiscard]] Result<bool> forget(RunId id) {
    EZ_ASSIGN(const bool found, this->find.bind(1, to_sql(id.value)).step());
    if (!found) {
      this->find.reset();
      return false;
    }
    const HistoryRow row = read_row(this->find);
    this->find.reset();
    for (const std::string& term : terms_of(row)) {
      EZ_TRY(erase_term.bind(1, std::string_view(term))
                 .bind(2, std::string_view(row.state))
                 .bind(3, row.created_ms)
                 .bind(4, to_sql(id.value))
                 .run());
    }
    EZ_TRY(erase_facets.bind(1, to_sql(id.value)).run());
    return true;
  }
  [[nodiscard]] Status index(const HistoryRow& row) {
    const std::string labels = labels_text(row.labels);
    EZ_TRY(insert_facets.bind(1, to_sql(row.id.value))
               .bind(2, std::string_view(row.started_by))
               .bind(3, std::string_view(row.error_code))
               .bind(4, std::string_view(labels))
               .run());
    for (const std::string& term : terms_of(row)) {
      EZ_TRY(insert_term.bind(1, std::string_view(term))
                 .bind(2, std::string_view(row.state))
                 .bind(3, row.created_ms)
                 .bind(4, to_sql(row.id.value))
                 .bind(5, std::string_view(row.namespace_name))
                 .bind(6, std::string_view(row.workflow))
                 .run());
    }
    return {};
  }

  // A connection of its own for one read; goes back at the end.
  class Reader {
   public:
    explicit Reader(State& state) : state_(state) {
      std::unique_lock lock(state_.readers_mutex);
      state_.reader_free.wait(lock, [&] { return !state_.readers.empty(); });
      database_ = std::move(state_.readers.back());
      state_.readers.pop_back();
    }
    ~Reader() {
      {
        std::lock_guard lock(state_.readers_mutex);
        state_.readers.push_back(std::move(database_));
      }
      state_.reader_free.notify_one();
    }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    Database& operator*() const { return *database_; }
    Database* operator->() const { return database_.get(); }

   private:
    State& state_;
    std::unique_ptr<Database> database_;
  };
};

History::History(std::unique_ptr<State> state) : state_(std::move(state)) {}
History::~History() = default;

Result<std::unique_ptr<History>> History::open(const std::string& folder) {
  auto opened = [&]() -> Result<std::unique_ptr<State>> {
    EZ_TRY(make_folders(folder));
    auto state = std::make_unique<State>();
    state->path = folder + "/history.db";
    EZ_ASSIGN(state->writer, Database::open(state->path, Database::Mode::kReadWrite, Code::HistoryFailed));
    const std::string whole = std::string(kSchema) + kSearchSchema;
    const char* const steps[] = {kSearchSchema};
    EZ_TRY(state->writer->ensure_schema(kSchemaVersion, whole.c_str(), steps));
    // Pages that many appends change go back into the file once for all of them: 16 MiB of log.
    // What undoes a single statement stays in memory (some pages): SQLite's temporary file for it, begun by
    // the first statement that splits pages, is written by every later one, which came to 14 times the pages
    // of a transaction.
    EZ_TRY(state->writer->execute("PRAGMA wal_autocheckpoint=4096; PRAGMA temp_store=MEMORY"));
    EZ_ASSIGN(state->insert, state->writer->prepare(
                                 "INSERT OR REPLACE INTO runs VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"));
    EZ_ASSIGN(state->insert_facets, state->writer->prepare("INSERT OR REPLACE INTO facets VALUES(?,?,?,?)"));
    EZ_ASSIGN(state->insert_term, state->writer->prepare("INSERT OR REPLACE INTO terms VALUES(?,?,?,?,?,?)"));
    EZ_ASSIGN(state->find,
              state->writer->prepare("SELECT " + std::string(kRowColumns) +
                                     " FROM runs r LEFT JOIN facets f ON f.id=r.id WHERE r.id=?"));
    EZ_ASSIGN(state->erase_facets, state->writer->prepare("DELETE FROM facets WHERE id=?"));
    EZ_ASSIGN(state->erase_term,
              state->writer->prepare("DELETE FROM terms WHERE term=? AND state=? AND created_ms=? AND id=?"));
    EZ_ASSIGN(state->move_position, state->writer->prepare("UPDATE position SET applied=max(applied, ?)"));
    EZ_ASSIGN(state->erase, state->writer->prepare("DELETE FROM runs WHERE id=?"));
    EZ_ASSIGN(Statement position, state->writer->prepare("SELECT applied FROM position"));
    EZ_ASSIGN(const bool row, position.step());
    if (!row) return Error(Code::HistoryFailed, state->path + " has lost its position");
    state->position = from_sql(position.integer(0));
    for (std::size_t i = 0; i < kReaders; ++i) {
      EZ_ASSIGN(auto reader, Database::open(state->path, Database::Mode::kReadOnly, Code::HistoryFailed));
      state->readers.push_back(std::move(reader));
    }
    EZ_TRY(sync_folder(folder));
    return state;
  }();
  if (!opened.ok()) return advise(opened.error());
  return std::unique_ptr<History>(new History(std::move(*opened)));
}

Status History::append(std::span<const HistoryRow> rows, LogIndex applied) {
  State& s = *state_;
  for (const HistoryRow& row : rows) {
    if (row.record.size() > kMaxRecordBytes) {
      return Error(Code::PayloadTooLarge, "the record of run " + to_text(row.id) + " has " +
                                              std::to_string(row.record.size()) + " bytes");
    }
  }
  std::lock_guard lock(s.write_mutex);
  const Status status = [&]() -> Status {
    EZ_ASSIGN(Transaction transaction, Transaction::begin(*s.writer));
    for (const HistoryRow& row : rows) {
      EZ_TRY(s.forget(row.id));
      EZ_TRY(s.index(row));
      std::string packed;
      if (row.record.size() > kPackAbove) packed = zstd_pack(row.record);
      const bool smaller = !packed.empty() && packed.size() < row.record.size();
      int column = 0;
      const auto number = [&](std::int64_t value) { s.insert.bind(++column, value); };
      const auto text = [&](std::string_view value) { s.insert.bind(++column, value); };
      number(to_sql(row.id.value));
      text(row.namespace_name);
      text(row.workflow);
      number(row.version);
      text(row.state);
      text(row.priority);
      number(row.created_ms);
      number(row.started_ms);
      number(row.finished_ms);
      number(row.cost_microusd);
      number(row.tasks.total);
      number(row.tasks.succeeded);
      number(row.tasks.failed);
      number(row.tasks.skipped);
      number(row.tasks.cancelled);
      number(smaller ? kZstd : kRaw);
      s.insert.bind_blob(++column, smaller ? packed : row.record);
      EZ_TRY(s.insert.run());
    }
    EZ_TRY(s.move_position.bind(1, to_sql(applied.value)).run());
    return transaction.commit();
  }();
  if (!status.ok()) return advise(status.error());
  s.position = std::max(s.position.load(), applied.value);
  return {};
}

LogIndex History::position() const { return LogIndex{state_->position.load()}; }

Result<HistoryRow> History::get(RunId id) const {
  auto got = [&]() -> Result<HistoryRow> {
    const State::Reader reader(*state_);
    EZ_ASSIGN(
        Statement select,
        reader->prepare("SELECT " + std::string(kRowColumns) +
                        ", r.encoding, r.record FROM runs r LEFT JOIN facets f ON f.id=r.id WHERE r.id=?"));
    EZ_ASSIGN(const bool found, select.bind(1, to_sql(id.value)).step());
    if (!found) return Error(Code::RunNotFound, "no run " + to_text(id) + " in the history");
    HistoryRow row = read_row(select);
    EZ_ASSIGN(row.record,
              unpack_record(select.integer(kRowColumnCount), select.blob(kRowColumnCount + 1), id));
    return row;
  }();
  if (!got.ok()) return advise(got.error());
  return got;
}

Result<HistoryPage> History::list(const HistoryFilter& filter, std::size_t limit,
                                  std::string_view cursor) const {
  Place after;
  if (!cursor.empty()) {
    EZ_ASSIGN(after, decode_cursor(cursor));
  }
  limit = std::clamp<std::size_t>(limit, 1, kMaxListLimit);
  auto listed = [&]() -> Result<HistoryPage> {
    const State::Reader reader(*state_);
    HistoryPage page;
    EZ_ASSIGN(page.rows, search_history(*reader, filter, limit, cursor.empty() ? nullptr : &after));
    if (page.rows.size() > limit) {  // one more tells whether there is a next page
      page.rows.resize(limit);
      page.next_cursor = encode_cursor({page.rows.back().created_ms, to_sql(page.rows.back().id.value)});
    }
    return page;
  }();
  if (!listed.ok()) return advise(listed.error());
  return listed;
}

Result<std::uint64_t> History::count(const HistoryFilter& filter) const {
  const State::Reader reader(*state_);
  auto select = reader->prepare("SELECT count(*) FROM runs" + where(filter));
  if (!select.ok()) return advise(select.error());
  bind(*select, filter);
  const auto row = select->step();
  if (!row.ok()) return advise(row.error());
  return from_sql(select->integer(0));
}

Result<std::vector<RunId>> History::oldest(std::int64_t created_before_ms, std::size_t limit) const {
  const State::Reader reader(*state_);
  auto select = reader->prepare("SELECT id FROM runs WHERE created_ms<? ORDER BY created_ms, id LIMIT ?");
  if (!select.ok()) return advise(select.error());
  select->bind(1, created_before_ms).bind(2, static_cast<std::int64_t>(limit));
  std::vector<RunId> ids;
  for (;;) {
    const auto row = select->step();
    if (!row.ok()) return advise(row.error());
    if (!*row) return ids;
    ids.push_back(RunId{from_sql(select->integer(0))});
  }
}

namespace {

std::string where(const RetentionScope& scope) {
  std::string sql = " WHERE 1";
  if (!scope.namespace_name.empty()) sql += " AND namespace=?1";
  if (!scope.workflow.empty()) sql += " AND workflow=?2";
  if (!scope.except.empty()) sql += " AND namespace||'/'||workflow NOT IN (SELECT value FROM json_each(?3))";
  return sql;
}

std::string excepted(const RetentionScope& scope) {
  return to_json(Value(Value::List(scope.except.begin(), scope.except.end())));
}

// The statement keeps no copies: `except` has to live as long as it runs.
void bind(Statement& statement, const RetentionScope& scope, const std::string& except) {
  if (!scope.namespace_name.empty()) statement.bind(1, std::string_view(scope.namespace_name));
  if (!scope.workflow.empty()) statement.bind(2, std::string_view(scope.workflow));
  if (!scope.except.empty()) statement.bind(3, std::string_view(except));
}

Result<std::vector<RunId>> ids_of(Statement& select) {
  std::vector<RunId> ids;
  for (;;) {
    const auto row = select.step();
    if (!row.ok()) return advise(row.error());
    if (!*row) return ids;
    ids.push_back(RunId{from_sql(select.integer(0))});
  }
}

}  // namespace

Result<std::vector<RunId>> History::finished_before(const RetentionScope& scope, std::int64_t time_ms,
                                                    std::size_t limit) const {
  const std::string except = excepted(scope);
  const State::Reader reader(*state_);
  // What finished before was created before: the index bounds the walk.
  auto select = reader->prepare("SELECT id FROM runs" + where(scope) +
                                " AND created_ms<?4 AND finished_ms<?4 ORDER BY created_ms, id LIMIT ?5");
  if (!select.ok()) return advise(select.error());
  bind(*select, scope, except);
  select->bind(4, time_ms).bind(5, static_cast<std::int64_t>(limit));
  return ids_of(*select);
}

Result<std::vector<RunId>> History::beyond_newest(const RetentionScope& scope, std::uint64_t keep,
                                                  std::size_t limit) const {
  const std::string except = excepted(scope);
  const State::Reader reader(*state_);
  auto count = reader->prepare("SELECT count(*) FROM runs" + where(scope));
  if (!count.ok()) return advise(count.error());
  bind(*count, scope, except);
  if (const auto row = count->step(); !row.ok()) return advise(row.error());
  const std::uint64_t there = from_sql(count->integer(0));
  if (there <= keep) return std::vector<RunId>();
  auto select = reader->prepare("SELECT id FROM runs" + where(scope) + " ORDER BY created_ms, id LIMIT ?5");
  if (!select.ok()) return advise(select.error());
  bind(*select, scope, except);
  select->bind(5, static_cast<std::int64_t>(std::min<std::uint64_t>(limit, there - keep)));
  return ids_of(*select);
}

Result<std::uint64_t> History::remove(std::span<const RunId> ids) {
  State& s = *state_;
  std::lock_guard lock(s.write_mutex);
  auto removed = [&]() -> Result<std::uint64_t> {
    EZ_ASSIGN(Transaction transaction, Transaction::begin(*s.writer));
    std::uint64_t count = 0;
    for (const RunId id : ids) {
      EZ_TRY(s.forget(id));
      EZ_TRY(s.erase.bind(1, to_sql(id.value)).run());
      count += from_sql(s.writer->changes());
    }
    EZ_TRY(transaction.commit());
    return count;
  }();
  if (!removed.ok()) return advise(removed.error());
  return removed;
}

Status History::check() const {
  const Status status = [&]() -> Status {
    const State::Reader reader(*state_);
    EZ_TRY(reader->check());
    EZ_ASSIGN(Statement select, reader->prepare("SELECT id, encoding, record FROM runs"));
    for (;;) {
      EZ_ASSIGN(const bool row, select.step());
      if (!row) return {};
      EZ_TRY(unpack_record(select.integer(1), select.blob(2), RunId{from_sql(select.integer(0))}));
    }
  }();
  if (!status.ok()) return advise(status.error());
  return {};
}

}  // namespace ez::storage
