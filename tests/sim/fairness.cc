#include "fairness.h"

#include <algorithm>

namespace ez::sim {
namespace {

// Namespaces that could be given a task to an agent of that type now.
std::map<core::NamespaceId, std::uint32_t> with_work(const core::State& state, core::AgentTypeId type) {
  std::map<core::NamespaceId, std::uint32_t> found;
  if (state.agent_types[type].paused) return found;
  for (const core::AbilityClass& ability : state.classes) {
    if (ability.agents != type) continue;
    for (const auto& [turn, id] : ability.turns) {
      const core::Namespace& owner = state.namespaces[id];
      if (!owner.paused && !owner.is_full()) found[id] = owner.weight;
    }
  }
  return found;
}

}  // namespace

std::string Fairness::observe(const core::State& state, bool steady, bool disturbed) {
  const auto type = state.agent_type_ids.find("exec");
  if (type == state.agent_type_ids.end()) return "";
  const auto now = with_work(state, type->second);
  std::map<core::NamespaceId, std::uint64_t> granted;
  for (auto at = state.leases.lower_bound(Fence{next_fence_}); at != state.leases.end(); ++at) {
    if (const core::Run* run = state.find_run(at->second.run)) ++granted[run->workflow->name_space];
  }
  next_fence_ = state.next_fence;
  // The stretch goes on only for those that have work before and after, at the same weight.
  std::erase_if(counts_, [&](const auto& entry) {
    const auto found = now.find(entry.first);
    return disturbed || found == now.end() || found->second != entry.second.weight;
  });
  if (counts_.size() < 2) counts_.clear();
  for (auto& [id, count] : counts_) {
    count.served += granted[id];
    if (counts_.size() > 1) compared_ += granted[id];
  }
  // A newcomer begins where the others are, so the stretch begins anew with it.
  if (now.size() != counts_.size()) {
    counts_.clear();
    for (const auto& [id, weight] : now) counts_[id] = {std::max(1U, weight), 0};
    return "";
  }
  if (!steady) return "";
  for (const auto& [a, one] : counts_) {
    for (const auto& [b, two] : counts_) {
      // one.served / one.weight - two.served / two.weight <= 4 / one.weight + 4 / two.weight: one task of
      // each by the bound; the others because work that goes and comes back within a step, a lease that ends
      // in the step that granted it, and what was chosen before the stretch began are not seen here.
      if (one.served * two.weight <= two.served * one.weight + 4 * (one.weight + two.weight)) continue;
      return "namespace " + state.namespaces[a].name + " of weight " + std::to_string(one.weight) +
             " was served " + std::to_string(one.served) + " tasks, " + state.namespaces[b].name +
             " of weight " + std::to_string(two.weight) + " only " + std::to_string(two.served);
    }
  }
  return "";
}

}  // namespace ez::sim
