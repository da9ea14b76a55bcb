// The forms in which providers write times: RFC 3339, HTTP dates, Go durations, plain seconds.
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "models/dialect/provider_error.h"

namespace ez::models {

namespace {

constexpr std::int64_t kDayMs = 86'400'000;
constexpr double kMaxWaitMs = 30.0 * 86'400'000.0;

bool digit(char c) { return c >= '0' && c <= '9'; }

// A fixed number of digits at the front, removed; nothing when there are fewer.
std::optional<int> take_digits(std::string_view& text, std::size_t count) {
  if (text.size() < count) return std::nullopt;
  int number = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (!digit(text[i])) return std::nullopt;
    number = number * 10 + (text[i] - '0');
  }
  text.remove_prefix(count);
  return number;
}

bool take(std::string_view& text, std::string_view wanted) {
  if (!text.starts_with(wanted)) return false;
  text.remove_prefix(wanted.size());
  return true;
}

bool leap(int year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

int days_in(int year, int month) {
  constexpr std::array<int, 12> kDays{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && leap(year) ? 29 : kDays.at(static_cast<std::size_t>(month - 1));
}

// Days since 1970-01-01 of a valid date from year 1 on.
std::int64_t days_since_epoch(int year, int month, int day) {
  const std::int64_t before = year - 1;
  std::int64_t days = before * 365 + before / 4 - before / 100 + before / 400 - 719'162;
  for (int m = 1; m < month; ++m) days += days_in(year, m);
  return days + day - 1;
}

struct Moment {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
};

std::optional<std::int64_t> unix_ms(const Moment& at) {
  if (at.year < 1 || at.month < 1 || at.month > 12 || at.day < 1 || at.day > days_in(at.year, at.month) ||
      at.hour > 23 || at.minute > 59 || at.second > 60) {
    return std::nullopt;
  }
  const std::int64_t seconds =
      days_since_epoch(at.year, at.month, at.day) * 86'400 + at.hour * 3'600 + at.minute * 60 + at.second;
  return seconds * 1'000;
}

bool take_clock(std::string_view& text, Moment& at) {
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ":")) return false;
  const auto minute = take_digits(text, 2);
  if (!minute || !take(text, ":")) return false;
  const auto second = take_digits(text, 2);
  if (!second) return false;
  at.hour = *hour;
  at.minute = *minute;
  at.second = *second;
  return true;
}

// "Sun, 22 Nov 2026 16:48:00 GMT"
std::optional<std::int64_t> parse_http_date_ms(std::string_view text) {
  constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::size_t comma = text.find(", ");
  if (comma != 3) return std::nullopt;
  text.remove_prefix(5);
  Moment at;
  const auto day = take_digits(text, 2);
  if (!day || !take(text, " ")) return std::nullopt;
  for (std::size_t i = 0; i < kMonths.size() && at.month == 0; ++i) {
    if (take(text, kMonths[i])) at.month = static_cast<int>(i) + 1;
  }
  if (at.month == 0 || !take(text, " ")) return std::nullopt;
  const auto year = take_digits(text, 4);
  if (!year || !take(text, " ") || !take_clock(text, at) || text != " GMT") return std::nullopt;
  at.day = *day;
  at.year = *year;
  return unix_ms(at);
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// A plain decimal that is not negative, no exponent.
std::optional<double> take_decimal(std::string_view& text) {
  std::size_t end = 0;
  while (end < text.size() && (digit(text[end]) || text[end] == '.')) ++end;
  if (end == 0 || end > 30 || !digit(text.front())) return std::nullopt;
  const std::string_view number = text.substr(0, end);
  if (number.back() == '.' || number.find('.') != number.rfind('.')) return std::nullopt;
  // JSON has no leading zeroes; a header may ("06").
  std::string_view plain = number;
  while (plain.size() > 1 && plain.front() == '0' && digit(plain[1])) plain.remove_prefix(1);
  text.remove_prefix(end);
  return parse_double(plain);
}

}  // namespace

std::optional<std::int64_t> parse_rfc3339_ms(std::string_view text) {
  text = trimmed(text);
  Moment at;
  const auto year = take_digits(text, 4);
  if (!year || !take(text, "-")) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, "-")) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day || !(take(text, "T") || take(text, "t") || take(text, " "))) return std::nullopt;
  at.year = *year;
  at.month = *month;
  at.day = *day;
  if (!take_clock(text, at)) return std::nullopt;
  std::int64_t fraction_ms = 0;
  if (take(text, ".")) {
    std::size_t digits = 0;
    for (std::int64_t unit = 100; digits < text.size() && digit(text[digits]); ++digits, unit /= 10) {
      fraction_ms += unit * (text[digits] - '0');
    }
    if (digits == 0) return std::nullopt;
    text.remove_prefix(digits);
  }
  std::int64_t offset_ms = 0;
  if (!take(text, "Z") && !take(text, "z")) {
    const bool minus = take(text, "-");
    if (!minus && !take(text, "+")) return std::nullopt;
    const auto hours = take_digits(text, 2);
    if (!hours || *hours > 23 || !take(text, ":")) return std::nullopt;
    const auto minutes = take_digits(text, 2);
    if (!minutes || *minutes > 59) return std::nullopt;
    offset_ms = (minus ? -1 : 1) * (std::int64_t{*hours} * 60 + *minutes) * 60'000;
  }
  const std::optional<std::int64_t> local = unix_ms(at);
  if (!text.empty() || !local) return std::nullopt;
  return *local + fraction_ms - offset_ms;
}

std::optional<std::int64_t> parse_go_duration_ms(std::string_view text) {
  text = trimmed(text);
  if (text.empty()) return std::nullopt;
  double total = 0;
  bool units = false;
  while (!text.empty()) {
    const std::optional<double> number = take_decimal(text);
    if (!number) return std::nullopt;
    double unit_ms = 1'000;
    if (text.empty() && !units) {
      // Plain seconds.
    } else if (take(text, "ms")) {
      unit_ms = 1;
    } else if (take(text, "us") || take(text, "\xC2\xB5s") || take(text, "\xCE\xBCs")) {
      unit_ms = 1e-3;
    } else if (take(text, "ns")) {
      unit_ms = 1e-6;
    } else if (take(text, "d")) {
      unit_ms = static_cast<double>(kDayMs);
    } else if (take(text, "h")) {
      unit_ms = 3'600'000;
    } else if (take(text, "m")) {
      unit_ms = 60'000;
    } else if (!take(text, "s")) {
      return std::nullopt;
    }
    units = true;
    total += *number * unit_ms;
    if (!(total <= kMaxWaitMs)) return std::nullopt;
  }
  return static_cast<std::int64_t>(std::ceil(total - 1e-7));
}

std::optional<std::int64_t> parse_retry_after(const Headers& headers, std::int64_t now_ms) {
  std::optional<std::int64_t> wait;
  if (const auto field = find_header(headers, "retry-after-ms")) {
    std::string_view text = trimmed(*field);
    const std::optional<double> number = take_decimal(text);
    if (number && text.empty() && *number <= kMaxWaitMs) wait = static_cast<std::int64_t>(std::ceil(*number));
  }
  if (const auto field = find_header(headers, "retry-after"); field && !wait) {
    std::string_view text = trimmed(*field);
    if (const auto date = parse_http_date_ms(text)) {
      wait = std::max<std::int64_t>(0, *date - now_ms);
    } else {
      const std::optional<double> number = take_decimal(text);
      if (number && text.empty() && *number * 1e3 <= kMaxWaitMs) {
        wait = static_cast<std::int64_t>(std::ceil(*number * 1e3));
      }
    }
  }
  if (wait) wait = std::min(*wait, kDayMs);
  return wait;
}

namespace {

std::optional<std::int64_t> header_count(const Headers& headers, std::string_view name) {
  const auto field = find_header(headers, name);
  if (!field) return std::nullopt;
  std::string_view text = trimmed(*field);
  const std::optional<double> number = take_decimal(text);
  if (!number || !text.empty() || *number > 1e15) return std::nullopt;
  return static_cast<std::int64_t>(*number);
}

RateLimit anthropic_limit(const Headers& headers, const std::string& name) {
  RateLimit limit;
  const std::string prefix = "anthropic-ratelimit-" + name;
  limit.limit = header_count(headers, prefix + "-limit");
  limit.remaining = header_count(headers, prefix + "-remaining");
  if (const auto reset = find_header(headers, prefix + "-reset"))
    limit.reset_at_ms = parse_rfc3339_ms(*reset);
  return limit;
}

RateLimit openai_limit(const Headers& headers, const std::string& name, std::int64_t now_ms) {
  RateLimit limit;
  limit.limit = header_count(headers, "x-ratelimit-limit-" + name);
  limit.remaining = header_count(headers, "x-ratelimit-remaining-" + name);
  if (const auto reset = find_header(headers, "x-ratelimit-reset-" + name)) {
    if (const auto wait = parse_go_duration_ms(*reset)) limit.reset_at_ms = now_ms + *wait;
  }
  return limit;
}

bool known(const RateLimit& limit) { return limit.limit || limit.remaining || limit.reset_at_ms; }

}  // namespace

bool RateLimits::any() const {
  return known(requests) || known(tokens) || known(input_tokens) || known(output_tokens);
}

RateLimits parse_rate_limits(const Headers& headers, std::int64_t now_ms) {
  RateLimits limits;
  limits.requests = anthropic_limit(headers, "requests");
  if (!known(limits.requests)) limits.requests = openai_limit(headers, "requests", now_ms);
  limits.tokens = anthropic_limit(headers, "tokens");
  if (!known(limits.tokens)) limits.tokens = openai_limit(headers, "tokens", now_ms);
  limits.input_tokens = anthropic_limit(headers, "input-tokens");
  limits.output_tokens = anthropic_limit(headers, "output-tokens");
  return limits;
}

}  // namespace ez::models
