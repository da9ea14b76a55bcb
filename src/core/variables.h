// What expressions of a task see: inputs, tasks, run, item, index. Built from the run as it is now; only the
// tasks that the expression names are built.
#pragma once

#include <string>

#include "base/expression.h"
#include "base/result.h"
#include "core/run.h"

namespace ez::core {

// `task` may be null: expressions of the workflow itself (repository, branch, base).
[[nodiscard]] Result<Value> evaluate(const Run& run, const Task* task, const Expression& expression);
[[nodiscard]] Result<Value> evaluate(const Run& run, const Task* task, const Template& text);
[[nodiscard]] Result<std::string> render(const Run& run, const Task* task, const Template& text,
                                         Template::Quoting quoting);

// The value of tasks.<id>: state, attempt, output, outputs (of a for_each), output_blob, error, artifacts,
// commit, changed_files. An output that is kept as a blob is null here.
// Without `outputs` the list of a for_each is left out: it may be long.
[[nodiscard]] Value task_value(const Run& run, std::uint32_t index, bool outputs = true);

// The item of a for_each instance; null for other tasks.
[[nodiscard]] Value item_of(const Run& run, const Task& task);

}  // namespace ez::core
