// Compares what came of a test with what it expects.
#pragma once

#include <vector>

#include "rehearsal/rehearse.h"
#include "rehearsal/stage.h"

namespace ez::rehearsal {

// In file order. What was scripted and refused counts as a mismatch, too.
[[nodiscard]] std::vector<Mismatch> judge(const Test& test, const Outcome& outcome);

}  // namespace ez::rehearsal
