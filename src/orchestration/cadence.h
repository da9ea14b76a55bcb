// When a schedule ticks, and the plan of its next ticks. Pure; time, zone and jitter come in.
//
// A tick is an instant in milliseconds since 1970 (UTC). It never depends on when it was computed: the same
// cadence in the same zone gives the same instants on every server and after every restart.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "orchestration/cron.h"
#include "orchestration/time_zone.h"

namespace ez::orchestration {

inline constexpr std::int64_t kMinEveryMs = 1000;

class Cadence {
 public:
  // A cron expression or "@every 15m"; wall times of it are those of the zone. Errors: INVALID_ARGUMENT.
  [[nodiscard]] static Result<Cadence> parse(std::string_view text);

  // The first tick after `after_ms` and not after `until_ms`.
  //   @every: the multiples of that time since 1970-01-01T00:00Z.
  //   cron: the instant at which the zone's clocks show the wall time. One that they show twice counts the
  //   first time only; those that they skip tick together, once, at the instant of the jump.
  [[nodiscard]] std::optional<std::int64_t> next_ms(std::int64_t after_ms, std::int64_t until_ms,
                                                    const TimeZone& zone) const;

 private:
  std::int64_t every_ms_ = 0;  // 0: cron_
  Cron cron_;
};

struct PlannedTick {
  std::int64_t instant_ms = 0;
  std::int64_t due_ms = 0;  // the instant and its jitter
};

struct PlanRequest {
  std::int64_t after_ms = 0;  // everything up to here is planned already
  std::int64_t now_ms = 0;
  std::int64_t jitter_ms = 0;  // at most; a tick is never due after the one that follows it
  std::size_t most = 16;
  std::int64_t horizon_ms = 24 * 3600 * 1000;  // ahead of now; zone data may change
};

struct Plan {
  std::vector<PlannedTick> ticks;  // ascending; of those that are past already only the last
  std::uint64_t missed = 0;        // the past ones before that; when there are very many, at least so many
  std::int64_t through_ms = 0;     // everything up to here is planned now; not before now_ms
  std::int64_t again_ms = 0;       // when the next plan should be made
};

// `draw` gives a number below its argument.
[[nodiscard]] Plan plan_ticks(const Cadence& cadence, const TimeZone& zone, const PlanRequest& request,
                              const std::function<std::uint64_t(std::uint64_t)>& draw);

}  // namespace ez::orchestration
