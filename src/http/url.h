// Request targets (RFC 3986): percent-encoding, path segments, query parameters. Strict and bounded.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace ez::http {

inline constexpr std::size_t kMaxQueryParameters = 32;
inline constexpr std::size_t kMaxTargetBytes = 8 * 1024;

// Replaces %XX; nullopt for an incomplete or non-hexadecimal escape, and for a result that holds a control
// character or is not UTF-8 (neither ever belongs into a name of ours). `plus_is_space` as HTML forms and
// queries write it.
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);

// Escapes everything but the unreserved characters; the result fits a path segment and a query value.
[[nodiscard]] std::string percent_encode(std::string_view text);

// The parameters of a query, decoded. A name may come once only: two values for one name are a mistake of the
// caller or an attempt to let two readers see different values.
class Query {
 public:
  // `text` without the question mark. Errors: REQUEST_INVALID (escape, duplicate, number of parameters).
  [[nodiscard]] static Result<Query> parse(std::string_view text);

  [[nodiscard]] const std::string* find(std::string_view name) const;
  // The value, or `fallback` when the parameter is absent. Errors: REQUEST_INVALID when it is no decimal
  // integer in [least, most]; least and most must not be negative.
  [[nodiscard]] Result<std::int64_t> number(std::string_view name, std::int64_t fallback, std::int64_t least,
                                            std::int64_t most) const;
  // REQUEST_INVALID when there is a parameter that is not listed: a misspelt filter must not return
  // everything.
  [[nodiscard]] Status only(std::initializer_list<std::string_view> names) const;
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& all() const { return parameters_; }

 private:
  std::vector<std::pair<std::string, std::string>> parameters_;
};

// The parts of a request target in origin form ("/path?query") or absolute form ("http://host/path?query").
struct Target {
  std::string_view path;   // still encoded, begins with '/'
  std::string_view query;  // still encoded, without '?'
  std::string_view
      authority;  // absolute form only; then it replaces the Host header (RFC 9112 section 3.2.2)
};
[[nodiscard]] Result<Target> split_target(std::string_view target);

// The parts of "http://host:port" as --server gives it; the port defaults to 80. Errors: INVALID_ARGUMENT.
struct ServerAddress {
  std::string host;  // without the brackets of an IPv6 address
  std::uint16_t port = 80;
  [[nodiscard]] std::string authority() const;  // as the Host header wants it
};
[[nodiscard]] Result<ServerAddress> parse_server_address(std::string_view url);

}  // namespace ez::http
