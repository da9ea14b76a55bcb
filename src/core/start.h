// How a run begins: shared by the command start_run and by tasks that start a run of another workflow.
#pragma once

#include <string>

#include "core/progress.h"

namespace ez::core {

struct WorkflowName {
  std::string name_space;
  std::string name;
  std::uint32_t version = 0;  // 0: the newest
};

// Number, workflow, inputs, repository, priority and budget of a run that begins now. Errors:
// WORKFLOW_NOT_FOUND, OVERLOADED, INPUT_INVALID, and what expressions may give.
[[nodiscard]] Status prepare_run(Context& context, const WorkflowName& workflow, const Value& inputs,
                                 Run& run);
// It enters the state; its first tasks begin, or it stands in line under its concurrency key. It must be over
// at deadline_ms (0: no limit). It may be gone afterwards.
void launch_run(Context& context, Run draft, std::int64_t deadline_ms);

}  // namespace ez::core
