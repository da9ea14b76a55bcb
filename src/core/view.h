// Runs and tasks as people and programs see them: the JSON of the API. Pure; from a run wherever it was
// found.
#pragma once

#include <string>

#include "base/value.h"
#include "core/state.h"

namespace ez::core {

// One line of a list: no tasks.
[[nodiscard]] Value run_summary(const Run& run);
// Everything, tasks included (for_each groups and their instances).
[[nodiscard]] Value run_view(const Run& run);
[[nodiscard]] Value task_view(const Run& run, std::uint32_t index);
// The attempts of a task, oldest first, the present one last.
[[nodiscard]] Value attempts_view(const Run& run, std::uint32_t index);
[[nodiscard]] Value workflow_view(const WorkflowVersion& version, bool with_source);
// Who paused what, when and why.
[[nodiscard]] Value pause_view(const Pause& pause);
[[nodiscard]] Value namespace_view(const Namespace& name_space);
[[nodiscard]] Value agent_view(const Agent& agent);
// What waits for a person in this run: tasks in approval, conflict or paused.
[[nodiscard]] Value::List approvals_view(const Run& run);
// Artifacts of all tasks: {task, name, sha256, size}.
[[nodiscard]] Value::List artifacts_view(const Run& run);
// {"code", "message"} or null.
[[nodiscard]] Value error_view(const TaskError& error);
// What a run cost, line by line: the lines add up to cost_microusd.
[[nodiscard]] Value costs_view(const Run& run);
// Lines of the totals: of one namespace, or of all when it is empty.
[[nodiscard]] Value cost_totals_view(const CostTable& totals, const std::string& name_space);

}  // namespace ez::core
