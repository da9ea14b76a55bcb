// What a checked workflow may say and its author hardly wants. Nothing of it keeps the workflow from running.
#pragma once

#include <string>
#include <vector>

#include "orchestration/definition.h"

namespace ez::orchestration {

struct Advice {
  std::string message;  // what will happen
  std::string hint;     // what to write instead
};

// At present one: the run has a budget, no task has one of its own, and tasks that could work side by side
// set all of it aside, each in its turn. Pure; O((tasks + dependencies) × tasks / 512).
[[nodiscard]] std::vector<Advice> advice_on(const Workflow& workflow);

}  // namespace ez::orchestration
