// Compensations: tasks that undo others when a run is rolled back. Pure.
#pragma once

#include <string>

#include "orchestration/definition.h"

namespace ez::orchestration {

// Fills `compensates` and `rolls_back` from `compensate` and `on_failure`; to be called before link_tasks.
// The id of the first task whose `compensate` is not as definition.h says; empty when all are.
[[nodiscard]] std::string link_compensations(Workflow& workflow);

}  // namespace ez::orchestration
