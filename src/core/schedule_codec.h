// Schedule ↔ protobuf. Internal to core; others use snapshot.h.
#pragma once

#include "base/result.h"
#include "core/state.h"

namespace ez::core {
namespace pb {
class ScheduleRecord;
}

void encode_schedule(const Schedule& schedule, pb::ScheduleRecord& out);
// Into the state, with what is derived of it. Errors: SNAPSHOT_DAMAGED.
[[nodiscard]] Status decode_schedule(const pb::ScheduleRecord& in, State& state);

}  // namespace ez::core
