// The Redis backend: streams of Redis 7, one server, a primary that Sentinels watch, or a cluster. How it
// keeps the promises of queue/bus.h: docs/guide/queue-backends.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "queue/broker/options.h"
#include "queue/bus.h"

namespace ez::queue::redis {

enum class Mode : std::uint8_t { kStandalone, kSentinel, kCluster };

struct RedisOptions {
  broker::BrokerOptions broker;  // addresses: of the server, of the Sentinels, of some nodes of the cluster
  Mode mode = Mode::kStandalone;
  std::string master_name;                 // kSentinel: as the Sentinels call it
  std::string sentinel_password;           // when the Sentinels ask for one
  std::uint64_t duplicate_ids = 100'000;   // at least so many ids of a topic are recognised
  std::uint64_t max_messages = 1'000'000;  // of one topic that wait; more is refused with QUEUE_FULL
  // How many replicas have to have a message before its receipt (WAIT). Replication does not wait by itself:
  // with 0, a failover may lose what was acknowledged in its last moments.
  int wait_replicas = 0;
  std::int64_t alive_ms = 4'000;  // a reader that is silent for longer loses what it fetched
};

// Does not connect. INVALID_ARGUMENT.
[[nodiscard]] Result<std::unique_ptr<Bus>> open_redis(RedisOptions options);

}  // namespace ez::queue::redis
