// Connects `ez test` with the stage that plays its tests.
#pragma once

#include "cli/ports.h"

namespace ez::app {

[[nodiscard]] Result<cli::Rehearsal> rehearse(const orchestration::Workflow& workflow,
                                              const std::string& tests, const std::string& only);

}  // namespace ez::app
