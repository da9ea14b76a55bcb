// JSON (RFC 8259) to and from Value. Thread-safe: no state is kept between calls.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/value.h"

namespace ez {

// Together they bound the memory of a parse: at most about 150 bytes for each value, plus the bytes of the
// text.
struct JsonLimits {
  std::size_t max_bytes = 8 * 1024 * 1024;
  std::size_t max_depth = 64;
  std::size_t max_values = 1'000'000;  // elements and members, at any depth
};

// Strict: UTF-8, no comments, no trailing text, no duplicate keys, no halves of surrogate pairs, numbers in
// range of int64 or double (an integer that does not fit int64 becomes a double; a number too small for a
// double becomes zero). Errors: JSON_INVALID with line and column (in characters, from 1), PAYLOAD_TOO_LARGE.
[[nodiscard]] Result<Value> parse_json(std::string_view text, const JsonLimits& limits = {});

// Compact text, keys in order, shortest form of doubles that reads back equal; the same Value gives the same
// bytes. parse_json() of it gives an equal Value whose numbers have the same kinds (a whole double is written
// as 3.0), save that NaN and the infinities, for which JSON has no form, are written as null.
[[nodiscard]] std::string to_json(const Value& value);
void append_json(std::string& out, const Value& value);
// Appends the JSON string literal of text, quotes included. Bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text);
// Appends the number as described above.
void append_json_double(std::string& out, double number);
// Two spaces of indent, for people.
[[nodiscard]] std::string to_pretty_json(const Value& value);

// A decimal number in the form of JSON or CEL, without a leading '+'. Empty when it is malformed or too
// large; one that is too small for a double is zero. Independent of the locale.
[[nodiscard]] std::optional<double> parse_double(std::string_view text);

}  // namespace ez
