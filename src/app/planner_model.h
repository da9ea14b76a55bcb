// The model that plans for `ez new`: a gateway of this process alone, with the providers and keys that a
// server would have, and a bound on what it may spend.
#pragma once

#include <memory>

#include "base/result.h"
#include "cli/ports.h"
#include "planning/planner.h"

namespace ez::app {

// Reads --models FILE, or <data>/models.yaml when it is there. The keys stay in the environment: a server
// that is started later needs them. Errors: MODELS_CONFIG_INVALID, PRICES_INVALID, IO_FAILED, those of the
// cassette.
[[nodiscard]] Result<std::unique_ptr<planning::PlannerModel>> planner_model(
    const cli::PlannerOptions& options);

}  // namespace ez::app
