// Bounded, valid UTF-8 for what leaves the process: label values and log lines.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ez::telemetry {

// The longest prefix of at most `limit` bytes that does not end inside a sequence.
[[nodiscard]] std::string_view utf8_prefix(std::string_view text, std::size_t limit);

// The text with every byte that is not part of well-formed UTF-8 replaced by U+FFFD.
[[nodiscard]] std::string utf8_clean(std::string_view text);

}  // namespace ez::telemetry
