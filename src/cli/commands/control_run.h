// Control of one live run: what cancel, pause and resume have in common.
#pragma once

#include "cli/session.h"

namespace ez::cli {

// POST /v1/runs/{RUN}/<verb>, and the run as it is then.
[[nodiscard]] Result<int> control_run(Session& session, const Arguments& arguments, const char* verb);

}  // namespace ez::cli
