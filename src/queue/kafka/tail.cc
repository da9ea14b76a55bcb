#include "queue/kafka/tail.h"

#include <librdkafka/rdkafka.h>

#include "base/clock.h"

namespace ez::queue::kafka {

Tail::Tail(Client& client, rd_kafka_topic_s* topic, int partition, std::int64_t from)
    : client_(client), topic_(topic), partition_(partition), next_(from) {}

Tail::~Tail() {
  ::rd_kafka_consume_stop(topic_, partition_);
  ::rd_kafka_topic_destroy(topic_);
}

Result<std::unique_ptr<Tail>> Tail::open(Client& client, const std::string& topic, int partition,
                                         std::int64_t from) {
  rd_kafka_topic_t* handle = ::rd_kafka_topic_new(client.get(), topic.c_str(), nullptr);
  if (handle == nullptr) return to_error(::rd_kafka_last_error(), "topic " + topic);
  if (::rd_kafka_consume_start(handle, partition, from) != 0) {
    const int code = ::rd_kafka_last_error();
    ::rd_kafka_topic_destroy(handle);
    return to_error(code, "reading " + topic);
  }
  return std::unique_ptr<Tail>(new Tail(client, handle, partition, from));
}

Status Tail::read(std::int64_t end, std::size_t max,
                  const std::function<void(const rd_kafka_message_s&)>& each) {
  std::int64_t patience_us = system_clock().monotonic_us() + std::int64_t{client_.patience_ms()} * 1000;
  for (std::size_t count = 0; next_ < end && count < max;) {
    const Fetched record(::rd_kafka_consume(topic_, partition_, 50));
    EZ_TRY(client_.check());
    if (!record || record->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      // The end that was asked for may be that of records which are not there any more.
      if (record && record->offset >= end) {
        next_ = end;
        break;
      }
      if (system_clock().monotonic_us() > patience_us) {
        return Error(Code::QueueUnreachable, "Kafka does not give what lies in a partition");
      }
      continue;
    }
    if (record->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      if (is_passing(record->err)) continue;
      return Error(Code::QueueUnreachable, to_error(record->err, "reading a partition").message());
    }
    next_ = record->offset + 1;
    ++count;
    each(*record);
    patience_us = system_clock().monotonic_us() + std::int64_t{client_.patience_ms()} * 1000;
  }
  return {};
}

}  // namespace ez::queue::kafka
