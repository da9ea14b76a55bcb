// Whether namespaces get their shares: counts, from the outside, what each namespace was served while both
// always had work that the agents could do, and compares it with the weights. The bound is that of start-time
// fair queueing: served / weight of two namespaces differs by at most one task of each, and one that cannot
// be seen.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "core/state.h"

namespace ez::sim {

class Fairness {
 public:
  // After every step. `steady`: nothing is under way between choosing and applying. `disturbed`: the leader
  // changed, so that the shares begin anew. Empty: fine.
  [[nodiscard]] std::string observe(const core::State& state, bool steady, bool disturbed);
  // Tasks that were compared.
  [[nodiscard]] std::uint64_t compared() const { return compared_; }

 private:
  struct Count {
    std::uint32_t weight = 0;
    std::uint64_t served = 0;
  };
  std::map<core::NamespaceId, Count> counts_;  // of those that have had work since the stretch began
  std::uint64_t next_fence_ = 1;
  std::uint64_t compared_ = 0;
};

}  // namespace ez::sim
