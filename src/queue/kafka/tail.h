// Tail: reads one partition from an offset on, without a group. The client outlives it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "queue/kafka/client.h"

struct rd_kafka_topic_s;

namespace ez::queue::kafka {

class Tail {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Tail>> open(Client& client, const std::string& topic,
                                                          int partition, std::int64_t from);
  ~Tail();
  Tail(const Tail&) = delete;
  Tail& operator=(const Tail&) = delete;

  // All records before `end`, at most `max`. QUEUE_UNREACHABLE when they do not come within the patience of a
  // request.
  [[nodiscard]] Status read(std::int64_t end, std::size_t max,
                            const std::function<void(const rd_kafka_message_s&)>& each);
  [[nodiscard]] std::int64_t next() const { return next_; }

 private:
  Tail(Client& client, rd_kafka_topic_s* topic, int partition, std::int64_t from);
  Client& client_;
  rd_kafka_topic_s* topic_;
  const int partition_;
  std::int64_t next_;
};

}  // namespace ez::queue::kafka
