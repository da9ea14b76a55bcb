// Opens the bus of a broker by its address, as users write it:
//
//   redis://USER:PASSWORD@HOST:PORT[,HOST:PORT…]     rediss:// with TLS
//   redis+cluster://…    rediss+cluster://…           some nodes of a cluster
//   redis+sentinel://…/PRIMARY                        the Sentinels, and how they call the primary
//   amqp://USER:PASSWORD@HOST:PORT[,…][/VHOST]        amqps:// with TLS
//   kafka://USER:PASSWORD@HOST:PORT[,…]               kafkas:// with TLS
//
// followed by ?NAME=VALUE&… with: prefix, ca, cert, key, server_name (Redis), password_file,
// connect_timeout_ms, request_timeout_ms, publish_timeout_ms; Redis: duplicate_ids, max_messages,
// wait_replicas, alive_ms, sentinel_password_file; RabbitMQ: queues (quorum or classic), prefetch; Kafka:
// sasl (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512), partitions, replicas, retention_ms, alive_ms,
// max_message_bytes. Parts are percent-decoded.
//
// Errors: INVALID_ARGUMENT names what is wrong (never the password); IO_FAILED (a password file).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "queue/bus.h"

namespace ez::queue {

// Does not connect.
[[nodiscard]] Result<std::unique_ptr<Bus>> open_bus(std::string_view url);

// The same address without its password, for logs and answers.
[[nodiscard]] std::string without_password(std::string_view url);

}  // namespace ez::queue
