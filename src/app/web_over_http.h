// The agents' WebPort over http::Client: http:// addresses, one client and its kept connections for each
// server.
#pragma once

#include <memory>

#include "agents/web_port.h"

namespace ez::app {

// `calls` is how many calls to one server may be under way at once.
[[nodiscard]] std::unique_ptr<agents::WebPort> web_over_http(std::string user_agent, std::size_t calls);

}  // namespace ez::app
