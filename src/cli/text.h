// Text for people: durations, money, sizes, tables. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ez::cli {

// "850ms", "3.2s", "1m05s", "2h03m", "3d04h".
[[nodiscard]] std::string duration_text(std::int64_t ms);
// "$0.00", "$12.34", "$0.0042" below a cent.
[[nodiscard]] std::string money_text(std::int64_t microusd);
// "17 B", "1.4 KiB", "3.0 GiB".
[[nodiscard]] std::string size_text(std::uint64_t bytes);
// "2026-11-22T16:48:00.000Z" to milliseconds since 1970; 0 for anything else.
[[nodiscard]] std::int64_t parse_time(std::string_view text);
// "16:48:00" (UTC) of it.
[[nodiscard]] std::string clock_text(std::int64_t unix_ms);

// Without control characters, which could make a terminal do things; line ends become blanks.
[[nodiscard]] std::string printable(std::string_view text);
// At most `width` code points, the last an ellipsis when something was cut.
[[nodiscard]] std::string clipped(std::string_view text, std::size_t width);
// Filled with blanks to `width` code points.
[[nodiscard]] std::string padded(std::string_view text, std::size_t width);

// Columns as wide as their longest cell (the first row is the head), two blanks apart, no blanks at line
// ends.
[[nodiscard]] std::string table_text(const std::vector<std::vector<std::string>>& rows);

}  // namespace ez::cli
