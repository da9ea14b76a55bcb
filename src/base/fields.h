// Fields: reads the members of a JSON object and remembers the first mistake, naming the field
// ("results[2].output").
//
//   Fields fields(body);
//   const std::string name = fields.need_line("name", 128);
//   EZ_TRY(fields.done());
//
// A member that is null counts as absent. done() refuses members that nobody asked for: a misspelt one must
// not be ignored in silence. Not thread-safe; the object outlives it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/value.h"

namespace ez {

class Fields {
 public:
  // `where`: what stands before the field's name in errors. `strict` false: unknown members are allowed, for
  // what agents of other versions send.
  explicit Fields(const Value& object, std::string where = "", bool strict = true);

  // A text of at most max_bytes, without NUL; empty when absent.
  std::string text(std::string_view key, std::size_t max_bytes);
  // The same without any control character.
  std::string line(std::string_view key, std::size_t max_bytes);
  std::string need_line(std::string_view key, std::size_t max_bytes);
  // A SHA-256 in hexadecimal digits; empty when absent.
  std::string sha256(std::string_view key);
  std::int64_t number(std::string_view key, std::int64_t fallback, std::int64_t least, std::int64_t most);
  std::int64_t need_number(std::string_view key, std::int64_t least, std::int64_t most);
  bool flag(std::string_view key, bool fallback);
  // Empty when absent.
  const Value::List& list(std::string_view key, std::size_t max_items);
  // A map; an empty one when absent.
  Value map(std::string_view key);
  // Whatever it is; null when absent.
  Value any(std::string_view key);
  // A list of texts without control characters.
  std::vector<std::string> lines(std::string_view key, std::size_t max_items, std::size_t max_bytes);

  // "results[2].output".
  [[nodiscard]] std::string name_of(std::string_view key) const;
  void fail(std::string_view key, std::string_view what);
  void fail(Error error);

  // The first mistake, or an unknown member. Errors: REQUEST_INVALID.
  [[nodiscard]] Status done();

 private:
  const Value* find(std::string_view key);

  const Value& object_;
  const std::string where_;
  const bool strict_;
  std::vector<std::string_view> known_;
  std::optional<Error> error_;
};

}  // namespace ez
