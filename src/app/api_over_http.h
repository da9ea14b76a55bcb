// cli::Api over HTTP.
#pragma once

#include <memory>

#include "base/result.h"
#include "cli/ports.h"
#include "http/client.h"

namespace ez::app {

// The client options of an endpoint: its token is read. TOKEN_FILE_UNSAFE, IO_FAILED.
[[nodiscard]] Result<http::ClientOptions> client_options(const cli::Endpoint& endpoint);

// Does not connect. INVALID_ARGUMENT and the errors of client_options().
[[nodiscard]] Result<std::unique_ptr<cli::Api>> api_over_http(const cli::Endpoint& endpoint);

}  // namespace ez::app
