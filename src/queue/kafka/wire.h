// A message as Kafka carries it: key and value are the message's own; headers ez-id, ez-priority (when it is
// not normal), ez-ttl, ez-delay, and the message's own; the record's timestamp is the time of publishing.
// What waits for its time, or has waited, has ez-published and ez-due instead.
#pragma once

#include <cstdint>
#include <string>

#include "queue/broker/sequencer.h"
#include "queue/kafka/client.h"

namespace ez::queue::kafka {

struct Times {
  std::int64_t published_ms = 0;
  std::int64_t due_ms = 0;  // 0: no delay
};

// Hands a record to librdkafka without copying: message stays until its delivery was reported, or for as long
// as the client lives. `ticket` comes back with the report. Gives an rd_kafka_resp_err_t.
[[nodiscard]] int produce(Client& client, const std::string& topic, int partition, const Message& message,
                          const Times& times, std::uintptr_t ticket);
// Of a text of our own, copied.
[[nodiscard]] int produce_text(Client& client, const std::string& topic, const std::string& text,
                               std::uintptr_t ticket);

struct Read {
  broker::Entry entry;
  std::int64_t due_ms = 0;
  std::int64_t written_ms = 0;  // when the record was produced
};
// Records of others are read as far as they go.
[[nodiscard]] Read read_record(const rd_kafka_message_s& record, const std::string& topic);

}  // namespace ez::queue::kafka
