// Starts the queue manager of a server as its options and its file of brokers say.
#pragma once

#include <memory>

#include "base/result.h"
#include "cli/ports.h"
#include "engine/event_publisher.h"
#include "queue/manager/manager.h"

namespace ez::app {

// Reads --queues FILE, or <data>/queues.yaml when it is there, or takes --queue URL; nothing of it: all
// messages stay in the log. Variables of the environment that hold addresses are taken out of it. Errors:
// INVALID_ARGUMENT names the place; IO_FAILED (the file).
[[nodiscard]] Result<queue::ManagerConfig> load_queues(const cli::ServeOptions& options);

// Does not wait for brokers. The log outlives it.
[[nodiscard]] Result<std::unique_ptr<queue::Manager>> start_queue_manager(const queue::ManagerConfig& config,
                                                                          queue::EmbeddedBus& log);

// Events as the configuration says; null when it names no topic for them. The bus outlives it.
[[nodiscard]] std::unique_ptr<engine::EventPublisher> start_events(const queue::ManagerConfig& config,
                                                                   queue::Manager& bus);

}  // namespace ez::app
