// agents::ControlPlane over HTTP: the worker API of a server elsewhere.
//
// Threads: every method from any thread. At most kExtraConnections besides two a slot are open.
#pragma once

#include <memory>

#include "agents/worker.h"
#include "http/client.h"

namespace ez::app {

[[nodiscard]] Result<std::unique_ptr<agents::ControlPlane>> control_plane_over_http(
    http::ClientOptions options, std::int64_t capacity);

}  // namespace ez::app
