// Strict reading of one map of models.yaml: every field once, unknown ones are errors. Internal to config/.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/value.h"

namespace ez::models {

class Reader {
 public:
  // `where` names the map in messages: "providers.local". The value may be null: an empty map.
  Reader(const Value& value, std::string where);

  [[nodiscard]] const Value* get(std::string_view key);  // null when absent or null
  [[nodiscard]] std::optional<std::string> text(std::string_view key);
  [[nodiscard]] std::optional<bool> flag(std::string_view key);
  [[nodiscard]] std::optional<std::int64_t> number(std::string_view key, std::int64_t min, std::int64_t max);
  [[nodiscard]] std::optional<std::int64_t> duration_ms(std::string_view key);
  // A list of texts, or one text.
  [[nodiscard]] std::optional<std::vector<std::string>> texts(std::string_view key, std::size_t max);

  void fail(std::string_view key, std::string_view why);
  void fail(const Error& error);
  [[nodiscard]] std::string path(std::string_view key) const;
  // The first mistake; unknown fields are one. Errors: MODELS_CONFIG_INVALID.
  [[nodiscard]] Status done();

 private:
  const Value value_;
  const std::string where_;
  std::set<std::string, std::less<>> seen_;
  std::optional<Error> error_;
};

}  // namespace ez::models
