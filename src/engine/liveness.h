// Who is alive: leases and agents by their last sign of life, in the leader's memory only. Heartbeats never
// touch the log; only an expiry does. A new leader starts every lease with a full period of grace.
//
// Times are monotonic microseconds, so that a jump of the wall clock expires nobody. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "core/state.h"

namespace ez::engine {

class Liveness {
 public:
  explicit Liveness(std::int64_t agent_timeout_ms) : agent_timeout_us_(agent_timeout_ms * 1000) {}

  // A new leader: everything in the state is alive now.
  void reset(const core::State& state, std::int64_t now_us);
  void granted(const core::Lease& lease, std::int64_t now_us);
  void ended(Fence fence);
  void agent_seen(AgentId agent, std::int64_t now_us);
  void agent_removed(AgentId agent);
  // False: that lease is not watched (it is over).
  bool lease_seen(Fence fence, std::int64_t now_us);

  // What was silent for too long; each stays listed until ended() or agent_removed().
  [[nodiscard]] std::vector<Fence> silent_leases(std::int64_t now_us);
  [[nodiscard]] std::vector<AgentId> silent_agents(std::int64_t now_us);
  // When the next of them may fall due; INT64_MAX when nothing is watched.
  [[nodiscard]] std::int64_t next_due_us() const;

 private:
  struct Watch {
    std::int64_t seen_us = 0;
    std::int64_t period_us = 0;
    std::int64_t due_us = 0;  // its place in the queue; moved lazily, so that a heartbeat costs O(1)
  };
  template <typename Id>
  struct Watches {
    std::map<Id, Watch> all;
    std::set<std::pair<std::int64_t, Id>> queue;
    void add(Id id, std::int64_t now_us, std::int64_t period_us);
    void remove(Id id);
    std::vector<Id> silent(std::int64_t now_us);
  };
  const std::int64_t agent_timeout_us_;
  Watches<Fence> leases_;
  Watches<AgentId> agents_;
};

}  // namespace ez::engine
