// A read-only scan: does the state hold together? Used by the simulation after every step, by `ez doctor` and
// by tests. It reports, it never repairs. O(size of the state).
#pragma once

#include <string>
#include <vector>

#include "core/state.h"

namespace ez::core {

// Empty when everything holds; otherwise one line per finding, at most 20.
[[nodiscard]] std::vector<std::string> find_broken_invariants(const State& state);

}  // namespace ez::core
