#include "orchestration/compensation.h"

#include <algorithm>

namespace ez::orchestration {

std::string link_compensations(Workflow& workflow) {
  for (Task& task : workflow.tasks) {
    task.compensates.reset();
    workflow.rolls_back = workflow.rolls_back || task.on_failure == OnFailure::kRollback;
    workflow.starts_runs = workflow.starts_runs || task.workflow.has_value();
    if (task.resolver)
      workflow.resolver_microusd =
          std::max(workflow.resolver_microusd, task.resolver->budget_microusd.value_or(0));
  }
  for (std::uint32_t i = 0; i < workflow.tasks.size(); ++i) {
    const Task& task = workflow.tasks[i];
    if (!task.compensate) continue;
    if (*task.compensate >= workflow.tasks.size()) return task.id;
    Task& undo = workflow.tasks[*task.compensate];
    const bool fits = undo.dependencies == std::vector<std::uint32_t>{i} && !undo.compensates &&
                      !undo.compensate && !undo.for_each && !undo.approval &&
                      undo.workspace != WorkspaceMode::kWrite;
    if (!fits) return task.id;
    undo.compensates = i;
  }
  // Nobody waits for a compensation: outside a rollback it never ends.
  for (const Task& task : workflow.tasks) {
    for (const std::uint32_t dependency : task.dependencies) {
      if (workflow.tasks[dependency].compensates) return task.id;
    }
  }
  return "";
}

}  // namespace ez::orchestration
