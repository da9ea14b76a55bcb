// `ez agent`: the worker loop of agents/ against a server, in this process.
#pragma once

#include "cli/ports.h"

namespace ez::app {

// Works until SIGTERM or SIGINT, then ends its leases and returns. Errors: those of the token file and of the
// folder; a server that cannot be reached is waited for.
[[nodiscard]] Status work(const cli::AgentOptions& options);

}  // namespace ez::app
