// Opens a bus on the real server of each kind, as the tests want it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "queue/bus.h"
#include "queue/kafka/kafka_bus.h"
#include "queue/rabbitmq/rabbitmq_bus.h"
#include "queue/redis/redis_bus.h"
#include "servers.h"

namespace ez::test {

enum class Variant { kPlain, kTls, kCluster, kSentinel, kSasl };

const Value& redis_server(Variant variant);
queue::redis::RedisOptions redis_options(Variant variant);
Result<std::unique_ptr<queue::Bus>> open_redis(Variant variant);

// What a node answers to a command of redis-cli.
std::string redis_says(const Value& server, int node, const std::vector<std::string>& words);

const Value& rabbitmq_server();
// Quorum queues without TLS, classic ones with it: so both are tested.
queue::rabbitmq::RabbitOptions rabbitmq_options(Variant variant);
Result<std::unique_ptr<queue::Bus>> open_rabbitmq(Variant variant);

const Value& kafka_server();
// kTls: without credentials; kSasl: PLAIN over TLS.
queue::kafka::KafkaOptions kafka_options(Variant variant);
Result<std::unique_ptr<queue::Bus>> open_kafka(Variant variant);
// A client that begins here stays behind this gate: the server names it as its own address.
Servers::Gate kafka_gate();

}  // namespace ez::test
