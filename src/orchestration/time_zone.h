// A time zone: what clocks on walls show at an instant, and the way back. Pure: the bytes of a TZif file
// (RFC 8536, versions 1 to 4) come in, whoever has the file; nothing here reads one.
//
// Instants and wall times are seconds; a wall time is counted as if its clock showed UTC. Immutable after
// parse(), so any thread may use one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ez::orchestration {

inline constexpr std::size_t kMaxZoneBytes = 256 * 1024;
inline constexpr std::size_t kMaxZoneName = 64;

// Whether a text can name a zone at all ("Europe/Berlin"): parts of letters, digits, _, + and -, joined by /.
// Never a path that leaves its directory.
[[nodiscard]] bool is_zone_name(std::string_view text);

// The rule behind the last transition of a file, such as CET-1CEST,M3.5.0,M10.5.0/3 (POSIX TZ, with the
// extensions of RFC 8536).
struct ZoneRule {
  struct Day {
    enum class Kind : std::uint8_t { kMonthWeekday, kJulian, kZeroBased } kind = Kind::kMonthWeekday;
    int month = 0, week = 0, weekday = 0;  // kMonthWeekday: 1-12, 1-5 (5: the last), 0-6 (0: Sunday)
    int day = 0;                           // kJulian: 1-365 without 29 February; kZeroBased: 0-365
    std::int64_t time_s = 7200;            // wall time after midnight; may be negative or over a day
  };
  std::int64_t standard_s = 0;
  std::optional<std::int64_t> summer_s;
  Day start, end;  // of summer time, when there is one

  [[nodiscard]] static std::optional<ZoneRule> parse(std::string_view text);
  [[nodiscard]] std::int64_t offset_at(std::int64_t instant_s) const;
};

class TimeZone {
 public:
  TimeZone() = default;  // UTC
  // Errors: INVALID_ARGUMENT, which names the zone and what is wrong with its file.
  [[nodiscard]] static Result<TimeZone> parse(std::string_view name, std::string_view bytes);

  // Seconds east of Greenwich.
  [[nodiscard]] std::int64_t offset_at(std::int64_t instant_s) const;
  [[nodiscard]] std::int64_t to_wall(std::int64_t instant_s) const {
    return instant_s + offset_at(instant_s);
  }
  // The first instant at which the wall shows that time. A time that clocks skip gives the instant at which
  // they jump over it.
  [[nodiscard]] std::int64_t to_instant(std::int64_t wall_s) const;

 private:
  friend class ZoneReader;
  std::vector<std::int64_t> at_;       // ascending
  std::vector<std::int64_t> after_s_;  // the offset from at_[i] on
  std::int64_t before_s_ = 0;          // the offset before all of them
  std::optional<ZoneRule> rule_;       // after the last of them
};

// "2026-03-29T03:00:00Z", "2026-03-29T03:00+02:00"; without an offset a wall time of the zone, also
// "2026-03-29T03:00" and "2026-03-29" (midnight). Milliseconds since 1970, years 1970 to 2999; nullopt when
// it is none of these.
[[nodiscard]] std::optional<std::int64_t> parse_moment_ms(std::string_view text, const TimeZone& zone);
// "2026-03-29T03:00:00+02:00": the instant as the zone's clocks show it.
[[nodiscard]] std::string format_moment(std::int64_t instant_ms, const TimeZone& zone);

}  // namespace ez::orchestration
