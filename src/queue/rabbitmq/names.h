// How the RabbitMQ backend names what it makes, and how it reads messages.
//
//   PREFIX.x                     exchange (direct); key TOPIC!LANE leads to the queues of that lane
//   PREFIX.q.TOPIC!N.LANE        lane of queue N (5: messages with a key, read by one reader at a time)
//   PREFIX.d.TOPIC!MS            messages that wait MS milliseconds, then go to PREFIX.x; with a fanout
//   exchange
//                                of the same name before it, so that they keep their key
//   PREFIX.registry.log          one message: all events of the registry (registry_log.h)
//   PREFIX.registry.lock         exclusive queue: who writes it
//   PREFIX.registry.events       exchange that tells a new event to PREFIX.registry.log.NUMBER of each handle
//   PREFIX.alive.GROUP           exclusive queue: the owner of a broadcast group lives
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "queue/broker/driver.h"
#include "queue/rabbitmq/link.h"

namespace ez::queue::rabbitmq {

struct Names {
  std::string prefix;

  [[nodiscard]] std::string exchange() const { return prefix + ".x"; }
  [[nodiscard]] static std::string key(const std::string& topic, int lane) {
    return topic + "!" + std::to_string(lane);
  }
  [[nodiscard]] std::string lane(const broker::TopicQueue& queue, int lane) const {
    return prefix + ".q." + queue.topic + "!" + std::to_string(queue.queue) + "." + std::to_string(lane);
  }
  [[nodiscard]] std::string delay(const std::string& topic, std::int64_t ms) const {
    return prefix + ".d." + topic + "!" + std::to_string(ms);
  }
  [[nodiscard]] std::string registry() const { return prefix + ".registry.log"; }
  [[nodiscard]] std::string registry_lock() const { return prefix + ".registry.lock"; }
  [[nodiscard]] std::string registry_events() const { return prefix + ".registry.events"; }
  [[nodiscard]] std::string alive(const broker::GroupName& group) const {
    return prefix + ".alive." + group.group;
  }
};

// The next number with two digits that count: 1234 → 1300. So a topic has at most 90 queues for each decade
// of delays, and a message is late by at most a tenth.
[[nodiscard]] std::int64_t round_delay(std::int64_t ms);

// Events of the registry that only this backend writes: a topic has a queue for that delay.
[[nodiscard]] std::string delay_event(const std::string& topic, std::int64_t ms);

[[nodiscard]] broker::Entry read_message(Content content, const std::string& topic);

// Declares the lanes of a queue and binds them; nothing when they are there.
[[nodiscard]] Status declare_lanes(Link& link, const RabbitOptions& options, const broker::TopicQueue& queue,
                                   bool broadcast);

// The kinds of sessions. The options outlive them.
[[nodiscard]] Result<std::unique_ptr<broker::PublishSession>> open_publish(const RabbitOptions& options);
[[nodiscard]] Result<std::unique_ptr<broker::ReadSession>> open_read(const RabbitOptions& options);
[[nodiscard]] Result<std::unique_ptr<broker::ControlSession>> open_control(const RabbitOptions& options);
[[nodiscard]] Result<std::unique_ptr<broker::ScanSession>> open_scan(const RabbitOptions& options);

}  // namespace ez::queue::rabbitmq
