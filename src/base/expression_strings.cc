#include "base/expression_strings.h"

#include <cstring>

#include "base/utf8.h"

namespace ez::expression {
namespace {

constexpr std::size_t kNowhere = std::string_view::npos;

// memmem() of glibc is linear (two-way string matching); std::string_view::find() is not.
std::size_t find_text(std::string_view text, std::string_view part, std::size_t from) {
  if (part.empty() || part.size() > text.size() - from) return part.empty() ? from : kNowhere;
  const void* found = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return found == nullptr ? kNowhere
                          : static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

std::size_t character_length(std::string_view text) {
  const std::size_t length = utf8_sequence_length(text);
  return length == 0 ? 1 : length;
}

// The property White_Space of Unicode 15.
bool is_space(std::uint32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

}  // namespace

bool contains_text(std::string_view text, std::string_view part) {
  return find_text(text, part, 0) != kNowhere;
}

std::string lower_ascii(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string upper_ascii(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

std::string trim_space(std::string_view text) {
  while (!text.empty()) {
    std::string_view rest = text;
    if (!is_space(take_code_point(rest))) break;
    text = rest;
  }
  std::size_t kept = 0;  // the end of the last character that is no space
  for (std::string_view rest = text; !rest.empty();) {
    if (!is_space(take_code_point(rest))) kept = text.size() - rest.size();
  }
  return std::string(text.substr(0, kept));
}

std::vector<std::string_view> split_text(std::string_view text, std::string_view separator,
                                         std::size_t limit) {
  std::vector<std::string_view> pieces;
  if (limit == 0) return pieces;
  if (separator.empty()) {
    while (!text.empty() && pieces.size() + 1 < limit) {
      const std::size_t length = character_length(text);
      pieces.push_back(text.substr(0, length));
      text.remove_prefix(length);
    }
    if (!text.empty()) pieces.push_back(text);
    return pieces;
  }
  std::size_t at = 0;
  while (pieces.size() + 1 < limit) {
    const std::size_t next = find_text(text, separator, at);
    if (next == kNowhere) break;
    pieces.push_back(text.substr(at, next - at));
    at = next + separator.size();
  }
  pieces.push_back(text.substr(at));
  return pieces;
}

std::size_t count_places(std::string_view text, std::string_view old, std::size_t limit) {
  std::size_t count = 0;
  if (old.empty()) {
    count = count_code_points(text) + 1;
    return count < limit ? count : limit;
  }
  for (std::size_t at = 0; count < limit; ++count) {
    const std::size_t next = find_text(text, old, at);
    if (next == kNowhere) break;
    at = next + old.size();
  }
  return count;
}

std::string replace_text(std::string_view text, std::string_view old, std::string_view now,
                         std::size_t limit) {
  std::string out;
  std::size_t at = 0;
  for (std::size_t done = 0; done < limit; ++done) {
    const std::size_t next = find_text(text, old, at);
    if (next == kNowhere) break;
    out += text.substr(at, next - at);
    out += now;
    at = next + old.size();
    if (!old.empty()) continue;
    if (at == text.size()) break;
    const std::size_t length = character_length(text.substr(at));
    out += text.substr(at, length);
    at += length;
  }
  out += text.substr(at);
  return out;
}

}  // namespace ez::expression
