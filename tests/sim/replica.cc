#include "replica.h"

#include <utility>

#include "core/apply.h"
#include "core/snapshot.h"

namespace ez::sim {

void Replica::restore(std::string snapshot, LogIndex index) {
  snapshot_ = std::move(snapshot);
  snapshot_index_ = index;
  begun_ = false;
}

std::string Replica::catch_up(const core::State& leader) {
  if (!begun_) {
    state_ = core::State();
    bool given = snapshot_.empty();
    if (!given) {
      const Status status = core::decode_snapshot(
          [&]() -> Result<std::string> { return std::exchange(given, true) ? std::string() : snapshot_; },
          state_);
      if (!status.ok()) return "a replica cannot read the snapshot: " + status.error().to_string();
      state_.applied = snapshot_index_;
    }
    begun_ = true;
  }
  // It reads nothing that the leader has not applied yet.
  core::Effects effects;
  while (state_.applied < leader.applied) {
    const std::uint64_t next = state_.applied.value + 1;
    if (next < cluster_.first_index()) return "";  // trimmed away: the next snapshot brings it back
    core::pb::Batch batch;
    if (!batch.ParseFromString(cluster_.entries()[next - cluster_.first_index()].bytes)) {
      return "a committed record does not parse";
    }
    for (const auto& command : batch.commands()) {
      effects.clear();
      core::apply(state_, command, LogIndex{next}, effects);
    }
    state_.applied = LogIndex{next};
  }
  return core::state_hash(state_) == core::state_hash(leader) ? "" : "a replica holds another state";
}

}  // namespace ez::sim
