// The small parts of HTTP/1.1 (RFC 9110, RFC 9112) that requests and answers share: methods, headers, status
// lines.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ez::http {

enum class Method : std::uint8_t { kGet, kHead, kPost, kPut, kDelete, kPatch, kOptions, kOther };

[[nodiscard]] std::string_view method_name(Method method);
[[nodiscard]] Method parse_method(std::string_view name);  // kOther for what is not listed; case-sensitive

// Header fields in the order they came. Names compare without case. The texts lie in one buffer, so a reused
// object takes no memory per request.
class Headers {
 public:
  void add(std::string_view name, std::string_view value);
  // The value of the first field of that name. Valid until the next add() or clear().
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const;
  [[nodiscard]] std::size_t count(std::string_view name) const;
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] std::pair<std::string_view, std::string_view> at(std::size_t index) const;
  void clear();  // keeps the capacity

 private:
  struct Entry {
    std::uint32_t name_at, name_size, value_size;  // the value follows the name
  };
  std::string bytes_;
  std::vector<Entry> entries_;
};

[[nodiscard]] bool same_name(std::string_view a, std::string_view b);  // ASCII, without case

// "Not Found"; "Status" for what is not listed.
[[nodiscard]] std::string_view reason_phrase(int status);

// Appends "name: value\r\n". Control characters in the value become spaces, so that data never makes a header
// of its own.
void append_header(std::string& out, std::string_view name, std::string_view value);

// Removes spaces and tabs at both ends.
[[nodiscard]] std::string_view trimmed(std::string_view text);

// Whether `wanted` is an element of a comma-separated list such as Connection or Accept (parameters are
// ignored).
[[nodiscard]] bool list_contains(std::string_view list, std::string_view wanted);

// IMF-fixdate of RFC 9110 section 5.6.7: "Sun, 22 Nov 2026 16:48:00 GMT".
[[nodiscard]] std::string http_date(std::int64_t unix_s);

}  // namespace ez::http
