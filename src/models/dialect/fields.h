// Reading members of JSON objects with one sticky error: the first thing that is wrong stays, everything
// after it reads as absent, and the caller looks once at the end. Internal to models/dialect and
// models/cassette.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/value.h"

namespace ez::models {

// Where a value stands in a document; made on the stack, text only when something is wrong.
struct Path {
  const Path* parent = nullptr;
  std::string_view key;
  std::size_t index = 0;
  bool is_index = false;

  [[nodiscard]] Path at(std::string_view member) const& { return {this, member, 0, false}; }
  [[nodiscard]] Path at(std::size_t element) const& { return {this, {}, element, true}; }
  // The parent is only pointed to, so it has to have a name.
  Path at(std::string_view member) const&& = delete;
  Path at(std::size_t element) const&& = delete;
  [[nodiscard]] std::string text() const;  // "messages[2].content", "" at the root
};

struct ReadContext {
  Code code = Code::RequestInvalid;
  std::optional<Error> error;
  void fail(const Path& path, std::string_view what);  // the first one stays
  [[nodiscard]] bool failed() const { return error.has_value(); }
};

// The members of one object. A null member counts as absent. Remembers what was asked for: rest() is what
// nobody asked for. `value` and `path` outlive it.
class Fields {
 public:
  Fields(ReadContext& context, const Value& value, const Path& path);

  [[nodiscard]] const Value* any(std::string_view key);
  [[nodiscard]] std::string text(std::string_view key);       // "" when absent
  [[nodiscard]] std::string need_text(std::string_view key);  // present and not empty
  [[nodiscard]] std::optional<std::int64_t> integer(std::string_view key, std::int64_t min, std::int64_t max);
  [[nodiscard]] std::optional<double> number(std::string_view key);
  [[nodiscard]] std::optional<bool> boolean(std::string_view key);
  [[nodiscard]] const Value* list(std::string_view key);
  [[nodiscard]] const Value* map(std::string_view key);
  [[nodiscard]] const Value* need_list(std::string_view key);

  [[nodiscard]] Value rest() const;  // null when there is nothing left
  [[nodiscard]] const Path& path() const { return path_; }

 private:
  [[nodiscard]] const Value* take(std::string_view key);
  const Value* typed(std::string_view key, Value::Kind kind, std::string_view what);
  ReadContext& context_;
  const Value& value_;
  const Path& path_;
  std::vector<std::string_view> taken_;
};

// Adds the members of `extras` (a map or null) that `to` does not have yet.
void add_extras(Value& to, const Value& extras);

// A whole number that is not negative, also when it is written as 12.0; nothing otherwise.
[[nodiscard]] std::optional<std::int64_t> count_of(const Value* value);

}  // namespace ez::models
