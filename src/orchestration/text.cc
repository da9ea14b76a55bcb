#include "orchestration/text.h"

#include <algorithm>
#include <array>
#include <vector>

namespace ez::orchestration {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t ms;
};
// From large to small; "m" is tried after "ms" is ruled out by reading the whole run of letters.
constexpr std::array<Unit, 5> kUnits{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// Digits with at most `decimals` behind the point, times 10^decimals.
std::optional<std::int64_t> parse_decimal(std::string_view text, int decimals, std::int64_t limit) {
  const std::size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const std::string_view fraction =
      point == std::string_view::npos ? std::string_view() : text.substr(point + 1);
  if (whole.empty() || whole.size() > 16 || fraction.size() > static_cast<std::size_t>(decimals))
    return std::nullopt;
  if (point != std::string_view::npos && fraction.empty()) return std::nullopt;
  std::int64_t value = 0;
  const auto add = [&](char c) {
    if (!is_digit(c) || value > limit / 10) return false;
    value = value * 10 + (c - '0');
    return true;
  };
  if (!std::all_of(whole.begin(), whole.end(), add) || !std::all_of(fraction.begin(), fraction.end(), add)) {
    return std::nullopt;
  }
  for (std::size_t i = fraction.size(); i < static_cast<std::size_t>(decimals); ++i) {
    if (!add('0')) return std::nullopt;
  }
  return value <= limit ? std::optional(value) : std::nullopt;
}

}  // namespace

std::optional<std::int64_t> parse_duration_ms(std::string_view text) {
  if (text.empty()) return std::nullopt;
  std::int64_t total = 0;
  std::size_t next_unit = 0;
  while (!text.empty()) {
    std::size_t digits = 0;
    std::int64_t number = 0;
    while (digits < text.size() && is_digit(text[digits])) {
      if (digits >= 15) return std::nullopt;
      number = number * 10 + (text[digits++] - '0');
    }
    std::size_t end = digits;
    while (end < text.size() && !is_digit(text[end])) ++end;
    const std::string_view unit = text.substr(digits, end - digits);
    if (digits == 0 || unit.empty()) return std::nullopt;
    while (next_unit < kUnits.size() && kUnits[next_unit].name != unit) ++next_unit;
    if (next_unit == kUnits.size()) return std::nullopt;
    const std::int64_t ms = kUnits[next_unit++].ms;
    if (number > kMaxDurationMs / ms) return std::nullopt;
    total += number * ms;
    if (total > kMaxDurationMs) return std::nullopt;
    text.remove_prefix(end);
  }
  return total;
}

std::string format_duration_ms(std::int64_t duration_ms) {
  if (duration_ms <= 0) return "0s";
  std::string out;
  for (const Unit& unit : kUnits) {
    if (duration_ms >= unit.ms) {
      out += std::to_string(duration_ms / unit.ms);
      out += unit.name;
      duration_ms %= unit.ms;
    }
  }
  return out;
}

std::optional<std::int64_t> parse_microusd(std::string_view text) {
  return parse_decimal(text, 6, kMaxMoneyMicrousd);
}
std::optional<std::int64_t> parse_permille(std::string_view text) {
  return parse_decimal(text, 3, 1'000'000'000);
}

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > kMaxNameLength || text[0] == '_' || text[0] == '-') return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || c == '_' || c == '-'; });
}

bool is_identifier(std::string_view text) {
  if (text.empty() || text.size() > kMaxNameLength || is_digit(text[0])) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  });
}

std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit) {
  if (a.size() > b.size()) std::swap(a, b);
  if (b.size() - a.size() > limit) return limit + 1;
  // Three rows: a swap of neighbours looks two rows back.
  std::vector<std::size_t> before(a.size() + 1);
  std::vector<std::size_t> last(a.size() + 1);
  std::vector<std::size_t> row(a.size() + 1);
  for (std::size_t i = 0; i <= a.size(); ++i) last[i] = i;
  for (std::size_t j = 1; j <= b.size(); ++j) {
    row[0] = j;
    std::size_t best = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
      const bool same = lower(a[i - 1]) == lower(b[j - 1]);
      row[i] = std::min({last[i] + 1, row[i - 1] + 1, last[i - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1])) {
        row[i] = std::min(row[i], before[i - 2] + 1);
      }
      best = std::min(best, row[i]);
    }
    if (best > limit) return limit + 1;
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[a.size()];
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  if (word.empty() || word.size() > 80) return {};
  std::size_t limit = word.size() <= 2 ? 1 : std::max<std::size_t>(2, word.size() / 4);
  std::string_view best;
  for (const std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate, limit);
    if (distance > limit || distance >= std::max(word.size(), candidate.size())) continue;
    best = candidate;
    if (distance == 0) return best;
    limit = distance - 1;
  }
  return best;
}

}  // namespace ez::orchestration
