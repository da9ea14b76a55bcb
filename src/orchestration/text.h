// The small texts of a workflow file: durations, money, names, and suggestions for misspelt words.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ez::orchestration {

inline constexpr std::size_t kMaxNameLength = 63;
inline constexpr std::int64_t kMaxDurationMs = 3650LL * 24 * 3600 * 1000;  // ten years
inline constexpr std::int64_t kMaxMoneyMicrousd = 1'000'000'000'000'000;   // a billion dollars

// "500ms", "30s", "5m", "1h", "2d", "1h30m": units from large to small, each at most once, whole numbers.
// nullopt when it is none of these or longer than ten years.
[[nodiscard]] std::optional<std::int64_t> parse_duration_ms(std::string_view text);
// The shortest such text: 5400000 is "1h30m", 0 is "0s".
[[nodiscard]] std::string format_duration_ms(std::int64_t duration_ms);

// "100", "0.05", "12.345678": dollars with at most 6 decimals to micro-dollars, exactly. nullopt otherwise.
[[nodiscard]] std::optional<std::int64_t> parse_microusd(std::string_view text);

// A decimal number with at most 3 decimals, times 1000, exactly: "0.3" is 300. nullopt otherwise or above
// 10^9.
[[nodiscard]] std::optional<std::int64_t> parse_permille(std::string_view text);

// [a-z0-9][a-z0-9_-]{0,62}: names of workflows, namespaces, tasks, agent types, capabilities.
[[nodiscard]] bool is_name(std::string_view text);
// [A-Za-z_][A-Za-z0-9_]{0,62}: inputs, environment variables.
[[nodiscard]] bool is_identifier(std::string_view text);

// The candidate nearest to `word` by edit distance (with swaps of neighbours, ignoring case), when it is near
// enough to be a slip of the pen; empty otherwise.
[[nodiscard]] std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);
// Optimal string alignment distance, or limit + 1 when it is larger than `limit`.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit);

}  // namespace ez::orchestration
