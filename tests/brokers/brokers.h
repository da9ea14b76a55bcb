// Opens a bus on the real server of each kind, as the tests want it.
#pragma once

#include <memory>

#include "queue/bus.h"
#include "queue/rabbitmq/rabbitmq_bus.h"
#include "queue/redis/redis_bus.h"
#include "servers.h"

namespace ez::test {

enum class Variant { kPlain, kTls, kCluster, kSentinel };

const Value& redis_server(Variant variant);
queue::redis::RedisOptions redis_options(Variant variant);
Result<std::unique_ptr<queue::Bus>> open_redis(Variant variant);

const Value& rabbitmq_server();
// Quorum queues without TLS, classic ones with it: so both are tested.
queue::rabbitmq::RabbitOptions rabbitmq_options(Variant variant);
Result<std::unique_ptr<queue::Bus>> open_rabbitmq(Variant variant);

}  // namespace ez::test
