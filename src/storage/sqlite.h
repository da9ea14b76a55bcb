// A thin owner of SQLite connections and statements for the stores of this room.
//
// A Database maps SQLite result codes to the Code that its owner gives it (HISTORY_FAILED and so on), a full
// disk to DISK_FULL. Threads: one connection and its statements are used by one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace ez::storage {

class Database;

// A prepared statement, reusable. Text and blobs that are bound must live until the next reset().
class Statement {
 public:
  Statement() = default;
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  Statement& bind(int index, std::int64_t value);  // index from 1
  Statement& bind(int index, std::string_view text);
  Statement& bind_blob(int index, std::string_view bytes);
  // True: a row is there. False: done.
  [[nodiscard]] Result<bool> step();
  // Steps to the end and resets: for statements without rows.
  [[nodiscard]] Status run();
  void reset();

  [[nodiscard]] std::int64_t integer(int column) const;   // column from 0
  [[nodiscard]] std::string_view text(int column) const;  // valid until the next step or reset
  [[nodiscard]] std::string_view blob(int column) const;  // likewise

 private:
  friend class Database;
  Statement(Database* database, sqlite3_stmt* statement) : database_(database), statement_(statement) {}
  Database* database_ = nullptr;
  sqlite3_stmt* statement_ = nullptr;
};

class Database {
 public:
  enum class Mode { kReadWrite, kReadOnly };

  // Opens or creates with WAL and synchronous=FULL: a commit that returned is durable.
  [[nodiscard]] static Result<std::unique_ptr<Database>> open(const std::string& path, Mode mode,
                                                              Code failure);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  [[nodiscard]] Status execute(const char* sql);
  [[nodiscard]] Result<Statement> prepare(std::string_view sql);
  // Rows that the last statement changed.
  [[nodiscard]] std::int64_t changes() const;

  // The schema version that a table `schema_version` of the file holds: creates schema (`create_sql`, in one
  // transaction) when the file has no tables, refuses a version above `version`, or tables without a version.
  // An older file is brought up to date in that transaction: steps[0] leads from version 1 to 2, and so on.
  [[nodiscard]] Status ensure_schema(int version, const char* create_sql,
                                     std::span<const char* const> steps = {});

  // SQLite's own check of pages and indexes; reads the whole file. The error says what it found.
  [[nodiscard]] Status check();

  [[nodiscard]] Error error(int result, std::string_view doing) const;

 private:
  Database(std::string path, Code failure) : path_(std::move(path)), failure_(failure) {}
  const std::string path_;
  const Code failure_;
  sqlite3* handle_ = nullptr;
};

// BEGIN IMMEDIATE … COMMIT; rolls back when it is left without commit().
class Transaction {
 public:
  [[nodiscard]] static Result<Transaction> begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  [[nodiscard]] Status commit();

 private:
  explicit Transaction(Database* database) : database_(database) {}
  Database* database_;
};

}  // namespace ez::storage
