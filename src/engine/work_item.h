// The work item that an agent receives for a lease: everything that it needs to do the work, as the JSON of
// the worker API (docs/guide/worker-api.md).
#pragma once

#include <string>

#include "base/result.h"
#include "core/state.h"

namespace ez::engine {

// Where the agent's calls of models go, and its key for them.
struct ModelAccess {
  std::string url;
  std::string key;
};

// Appends it as JSON, with the task's templates rendered with the run as it was when the lease was granted. A
// template that cannot be rendered is the task's own failure: EXPRESSION_FAILED or EXPRESSION_COST, which the
// caller reports as a final result; nothing is appended then.
[[nodiscard]] Status append_work_item(std::string& out, const core::Run& run, const core::Lease& lease,
                                      const ModelAccess* models = nullptr);

// What the merge of a task whose work was merged was given, once more: kind `merge`, without a lease (fence
// 0). For those who repeat its check. The same errors.
[[nodiscard]] Status append_check_item(std::string& out, const core::Run& run, std::uint32_t index);

}  // namespace ez::engine
