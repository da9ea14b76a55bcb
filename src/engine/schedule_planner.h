// What the leader adds for schedules: their next ticks, found with the zone data of this machine, and jitter.
#pragma once

#include <cstdint>

#include "base/random.h"
#include "core/state.h"
#include "engine/zones.h"

namespace ez::core::pb {
class PlanSchedules;
}

namespace ez::engine {

// Plans for the schedules that wait for one, at most core::kMaxPlansPerCommand. A schedule whose zone cannot
// be read gets the reason instead, and is asked again a minute later.
[[nodiscard]] core::pb::PlanSchedules plan_due_schedules(const core::State& state, Zones& zones,
                                                         std::int64_t now_ms, Random& random);

}  // namespace ez::engine
