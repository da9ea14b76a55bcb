// Finding the end of a run of plain characters in a JSON string. Internal to json.cc and json_writer.cc.
#pragma once

#include <cstdint>
#include <cstring>

namespace ez::json {

// True when none of the eight bytes ends a run of plain string characters: a quote, a backslash, a control
// character or a byte above 0x7F. The usual zero-in-word trick (Mycroft 1987); exact, because a false hit
// only costs a look.
inline bool all_plain(std::uint64_t word) {
  constexpr std::uint64_t kOnes = 0x0101010101010101ULL;
  constexpr std::uint64_t kHighs = 0x8080808080808080ULL;
  const std::uint64_t quote = word ^ (kOnes * '"');
  const std::uint64_t backslash = word ^ (kOnes * '\\');
  const std::uint64_t hits = ((word - kOnes * 0x20) | (quote - kOnes) | (backslash - kOnes) | word) & kHighs;
  return hits == 0;
}

// The first character from `at` that is not plain, or `end`.
inline const char* skip_plain(const char* at, const char* end) {
  while (end - at >= 8) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    if (!all_plain(word)) break;
    at += 8;
  }
  while (at != end && *at != '"' && *at != '\\' && static_cast<unsigned char>(*at) - 0x20U < 0x60U) ++at;
  return at;
}

}  // namespace ez::json
