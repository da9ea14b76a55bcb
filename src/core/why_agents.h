// The part of core/why.h that looks at agents.
#pragma once

#include <string>
#include <utility>

#include "base/value.h"
#include "core/state.h"

namespace ez::core {

struct AgentsSaid {
  bool any = false;  // an agent could do it
  std::string text;
  Value::Map data;
};

// Which agents could do tasks of that class, and whether they have room; when there is none, which come close
// and what they lack.
[[nodiscard]] AgentsSaid explain_agents(const State& state, ClassId ability);

}  // namespace ez::core
