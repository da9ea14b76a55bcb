#include "orchestration/cadence.h"

#include <algorithm>
#include <string>

#include "orchestration/text.h"

namespace ez::orchestration {
namespace {

constexpr std::string_view kEvery = "@every ";
// Missed ticks are counted up to here; which one was the last is then found from near by.
constexpr std::uint64_t kMaxCounted = 1000;
constexpr std::int64_t kReplanMs = 3'600'000;  // before the horizon is reached

std::int64_t floor_seconds(std::int64_t ms) { return ms / 1000 - (ms % 1000 < 0 ? 1 : 0); }

// The last tick in (after, until]. Windows that grow keep the number of ticks that are looked at small.
std::optional<std::int64_t> last_ms(const Cadence& cadence, const TimeZone& zone, std::int64_t after_ms,
                                    std::int64_t until_ms) {
  constexpr std::int64_t kMinute = 60'000;
  for (const std::int64_t window : {2 * kMinute, 60 * kMinute, 1440 * kMinute, 32 * 1440 * kMinute,
                                    1000 * 1440 * kMinute, std::int64_t{INT64_MAX}}) {
    const bool whole = until_ms - after_ms <= window;
    std::optional<std::int64_t> last;
    std::int64_t at = whole ? after_ms : until_ms - window;
    while (const auto next = cadence.next_ms(at, until_ms, zone)) last = at = *next;
    if (last || whole) return last;
  }
  return std::nullopt;
}

}  // namespace

Result<Cadence> Cadence::parse(std::string_view text) {
  Cadence cadence;
  if (text.substr(0, kEvery.size()) != kEvery) {
    EZ_ASSIGN(cadence.cron_, Cron::parse(text));
    return cadence;
  }
  const auto every = parse_duration_ms(text.substr(kEvery.size()));
  if (!every || *every < kMinEveryMs) {
    return Error(
        Code::InvalidArgument,
        "every: '" + std::string(text.substr(kEvery.size())) + "' is no duration of at least a second",
        "Write for example 30s, 15m, 6h or 1d.");
  }
  cadence.every_ms_ = *every;
  return cadence;
}

std::optional<std::int64_t> Cadence::next_ms(std::int64_t after_ms, std::int64_t until_ms,
                                             const TimeZone& zone) const {
  if (every_ms_ != 0) {
    const std::int64_t next = (after_ms / every_ms_ + (after_ms < 0 ? 0 : 1)) * every_ms_;
    return next <= until_ms ? std::optional(next) : std::nullopt;
  }
  const std::int64_t until_wall = zone.to_wall(floor_seconds(until_ms)) + 24 * 3600;
  std::int64_t wall = zone.to_wall(floor_seconds(after_ms));
  while (const auto found = cron_.next(wall, until_wall)) {
    const std::int64_t instant_ms = zone.to_instant(*found) * 1000;
    if (instant_ms > until_ms) return std::nullopt;
    // Not later: clocks were put back, and it ticked the first time that they showed this.
    if (instant_ms > after_ms) return instant_ms;
    wall = *found;
  }
  return std::nullopt;
}

Plan plan_ticks(const Cadence& cadence, const TimeZone& zone, const PlanRequest& request,
                const std::function<std::uint64_t(std::uint64_t)>& draw) {
  Plan plan;
  std::vector<std::int64_t> instants;
  std::int64_t after = request.after_ms;
  std::optional<std::int64_t> past;
  while (plan.missed < kMaxCounted) {
    const auto next = cadence.next_ms(after, request.now_ms, zone);
    if (!next) break;
    if (past) ++plan.missed;
    past = after = *next;
  }
  if (plan.missed == kMaxCounted) past = last_ms(cadence, zone, request.after_ms, request.now_ms);
  if (past) instants.push_back(*past);
  after = std::max(request.after_ms, request.now_ms);
  plan.through_ms = std::max(after, request.now_ms + request.horizon_ms);
  plan.again_ms = plan.through_ms - std::min(kReplanMs, request.horizon_ms / 2);
  std::optional<std::int64_t> beyond;
  while (const auto next = cadence.next_ms(after, plan.through_ms, zone)) {
    after = *next;
    if (instants.size() == request.most) {
      beyond = after;
      break;
    }
    instants.push_back(after);
  }
  if (beyond) {
    plan.through_ms = *beyond - 1;
    plan.again_ms = instants[instants.size() - instants.size() / 4 - 1];
  }
  for (std::size_t i = 0; i < instants.size(); ++i) {
    std::int64_t room = request.jitter_ms;
    const auto following = i + 1 < instants.size() ? std::optional(instants[i + 1])
                                                   : cadence.next_ms(instants[i], instants[i] + room, zone);
    if (following) room = std::min(room, *following - instants[i] - 1);
    const std::int64_t late =
        room <= 0 ? 0 : static_cast<std::int64_t>(draw(static_cast<std::uint64_t>(room) + 1));
    plan.ticks.push_back({instants[i], instants[i] + late});
  }
  return plan;
}

}  // namespace ez::orchestration
