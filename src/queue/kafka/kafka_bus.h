// The Kafka backend, over librdkafka: Kafka 2.4 or newer. How it keeps the promises of queue/bus.h:
// docs/guide/queue-backends.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "queue/broker/options.h"
#include "queue/bus.h"

namespace ez::queue::kafka {

struct KafkaOptions {
  broker::BrokerOptions broker;  // addresses: some brokers of the cluster
  std::string sasl;              // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512; empty: PLAIN where there is a user
  int partitions = 4;            // for the messages with a key of a new topic, and as many for those without
  int replicas = -1;             // of a new topic; -1: as the brokers are configured
  std::int64_t retention_ms = -1;              // of a new topic; -1: messages do not go away by age
  std::int64_t alive_ms = 10'000;              // a reader that is silent for longer loses what it fetched
  std::int64_t max_message_bytes = 2'097'152;  // of a new topic: what its brokers take
};

// Does not connect. INVALID_ARGUMENT.
[[nodiscard]] Result<std::unique_ptr<Bus>> open_kafka(KafkaOptions options);

}  // namespace ez::queue::kafka
