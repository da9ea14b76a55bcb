// JSON (RFC 8259) to and from Value.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/value.h"

namespace ez {

struct JsonLimits {
  std::size_t max_bytes = 8 * 1024 * 1024;
  std::size_t max_depth = 64;
};

// Strict: UTF-8, no comments, no trailing text, no duplicate keys, numbers in range of int64 or double (an integer
// that does not fit int64 becomes a double). Errors: JSON_INVALID with line and column, PAYLOAD_TOO_LARGE.
[[nodiscard]] Result<Value> parse_json(std::string_view text, const JsonLimits& limits = {});

// Compact text, keys in order, shortest form of doubles that reads back equal; the same Value gives the same bytes.
[[nodiscard]] std::string to_json(const Value& value);
void append_json(std::string& out, const Value& value);
// Appends the JSON string literal of text, quotes included. Bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text);
// Two spaces of indent, for people.
[[nodiscard]] std::string to_pretty_json(const Value& value);

}  // namespace ez
