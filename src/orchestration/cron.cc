#include "orchestration/cron.h"

#include <array>
#include <chrono>
#include <string>

namespace ez::orchestration {
namespace {

constexpr std::int64_t kDay = 86'400;
constexpr std::array<std::string_view, 12> kMonths{"jan", "feb", "mar", "apr", "may", "jun",
                                                   "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kWeekdays{"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

struct Field {
  std::string_view name;
  int least;
  int most;
};
constexpr std::array<Field, 5> kFields{
    {{"minute", 0, 59}, {"hour", 0, 23}, {"day of month", 1, 31}, {"month", 1, 12}, {"day of week", 0, 7}}};

struct Short {
  std::string_view name;
  std::string_view fields;
};
constexpr std::array<Short, 7> kShorts{{{"@hourly", "0 * * * *"},
                                        {"@daily", "0 0 * * *"},
                                        {"@midnight", "0 0 * * *"},
                                        {"@weekly", "0 0 * * 0"},
                                        {"@monthly", "0 0 1 * *"},
                                        {"@yearly", "0 0 1 1 *"},
                                        {"@annually", "0 0 1 1 *"}}};

Error wrong(const Field& field, std::string_view text, const std::string& what) {
  return Error(Code::InvalidArgument,
               "cron: " + std::string(field.name) + " '" + std::string(text) + "': " + what,
               "Five fields: minute hour day-of-month month day-of-week, for example \"0 3 * * mon-fri\".");
}

std::string_view cut(std::string_view& rest, char at) {
  const std::size_t end = rest.find(at);
  const std::string_view part = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return part;
}

std::optional<int> number(std::string_view text) {
  if (text.empty() || text.size() > 4) return std::nullopt;
  int out = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    out = out * 10 + (c - '0');
  }
  return out;
}

bool same_word(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((text[i] | 0x20) != lower[i]) return false;
  }
  return true;
}

Result<int> value(const Field& field, std::string_view text, std::string_view whole) {
  std::optional<int> out = number(text);
  const bool month = field.name == "month";
  if (!out && (month || field.most == 7)) {
    for (int i = 0; i < (month ? 12 : 7); ++i) {
      const auto at = static_cast<std::size_t>(i);
      if (same_word(text, month ? kMonths[at] : kWeekdays[at])) out = month ? i + 1 : i;
    }
  }
  if (!out) return wrong(field, whole, "'" + std::string(text) + "' is no value of this field");
  if (*out < field.least || *out > field.most) {
    return wrong(field, whole,
                 std::to_string(*out) + " is not in " + std::to_string(field.least) + " to " +
                     std::to_string(field.most));
  }
  return *out;
}

Result<std::uint64_t> parse_part(const Field& field, std::string_view part, std::string_view whole) {
  std::string_view steps = part;
  const std::string_view range = cut(steps, '/');
  const bool stepped = range.size() < part.size();
  int low = field.least, high = field.most == 7 ? 6 : field.most;
  if (range != "*") {
    std::string_view last = range;
    const std::string_view first = cut(last, '-');
    EZ_ASSIGN(low, value(field, first, whole));
    if (first.size() < range.size()) {
      EZ_ASSIGN(high, value(field, last, whole));
      if (high < low) return wrong(field, whole, "the range " + std::string(range) + " runs backwards");
    } else if (!stepped) {
      high = low;
    }
  }
  int step = 1;
  if (stepped) {
    const std::optional<int> given = number(steps);
    if (!given || *given == 0) return wrong(field, whole, "a step is a number above 0");
    step = *given;
  }
  std::uint64_t bits = 0;
  for (int i = low; i <= high; i += step) bits |= std::uint64_t{1} << (field.most == 7 ? i % 7 : i);
  return bits;
}

Result<std::uint64_t> parse_field(const Field& field, std::string_view text) {
  std::uint64_t bits = 0;
  std::string_view rest = text;
  do {
    const std::string_view part = cut(rest, ',');
    if (part.empty()) return wrong(field, text, "a part of the list is empty");
    EZ_ASSIGN(const std::uint64_t more, parse_part(field, part, text));
    bits |= more;
  } while (!rest.empty());
  if (text.back() == ',') return wrong(field, text, "a part of the list is empty");
  return bits;
}

int next_bit(std::uint64_t bits, int from) {
  for (int i = from; i < 64; ++i) {
    if ((bits >> i & 1) != 0) return i;
  }
  return 64;
}

}  // namespace

Result<Cron> Cron::parse(std::string_view text) {
  if (text.size() > kMaxCronBytes) {
    return Error(Code::InvalidArgument, "cron: it has more than " + std::to_string(kMaxCronBytes) + " bytes");
  }
  if (!text.empty() && text[0] == '@') {
    for (const Short& known : kShorts) {
      if (text == known.name) return parse(known.fields);
    }
    return Error(Code::InvalidArgument, "cron: '" + std::string(text) + "' is not known",
                 "@hourly, @daily, @midnight, @weekly, @monthly, @yearly or @annually; or @every 15m.");
  }
  std::array<std::string_view, 5> fields;
  std::size_t count = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t blank = rest.find_first_not_of(" \t");
    if (blank == std::string_view::npos) break;
    rest.remove_prefix(blank);
    const std::string_view field = rest.substr(0, rest.find_first_of(" \t"));
    rest.remove_prefix(field.size());
    if (count < fields.size()) fields[count] = field;
    ++count;
  }
  if (count != fields.size()) {
    return Error(Code::InvalidArgument,
                 "cron: '" + std::string(text) + "' has " + std::to_string(count) + " fields, not five",
                 "minute hour day-of-month month day-of-week, for example \"0 3 * * *\".");
  }
  std::array<std::uint64_t, 5> bits{};
  for (std::size_t i = 0; i < fields.size(); ++i) {
    EZ_ASSIGN(bits[i], parse_field(kFields[i], fields[i]));
  }
  Cron cron;
  cron.minutes_ = bits[0];
  cron.hours_ = static_cast<std::uint32_t>(bits[1]);
  cron.days_ = static_cast<std::uint32_t>(bits[2]);
  cron.months_ = static_cast<std::uint32_t>(bits[3]);
  cron.weekdays_ = static_cast<std::uint32_t>(bits[4]);
  cron.any_day_ = fields[2][0] == '*';
  cron.any_weekday_ = fields[4][0] == '*';
  return cron;
}

bool Cron::on_day(std::int64_t day) const {
  const std::chrono::sys_days date{std::chrono::days(day)};
  const std::chrono::year_month_day calendar(date);
  if ((months_ >> static_cast<unsigned>(calendar.month()) & 1) == 0) return false;
  const bool by_day = (days_ >> static_cast<unsigned>(calendar.day()) & 1) != 0;
  const bool by_weekday = (weekdays_ >> std::chrono::weekday(date).c_encoding() & 1) != 0;
  return any_day_ || any_weekday_ ? by_day && by_weekday : by_day || by_weekday;
}

std::optional<std::int64_t> Cron::next(std::int64_t wall_s, std::int64_t until_s) const {
  std::int64_t minute = wall_s / 60 - (wall_s % 60 < 0 ? 1 : 0) + 1;
  std::int64_t day = minute / 1440 - (minute % 1440 < 0 ? 1 : 0);
  auto of_day = static_cast<int>(minute - day * 1440);
  for (; day * kDay <= until_s; ++day, of_day = 0) {
    if (!on_day(day)) continue;
    int hour = next_bit(hours_, of_day / 60);
    int at = hour == of_day / 60 ? next_bit(minutes_, of_day % 60) : next_bit(minutes_, 0);
    if (hour < 24 && at == 64) {
      hour = next_bit(hours_, hour + 1);
      at = next_bit(minutes_, 0);
    }
    if (hour >= 24) continue;
    const std::int64_t found = day * kDay + hour * 3600 + at * 60;
    if (found > until_s) return std::nullopt;
    return found;
  }
  return std::nullopt;
}

}  // namespace ez::orchestration
