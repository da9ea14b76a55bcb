#include "engine/liveness.h"

#include <algorithm>

namespace ez::engine {

template <typename Id>
void Liveness::Watches<Id>::add(Id id, std::int64_t now_us, std::int64_t period_us) {
  remove(id);
  all[id] = {now_us, period_us, now_us + period_us};
  queue.insert({now_us + period_us, id});
}

template <typename Id>
void Liveness::Watches<Id>::remove(Id id) {
  const auto found = all.find(id);
  if (found == all.end()) return;
  queue.erase({found->second.due_us, id});
  all.erase(found);
}

template <typename Id>
std::vector<Id> Liveness::Watches<Id>::silent(std::int64_t now_us) {
  std::vector<Id> out;
  auto at = queue.begin();
  while (at != queue.end() && at->first <= now_us) {
    const Id id = at->second;
    Watch& watch = all.at(id);
    const std::int64_t due = watch.seen_us + watch.period_us;
    if (due > now_us) {
      at = queue.erase(at);
      watch.due_us = due;
      queue.insert({due, id});
      continue;
    }
    out.push_back(id);
    ++at;
  }
  return out;
}

void Liveness::reset(const core::State& state, std::int64_t now_us) {
  leases_ = {};
  agents_ = {};
  for (const auto& [fence, lease] : state.leases) granted(lease, now_us);
  for (const auto& [id, agent] : state.agents) agents_.add(id, now_us, agent_timeout_us_);
}

void Liveness::granted(const core::Lease& lease, std::int64_t now_us) {
  const std::int64_t period_ms = lease.heartbeat_ms > 0 ? lease.heartbeat_ms : 30'000;
  leases_.add(lease.fence, now_us, period_ms * 1000);
}

void Liveness::ended(Fence fence) { leases_.remove(fence); }

void Liveness::agent_seen(AgentId agent, std::int64_t now_us) {
  const auto found = agents_.all.find(agent);
  if (found == agents_.all.end()) {
    agents_.add(agent, now_us, agent_timeout_us_);
  } else {
    found->second.seen_us = now_us;
  }
}

void Liveness::agent_removed(AgentId agent) { agents_.remove(agent); }

bool Liveness::lease_seen(Fence fence, std::int64_t now_us) {
  const auto found = leases_.all.find(fence);
  if (found == leases_.all.end()) return false;
  found->second.seen_us = now_us;
  return true;
}

std::vector<Fence> Liveness::silent_leases(std::int64_t now_us) { return leases_.silent(now_us); }
std::vector<AgentId> Liveness::silent_agents(std::int64_t now_us) { return agents_.silent(now_us); }

std::int64_t Liveness::next_due_us() const {
  std::int64_t due = INT64_MAX;
  if (!leases_.queue.empty()) due = std::min(due, leases_.queue.begin()->first);
  if (!agents_.queue.empty()) due = std::min(due, agents_.queue.begin()->first);
  return due;
}

}  // namespace ez::engine
