#include "orchestration/time_zone.h"

#include <algorithm>
#include <chrono>

namespace ez::orchestration {
namespace {

constexpr std::int64_t kDay = 86'400;
constexpr std::int64_t kMaxOffset = 26 * 3600;
constexpr std::uint32_t kMaxTransitions = 20'000;

std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  return a / b - ((a % b != 0) && ((a < 0) != (b < 0)));
}

std::int64_t days_of(int year, unsigned month, unsigned day) {
  using namespace std::chrono;
  return sys_days(std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day))
      .time_since_epoch()
      .count();
}

bool is_leap(int year) { return std::chrono::year(year).is_leap(); }

// The wall time in that year at which the rule's day comes.
std::int64_t wall_of(const ZoneRule::Day& day, int year) {
  using Kind = ZoneRule::Day::Kind;
  std::int64_t days = days_of(year, 1, 1);
  if (day.kind == Kind::kZeroBased) {
    days += day.day;
  } else if (day.kind == Kind::kJulian) {
    days += day.day - 1 + (is_leap(year) && day.day >= 60 ? 1 : 0);
  } else {
    const auto month = static_cast<unsigned>(day.month);
    const std::int64_t first = days_of(year, month, 1);
    const std::int64_t next = month == 12 ? days_of(year + 1, 1, 1) : days_of(year, month + 1, 1);
    const std::int64_t weekday = (first % 7 + 11) % 7;  // 1970-01-01 was a Thursday
    days = first + (day.weekday - weekday + 7) % 7 + 7 * (day.week - 1);
    while (days >= next) days -= 7;
  }
  return days * kDay + day.time_s;
}

// Reads a POSIX TZ text.
class RuleReader {
 public:
  explicit RuleReader(std::string_view text) : rest_(text) {}

  std::optional<ZoneRule> read() {
    ZoneRule rule;
    std::int64_t west = 0;
    if (!name() || !time(west, 24)) return std::nullopt;
    rule.standard_s = -west;
    if (rest_.empty()) return rule;
    if (!name()) return std::nullopt;
    rule.summer_s = rule.standard_s + 3600;
    if (!rest_.empty() && rest_[0] != ',') {
      if (!time(west, 24)) return std::nullopt;
      rule.summer_s = -west;
    }
    if (!day(rule.start) || !day(rule.end) || !rest_.empty()) return std::nullopt;
    return rule;
  }

 private:
  bool take(char c) {
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  static bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
  bool name() {
    std::size_t length = 0;
    if (take('<')) {
      length = rest_.find('>');
      if (length == std::string_view::npos) return false;
      rest_.remove_prefix(length + 1);
    } else {
      while (length < rest_.size() && is_alpha(rest_[length])) ++length;
      rest_.remove_prefix(length);
    }
    return length >= 3 && length <= 32;
  }
  bool number(int& out, int least, int most) {
    std::size_t length = 0;
    out = 0;
    while (length < rest_.size() && length < 4 && rest_[length] >= '0' && rest_[length] <= '9')
      out = out * 10 + (rest_[length++] - '0');
    rest_.remove_prefix(length);
    return length > 0 && out >= least && out <= most;
  }
  bool time(std::int64_t& out, int most_hours) {
    const bool negative = take('-');
    if (!negative) (void)take('+');
    int hours = 0, minutes = 0, seconds = 0;
    if (!number(hours, 0, most_hours)) return false;
    if (take(':') && !number(minutes, 0, 59)) return false;
    if (take(':') && !number(seconds, 0, 59)) return false;
    out = (negative ? -1 : 1) * (hours * 3600LL + minutes * 60LL + seconds);
    return true;
  }
  bool day(ZoneRule::Day& out) {
    using Kind = ZoneRule::Day::Kind;
    if (!take(',')) return false;
    if (take('M')) {
      out.kind = Kind::kMonthWeekday;
      if (!number(out.month, 1, 12) || !take('.') || !number(out.week, 1, 5) || !take('.') ||
          !number(out.weekday, 0, 6)) {
        return false;
      }
    } else if (take('J')) {
      out.kind = Kind::kJulian;
      if (!number(out.day, 1, 365)) return false;
    } else {
      out.kind = Kind::kZeroBased;
      if (!number(out.day, 0, 365)) return false;
    }
    return !take('/') || time(out.time_s, 167);
  }

  std::string_view rest_;
};

}  // namespace

bool is_zone_name(std::string_view text) {
  if (text.empty() || text.size() > kMaxZoneName) return false;
  char before = '/';
  for (const char c : text) {
    const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '_' || c == '+' || c == '-';
    if (!word && (c != '/' || before == '/')) return false;
    before = c;
  }
  return before != '/';
}

std::optional<ZoneRule> ZoneRule::parse(std::string_view text) { return RuleReader(text).read(); }

std::int64_t ZoneRule::offset_at(std::int64_t instant_s) const {
  if (!summer_s) return standard_s;
  const std::chrono::sys_days day{std::chrono::days(floor_div(instant_s + standard_s, kDay))};
  const int year = static_cast<int>(std::chrono::year_month_day(day).year());
  const std::int64_t begin = wall_of(start, year) - standard_s;
  const std::int64_t finish = wall_of(end, year) - *summer_s;
  const bool summer =
      begin < finish ? instant_s >= begin && instant_s < finish : instant_s >= begin || instant_s < finish;
  return summer ? *summer_s : standard_s;
}

// Reads the bytes of a TZif file; every count and every index is checked before it is used.
class ZoneReader {
 public:
  explicit ZoneReader(std::string_view bytes) : bytes_(bytes) {}

  // What is wrong; empty when nothing is.
  std::string read(TimeZone& out) {
    Header header;
    std::string wrong = read_header(header);
    if (!wrong.empty()) return wrong;
    if (header.version < '2') return read_block(header, 4, out);
    const std::uint64_t first = block_size(header, 4);
    if (first > bytes_.size() - at_) return "it is cut short";
    at_ += static_cast<std::size_t>(first);
    wrong = read_header(header);
    if (wrong.empty()) wrong = read_block(header, 8, out);
    return wrong.empty() ? read_footer(out) : wrong;
  }

 private:
  struct Header {
    char version = 0;
    std::uint32_t ut = 0, standard = 0, leaps = 0, times = 0, types = 0, letters = 0;
  };

  std::uint64_t big_endian(int size) {
    std::uint64_t value = 0;
    for (int i = 0; i < size; ++i) value = value << 8 | static_cast<unsigned char>(bytes_[at_++]);
    return value;
  }
  std::string read_header(Header& header) {
    if (bytes_.size() - at_ < 44) return "it is cut short";
    if (bytes_.substr(at_, 4) != "TZif") return "it is not a TZif file";
    header.version = bytes_[at_ + 4];
    at_ += 20;
    for (std::uint32_t* count :
         {&header.ut, &header.standard, &header.leaps, &header.times, &header.types, &header.letters}) {
      *count = static_cast<std::uint32_t>(big_endian(4));
      if (*count > kMaxTransitions) return "it has a count that cannot be";
    }
    return header.types == 0 || header.types > 256 ? "it has no types of local time" : "";
  }
  static std::uint64_t block_size(const Header& header, std::uint64_t time_size) {
    return header.times * (time_size + 1) + header.types * 6ULL + header.letters +
           header.leaps * (time_size + 4) + header.standard + header.ut;
  }
  std::string read_block(const Header& header, int time_size, TimeZone& out) {
    const std::size_t begin = at_;
    const std::uint64_t size = block_size(header, static_cast<std::uint64_t>(time_size));
    if (size > bytes_.size() - at_) return "it is cut short";
    for (std::uint32_t i = 0; i < header.times; ++i) {
      std::uint64_t value = big_endian(time_size);
      if (time_size == 4) value = static_cast<std::uint64_t>(std::int64_t{static_cast<std::int32_t>(value)});
      const auto at = static_cast<std::int64_t>(value);
      if (!out.at_.empty() && at <= out.at_.back()) return "its transitions are not in order";
      out.at_.push_back(at);
    }
    const std::size_t kinds = at_;
    at_ += header.times;
    std::vector<std::int64_t> offsets;
    for (std::uint32_t i = 0; i < header.types; ++i) {
      const auto offset = std::int64_t{static_cast<std::int32_t>(big_endian(4))};
      if (offset < -kMaxOffset || offset > kMaxOffset) return "it has an offset that cannot be";
      offsets.push_back(offset);
      at_ += 2;
    }
    for (std::uint32_t i = 0; i < header.times; ++i) {
      const auto kind = static_cast<unsigned char>(bytes_[kinds + i]);
      if (kind >= offsets.size()) return "it names a type of local time that it does not have";
      out.after_s_.push_back(offsets[kind]);
    }
    out.before_s_ = offsets[0];
    at_ = begin + static_cast<std::size_t>(size);
    return "";
  }
  std::string read_footer(TimeZone& out) {
    if (at_ >= bytes_.size() || bytes_[at_] != '\n') return "its footer is missing";
    const std::size_t end = bytes_.find('\n', at_ + 1);
    if (end == std::string_view::npos) return "its footer is cut short";
    const std::string_view text = bytes_.substr(at_ + 1, end - at_ - 1);
    if (text.empty()) return "";
    out.rule_ = ZoneRule::parse(text);
    return out.rule_ ? "" : "its footer is no rule: " + std::string(text.substr(0, 64));
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
};

Result<TimeZone> TimeZone::parse(std::string_view name, std::string_view bytes) {
  TimeZone zone;
  std::string wrong = bytes.size() > kMaxZoneBytes ? "it is larger than any" : ZoneReader(bytes).read(zone);
  if (wrong.empty()) return zone;
  return Error(Code::InvalidArgument, "the file of the time zone " + std::string(name) + ": " + wrong);
}

std::int64_t TimeZone::offset_at(std::int64_t instant_s) const {
  if (at_.empty() || instant_s >= at_.back()) {
    if (rule_) return rule_->offset_at(instant_s);
    return at_.empty() ? before_s_ : after_s_.back();
  }
  const auto next = std::upper_bound(at_.begin(), at_.end(), instant_s);
  return next == at_.begin() ? before_s_ : after_s_[static_cast<std::size_t>(next - at_.begin()) - 1];
}

std::int64_t TimeZone::to_instant(std::int64_t wall_s) const {
  // A zone changes its offset at most once in the days around.
  const std::int64_t earlier_s = offset_at(wall_s - kDay);
  const std::int64_t later_s = offset_at(wall_s + kDay);
  const std::int64_t by_earlier = wall_s - earlier_s;
  const std::int64_t by_later = wall_s - later_s;
  const bool earlier = offset_at(by_earlier) == earlier_s;
  const bool later = offset_at(by_later) == later_s;
  if (earlier && later) return std::min(by_earlier, by_later);
  if (earlier) return by_earlier;
  if (later) return by_later;
  // Skipped: the clocks jump somewhere between the two.
  std::int64_t low = std::min(by_earlier, by_later), high = std::max(by_earlier, by_later);
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (offset_at(middle) == later_s ? high : low) = middle;
  }
  return high;
}

namespace {

class MomentReader {
 public:
  explicit MomentReader(std::string_view text) : rest_(text) {}

  std::optional<std::int64_t> read(const TimeZone& zone) {
    int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
    if (!digits(year, 4) || !take('-') || !digits(month, 2) || !take('-') || !digits(day, 2)) return {};
    const std::chrono::year_month_day date{std::chrono::year(year),
                                           std::chrono::month(static_cast<unsigned>(month)),
                                           std::chrono::day(static_cast<unsigned>(day))};
    if (!date.ok() || year < 1970 || year > 2999) return {};
    std::int64_t fraction_ms = 0;
    if (!rest_.empty()) {
      if (!take('T') || !digits(hour, 2) || !take(':') || !digits(minute, 2)) return {};
      if (take(':') && !digits(second, 2)) return {};
      if (hour > 23 || minute > 59 || second > 59 || !fraction(fraction_ms)) return {};
    }
    const std::int64_t wall =
        std::chrono::sys_days(date).time_since_epoch().count() * kDay + hour * 3600 + minute * 60 + second;
    std::int64_t offset_s = 0;
    if (rest_.empty()) return zone.to_instant(wall) * 1000 + fraction_ms;
    if (!offset(offset_s) || !rest_.empty()) return {};
    return (wall - offset_s) * 1000 + fraction_ms;
  }

 private:
  bool take(char c) {
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool digits(int& out, std::size_t count) {
    if (rest_.size() < count) return false;
    for (std::size_t i = 0; i < count; ++i) {
      if (rest_[i] < '0' || rest_[i] > '9') return false;
      out = out * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(count);
    return true;
  }
  bool fraction(std::int64_t& ms) {
    if (!take('.')) return true;
    int count = 0;
    for (; !rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9' && count < 9; ++count) {
      if (count < 3) ms = ms * 10 + (rest_[0] - '0');
      rest_.remove_prefix(1);
    }
    for (int i = count; i < 3; ++i) ms *= 10;
    return count > 0;
  }
  bool offset(std::int64_t& out) {
    if (take('Z')) return true;
    const bool west = take('-');
    if (!west && !take('+')) return false;
    int hours = 0, minutes = 0;
    if (!digits(hours, 2) || !take(':') || !digits(minutes, 2) || hours > 23 || minutes > 59) return false;
    out = (west ? -1 : 1) * (hours * 3600LL + minutes * 60LL);
    return true;
  }

  std::string_view rest_;
};

std::string two(std::int64_t value) { return (value < 10 ? "0" : "") + std::to_string(value); }

}  // namespace

std::optional<std::int64_t> parse_moment_ms(std::string_view text, const TimeZone& zone) {
  return MomentReader(text).read(zone);
}

std::string format_moment(std::int64_t instant_ms, const TimeZone& zone) {
  const std::int64_t instant_s = floor_div(instant_ms, 1000);
  const std::int64_t offset_s = zone.offset_at(instant_s);
  const std::int64_t wall = instant_s + offset_s;
  const std::int64_t day = floor_div(wall, kDay);
  const std::int64_t of_day = wall - day * kDay;
  const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days(day)}};
  const std::int64_t away = offset_s < 0 ? -offset_s : offset_s;
  return std::to_string(static_cast<int>(date.year())) + "-" + two(static_cast<unsigned>(date.month())) +
         "-" + two(static_cast<unsigned>(date.day())) + "T" + two(of_day / 3600) + ":" +
         two(of_day / 60 % 60) + ":" + two(of_day % 60) + (offset_s < 0 ? "-" : "+") + two(away / 3600) +
         ":" + two(away / 60 % 60);
}

}  // namespace ez::orchestration
