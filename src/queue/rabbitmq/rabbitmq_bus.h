// The RabbitMQ backend: AMQP 0-9-1 over librabbitmq, RabbitMQ 3.10 or newer. How it keeps the promises of
// queue/bus.h: docs/guide/queue-backends.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "queue/broker/options.h"
#include "queue/bus.h"

namespace ez::queue::rabbitmq {

struct RabbitOptions {
  broker::BrokerOptions broker;
  std::string vhost = "/";
  // Quorum queues: replicated in a cluster, every confirmation after a sync. Otherwise durable classic
  // queues, which confirm after a sync too but live on one node.
  bool quorum = true;
  std::uint16_t prefetch = 500;  // messages of one lane (there are six) that a reader holds unsettled
};

// Does not connect. INVALID_ARGUMENT.
[[nodiscard]] Result<std::unique_ptr<Bus>> open_rabbitmq(RabbitOptions options);

}  // namespace ez::queue::rabbitmq
