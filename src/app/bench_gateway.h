// `ez bench gateway`: what the model gateway adds to a call. A provider of its own on this machine, a server
// of its own in a temporary data directory, the key of a real task; the same calls go to the provider
// directly and through the gateway, at the same concurrency, one after the other.
#pragma once

#include "base/result.h"
#include "base/value.h"
#include "cli/ports.h"

namespace ez::app {

// {"overhead_p50_ms", "overhead_p99_ms", "calls_per_s", and what they are made of}. Errors: those of a server
// that does not start, SERVER_UNREACHABLE.
[[nodiscard]] Result<Value> bench_gateway(const cli::BenchGatewayOptions& options);

}  // namespace ez::app
