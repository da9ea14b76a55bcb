// UTF-8 (RFC 3629): strict decoding of one code point, encoding, counting. No overlong forms, no surrogates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ez {

inline constexpr std::uint32_t kReplacementCharacter = 0xFFFD;
inline constexpr std::uint32_t kMaxCodePoint = 0x10FFFF;

[[nodiscard]] constexpr bool is_surrogate(std::uint32_t code_point) {
  return code_point >= 0xD800 && code_point <= 0xDFFF;
}

// The length in bytes (1 to 4) of the well-formed sequence that `text` starts with, 0 when there is none.
[[nodiscard]] std::size_t utf8_sequence_length(std::string_view text);

// Decodes the sequence that `text` starts with and removes it. What is not well formed gives U+FFFD and
// removes one byte, so that a loop until text is empty always ends. `text` must not be empty.
[[nodiscard]] std::uint32_t take_code_point(std::string_view& text);

// Appends a code point that is at most kMaxCodePoint and no surrogate.
void append_utf8(std::string& out, std::uint32_t code_point);

// How many code points there are; each byte that is not part of a well-formed sequence counts as one.
[[nodiscard]] std::size_t count_code_points(std::string_view text);

}  // namespace ez
