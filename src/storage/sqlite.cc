#include "storage/sqlite.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <utility>

namespace ez::storage {

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_), statement_(std::exchange(other.statement_, nullptr)) {}
Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(database_, other.database_);
  std::swap(statement_, other.statement_);
  return *this;
}
Statement::~Statement() { sqlite3_finalize(statement_); }

// A wrong index is the only way in which these can fail, and a bug of ours.
Statement& Statement::bind(int index, std::int64_t value) {
  EZ_CHECK(sqlite3_bind_int64(statement_, index, value) == SQLITE_OK, "bind of an integer");
  return *this;
}
Statement& Statement::bind(int index, std::string_view text) {
  const char* data = text.data() == nullptr ? "" : text.data();
  EZ_CHECK(sqlite3_bind_text64(statement_, index, data, text.size(), SQLITE_STATIC, SQLITE_UTF8) == SQLITE_OK,
           "bind of a text");
  return *this;
}
Statement& Statement::bind_blob(int index, std::string_view bytes) {
  const char* data = bytes.data() == nullptr ? "" : bytes.data();
  EZ_CHECK(sqlite3_bind_blob64(statement_, index, data, bytes.size(), SQLITE_STATIC) == SQLITE_OK,
           "bind of a blob");
  return *this;
}

Result<bool> Statement::step() {
  const int result = sqlite3_step(statement_);
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  return database_->error(result, "step");
}

Status Statement::run() {
  Result<bool> row = true;
  while (row.ok() && *row) row = step();
  reset();
  if (!row.ok()) return row.error();
  return {};
}

void Statement::reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }
std::string_view Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  return {data == nullptr ? "" : data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}
std::string_view Statement::blob(int column) const {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  return {data == nullptr ? "" : data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

Result<std::unique_ptr<Database>> Database::open(const std::string& path, Mode mode, Code failure) {
  std::unique_ptr<Database> database(new Database(path, failure));
  const int flags =
      mode == Mode::kReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  const int result = sqlite3_open_v2(path.c_str(), &database->handle_,
                                     flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  if (result != SQLITE_OK) return database->error(result, "open");
  if (mode == Mode::kReadWrite) ::chmod(path.c_str(), 0600);
  sqlite3_busy_timeout(database->handle_, 5000);
  // Rows of a damaged file must not be trusted further than they are checked.
  sqlite3_db_config(database->handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(database->handle_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  if (mode == Mode::kReadWrite) {
    EZ_TRY(
        database->execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=OFF;"
                          "PRAGMA journal_size_limit=67108864;"));
  }
  EZ_TRY(database->execute("PRAGMA cell_size_check=ON; PRAGMA cache_size=-8192;"));
  return database;
}

Database::~Database() { sqlite3_close(handle_); }

Status Database::execute(const char* sql) {
  const int result = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (result != SQLITE_OK) return error(result, "execute");
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int result = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (result != SQLITE_OK) return error(result, "prepare");
  return Statement(this, statement);
}

std::int64_t Database::changes() const { return sqlite3_changes64(handle_); }

Status Database::ensure_schema(int version, const char* create_sql, std::span<const char* const> steps) {
  EZ_ASSIGN(Transaction transaction, Transaction::begin(*this));
  EZ_ASSIGN(Statement tables, prepare("SELECT count(*), sum(name = 'schema_version') FROM sqlite_schema"));
  EZ_TRY([&]() -> Status {
    auto row = tables.step();
    if (!row.ok()) return row.error();
    return {};
  }());
  const bool empty = tables.integer(0) == 0;
  const bool versioned = tables.integer(1) == 1;
  tables.reset();
  if (empty) {
    EZ_TRY(execute(create_sql));
    EZ_TRY(execute("CREATE TABLE schema_version(version INTEGER NOT NULL) STRICT"));
    EZ_ASSIGN(Statement insert, prepare("INSERT INTO schema_version VALUES(?)"));
    EZ_TRY(insert.bind(1, std::int64_t{version}).run());
    return transaction.commit();
  }
  if (!versioned) return Error(failure_, path_ + " is a database of another program");
  EZ_ASSIGN(Statement select, prepare("SELECT version FROM schema_version"));
  EZ_ASSIGN(const bool row, select.step());
  if (!row) return Error(failure_, path_ + " has lost its schema version");
  const std::int64_t found = select.integer(0);
  select.reset();
  if (found > version) {
    return Error(
        failure_,
        path_ + " has schema " + std::to_string(found) + ", this ez knows " + std::to_string(version),
        "Start the newer ez that wrote this data directory.");
  }
  if (found < 1) return Error(failure_, path_ + " has the impossible schema " + std::to_string(found));
  for (std::int64_t at = found; at < version && at <= static_cast<std::int64_t>(steps.size()); ++at)
    EZ_TRY(execute(steps[static_cast<std::size_t>(at - 1)]));
  if (found < version) {
    EZ_ASSIGN(Statement update, prepare("UPDATE schema_version SET version=?"));
    EZ_TRY(update.bind(1, std::int64_t{version}).run());
  }
  return transaction.commit();
}

Status Database::check() {
  EZ_ASSIGN(Statement statement, prepare("PRAGMA integrity_check(10)"));
  std::string found;
  for (;;) {
    EZ_ASSIGN(const bool row, statement.step());
    if (!row) break;
    if (!found.empty()) found += "; ";
    found += statement.text(0);
  }
  if (found != "ok") return Error(failure_, path_ + " is damaged: " + found);
  return {};
}

Error Database::error(int result, std::string_view doing) const {
  const int primary = result & 0xff;
  std::string text = path_ + ": " + std::string(doing) + ": ";
  text += handle_ != nullptr ? sqlite3_errmsg(handle_) : sqlite3_errstr(result);
  if (primary == SQLITE_FULL) return Error(Code::DiskFull, std::move(text));
  return Error(failure_, std::move(text));
}

Result<Transaction> Transaction::begin(Database& database) {
  EZ_TRY(database.execute("BEGIN IMMEDIATE"));
  return Transaction(&database);
}

Transaction::~Transaction() {
  // When a ROLLBACK fails, SQLite has rolled back by itself already.
  if (database_ != nullptr) (void)database_->execute("ROLLBACK").ok();
}

Status Transaction::commit() {
  EZ_TRY(database_->execute("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace ez::storage
