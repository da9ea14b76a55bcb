// The work item that an agent receives for a lease: everything that it needs to do the work, as the JSON of
// the worker API (docs/guide/worker-api.md).
#pragma once

#include <string>

#include "base/result.h"
#include "base/value.h"
#include "core/state.h"

namespace ez::engine {

// Renders the task's templates with the run as it was when the lease was granted. A template that cannot be
// rendered is the task's own failure: EXPRESSION_FAILED or EXPRESSION_COST, which the caller reports as a
// final result.
[[nodiscard]] Result<Value> work_item(const core::Run& run, const core::Lease& lease);

}  // namespace ez::engine
