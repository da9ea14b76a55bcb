// Cron expressions: five fields (minute, hour, day of month, month, day of week), each a list of *, numbers,
// ranges and steps, with names of months and weekdays; and @hourly, @daily, @midnight, @weekly, @monthly,
// @yearly, @annually. docs/guide/schedules.md explains them. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"

namespace ez::orchestration {

inline constexpr std::size_t kMaxCronBytes = 256;

class Cron {
 public:
  // Errors: INVALID_ARGUMENT, which names the field and what is wrong with it.
  [[nodiscard]] static Result<Cron> parse(std::string_view text);

  // The first matching wall time after `wall_s` (time_zone.h) and not after `until_s`.
  [[nodiscard]] std::optional<std::int64_t> next(std::int64_t wall_s, std::int64_t until_s) const;

 private:
  [[nodiscard]] bool on_day(std::int64_t day) const;

  std::uint64_t minutes_ = 0;  // one bit for each value
  std::uint32_t hours_ = 0;
  std::uint32_t days_ = 0;
  std::uint32_t months_ = 0;
  std::uint32_t weekdays_ = 0;  // 0: Sunday
  // With both restricted, a day matches that is in either.
  bool any_day_ = false;
  bool any_weekday_ = false;
};

}  // namespace ez::orchestration
