#include "base/rfc3339.h"

namespace ez {
namespace {

// Takes exactly `digits` decimal digits off the front.
bool take_number(std::string_view& text, int digits, std::int64_t& out) {
  if (text.size() < static_cast<std::size_t>(digits)) return false;
  out = 0;
  for (int i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    out = out * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return true;
}

bool take(std::string_view& text, char wanted) {
  if (text.empty() || (text[0] != wanted && text[0] != wanted + ('a' - 'A'))) return false;
  text.remove_prefix(1);
  return true;
}

bool take_sign(std::string_view& text, char sign) {
  if (text.empty() || text[0] != sign) return false;
  text.remove_prefix(1);
  return true;
}

std::int64_t days_in(std::int64_t year, std::int64_t month) {
  if (month == 2) return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

// Days since 1970-01-01, by the proleptic Gregorian calendar.
std::int64_t days_before(std::int64_t year, std::int64_t month, std::int64_t day) {
  // Years begin in March here, so that a leap day is the last of its year.
  const std::int64_t from_march = month > 2 ? year : year - 1;
  const std::int64_t shifted = (month + 9) % 12;
  const std::int64_t leaps = from_march / 4 - from_march / 100 + from_march / 400;
  return from_march * 365 + leaps + (shifted * 153 + 2) / 5 + day - 1 - 719'468;
}

std::optional<std::int64_t> take_offset_ms(std::string_view& text) {
  if (take(text, 'Z')) return 0;
  const bool ahead = take_sign(text, '+');
  if (!ahead && !take_sign(text, '-')) return std::nullopt;
  std::int64_t hours = 0;
  std::int64_t minutes = 0;
  if (!take_number(text, 2, hours) || !take_sign(text, ':') || !take_number(text, 2, minutes))
    return std::nullopt;
  if (hours > 23 || minutes > 59) return std::nullopt;
  const std::int64_t offset = (hours * 60 + minutes) * 60'000;
  return ahead ? offset : -offset;
}

}  // namespace

std::optional<std::int64_t> parse_rfc3339(std::string_view text) {
  std::int64_t year = 0;
  std::int64_t month = 0;
  std::int64_t day = 0;
  std::int64_t hour = 0;
  std::int64_t minute = 0;
  std::int64_t second = 0;
  if (!take_number(text, 4, year) || !take_sign(text, '-') || !take_number(text, 2, month) ||
      !take_sign(text, '-') || !take_number(text, 2, day) || !take(text, 'T') ||
      !take_number(text, 2, hour) || !take_sign(text, ':') || !take_number(text, 2, minute) ||
      !take_sign(text, ':') || !take_number(text, 2, second)) {
    return std::nullopt;
  }
  if (month < 1 || month > 12 || day < 1 || day > days_in(year, month)) return std::nullopt;
  if (hour > 23 || minute > 59 || second > 60) return std::nullopt;
  std::int64_t ms = 0;
  if (take_sign(text, '.')) {
    int digits = 0;
    while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
      if (digits < 3) ms = ms * 10 + (text[0] - '0');
      text.remove_prefix(1);
      ++digits;
    }
    if (digits == 0) return std::nullopt;
    for (; digits < 3; ++digits) ms *= 10;
  }
  const auto offset = take_offset_ms(text);
  if (!offset || !text.empty()) return std::nullopt;
  const std::int64_t seconds = (days_before(year, month, day) * 24 + hour) * 3'600 + minute * 60 + second;
  return seconds * 1'000 + ms - *offset;
}

}  // namespace ez
