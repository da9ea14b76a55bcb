// Schedules as people and programs see them: the JSON of the API. Pure.
#pragma once

#include "base/value.h"
#include "core/schedule.h"

namespace ez::core {

// Everything but the instants that come next, which need the zone's data.
[[nodiscard]] Value schedule_view(const Schedule& schedule);

}  // namespace ez::core
