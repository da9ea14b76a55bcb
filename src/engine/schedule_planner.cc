#include "engine/schedule_planner.h"

#include <algorithm>

#include "core/command.pb.h"
#include "orchestration/cadence.h"

namespace ez::engine {
namespace {

constexpr std::int64_t kRetryMs = 60'000;

Status plan_one(const core::Schedule& schedule, Zones& zones, std::int64_t now_ms, Random& random,
                core::pb::PlanSchedules::Plan& out) {
  EZ_ASSIGN(const auto cadence, orchestration::Cadence::parse(schedule.cadence));
  EZ_ASSIGN(const auto zone, zones.find(schedule.zone));
  orchestration::PlanRequest request;
  request.after_ms = schedule.through_ms;
  request.now_ms = now_ms;
  request.jitter_ms = schedule.jitter_ms;
  const orchestration::Plan plan = orchestration::plan_ticks(
      cadence, *zone, request, [&](std::uint64_t bound) { return random.below(bound); });
  for (const auto& tick : plan.ticks) {
    auto* slot = out.add_ticks();
    slot->set_instant_ms(tick.instant_ms);
    slot->set_due_ms(tick.due_ms);
  }
  out.set_missed(plan.missed);
  out.set_through_ms(plan.through_ms);
  out.set_again_ms(plan.again_ms);
  return {};
}

}  // namespace

core::pb::PlanSchedules plan_due_schedules(const core::State& state, Zones& zones, std::int64_t now_ms,
                                           Random& random) {
  core::pb::PlanSchedules out;
  // As apply() will see it: time inside the state never goes back.
  now_ms = std::max(now_ms, state.now_ms);
  for (const std::uint32_t number : state.unplanned) {
    if (static_cast<std::uint32_t>(out.plans_size()) == core::kMaxPlansPerCommand) break;
    const core::Schedule& schedule = *state.schedules.at(state.schedule_numbers.at(number));
    auto* plan = out.add_plans();
    plan->set_schedule(number);
    plan->set_revision(schedule.revision);
    plan->set_after_ms(schedule.through_ms);
    if (const Status status = plan_one(schedule, zones, now_ms, random, *plan); !status.ok()) {
      plan->clear_ticks();
      plan->set_problem(status.error().message());
      plan->set_again_ms(now_ms + kRetryMs);
    }
  }
  return out;
}

}  // namespace ez::engine
