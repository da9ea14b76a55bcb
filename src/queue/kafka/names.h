// How the Kafka backend names what it makes, and where a message goes.
//
//   PREFIX.TOPIC           the messages of a topic, for all its groups
//   PREFIX-delay.TOPIC     those that wait for their time; partition N waits level_wait_ms(N) at a time
//   PREFIX-registry        the registry's events; one partition
//   PREFIX-alive           the owners of broadcast groups say that they live; one partition
//   PREFIX-health          what check_health() writes; one partition
//
// Consumer groups: PREFIX.NUMBER.GROUP@PATTERN (NUMBER: of the event that made it, so that a group that comes
// again begins anew), PREFIX-kept (where the first group begins), PREFIX-delays (moves what is due).
//
// Partitions of a topic: 0 to 3 are the priorities critical, high, low, deferred; then come as many for
// normal ones as for messages with a key. A topic that others made with another number has no lanes: every
// partition takes everything.
#pragma once

#include <cstdint>
#include <string>

#include "queue/broker/driver.h"
#include "queue/kafka/kafka_bus.h"

namespace ez::queue::kafka {

inline constexpr int kFixedLanes = 4;
inline constexpr int kMaxPartitions = 100;  // of one kind: their numbers fit into a byte
inline constexpr int kLevels = 16;

struct Names {
  std::string prefix;

  [[nodiscard]] std::string topic(const std::string& topic) const;
  [[nodiscard]] std::string delay(const std::string& topic) const;
  [[nodiscard]] std::string registry() const { return prefix + "-registry"; }
  [[nodiscard]] std::string alive() const { return prefix + "-alive"; }
  [[nodiscard]] std::string health() const { return prefix + "-health"; }
  [[nodiscard]] std::string group(const broker::TopicQueue& queue) const;
  [[nodiscard]] std::string kept() const { return prefix + "-kept"; }
  [[nodiscard]] std::string movers() const { return prefix + "-delays"; }
};

[[nodiscard]] constexpr int partitions_of(int spread) { return kFixedLanes + 2 * spread; }

// How urgent a partition is: 0 first. `count`: of the topic.
[[nodiscard]] int urgency(int partition, int count);
// Where a message goes; `turn` chooses among those for messages without a key.
[[nodiscard]] int place_of(const Message& message, int count, std::uint64_t turn);

// Levels of delay. A message with so much left goes to that level, waits there, and is placed again; 0 waits
// until it is due.
[[nodiscard]] int level_of(std::int64_t left_ms);
[[nodiscard]] std::int64_t level_wait_ms(int level);

// Events of the registry that only this backend writes.
[[nodiscard]] std::string delay_event(const std::string& topic);
[[nodiscard]] std::string purge_event(const std::string& topic, const std::vector<std::int64_t>& ends);

}  // namespace ez::queue::kafka
