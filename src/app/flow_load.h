// The clients of `ez bench flow`, on the caller's thread: agents that do nothing, each one request at a time,
// and clients that start runs of the workflow bench-flow (cli/commands/bench_flow.cc), on a connection each.
// One thread with epoll instead of one for each of them, because the server shares the machine with it: what
// is measured is the server, through its public API and nothing else.
#pragma once

#include "base/result.h"
#include "cli/ports.h"

namespace ez::app {

// Returns when the last result of the last run is answered. Errors: SERVER_UNREACHABLE (no connection, one
// that broke, 60 s without any answer), those of the answers.
[[nodiscard]] Result<cli::BenchFlowFigures> bench_flow(const cli::BenchFlowOptions& options);

}  // namespace ez::app
