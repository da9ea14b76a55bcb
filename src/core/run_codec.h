// Run ↔ protobuf. Internal to core; others use snapshot.h.
#pragma once

#include "base/result.h"
#include "core/snapshot.pb.h"
#include "core/state.h"

namespace ez::core {

void encode_run(const Run& run, pb::Run& out);
[[nodiscard]] Result<Run> decode_run(const pb::Run& in, const State& state);

void encode_cost(const CostKey& key, const CostSum& sum, pb::CostRow& out);
[[nodiscard]] std::pair<CostKey, CostSum> decode_cost(const pb::CostRow& in);

}  // namespace ez::core
