// Compensations: tasks that undo others when a run is rolled back. Pure.
#pragma once

#include <string>

#include "orchestration/definition.h"

namespace ez::orchestration {

// Fills `compensates`, `rolls_back`, `starts_runs` and `resolver_microusd` from what the tasks say; to be
// called before link_tasks. The id of the first task whose `compensate` is not as definition.h says; empty
// when all are.
[[nodiscard]] std::string link_compensations(Workflow& workflow);

}  // namespace ez::orchestration
