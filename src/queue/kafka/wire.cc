#include "queue/kafka/wire.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/clock.h"

namespace ez::queue::kafka {
namespace {

void add_header(rd_kafka_headers_t* headers, std::string_view name, std::string_view value) {
  ::rd_kafka_header_add(headers, name.data(), static_cast<ssize_t>(name.size()), value.data(),
                        static_cast<ssize_t>(value.size()));
}

void add_number(rd_kafka_headers_t* headers, std::string_view name, std::int64_t value) {
  std::array<char, 24> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  add_header(headers, name, {text.data(), static_cast<std::size_t>(end - text.data())});
}

std::int64_t number_of(std::string_view text) {
  std::int64_t out = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), out);
  return read.ec == std::errc() && out > 0 ? out : 0;
}

}  // namespace

int produce(Client& client, const std::string& topic, int partition, const Message& message,
            const Times& times, std::uintptr_t ticket) {
  rd_kafka_headers_t* headers = ::rd_kafka_headers_new(4 + message.headers.size());
  add_header(headers, "ez-id", message.id);
  if (message.priority != Priority::kNormal) {
    add_number(headers, "ez-priority", static_cast<std::int64_t>(message.priority));
  }
  if (message.ttl_ms > 0) add_number(headers, "ez-ttl", message.ttl_ms);
  if (message.delay_ms > 0) add_number(headers, "ez-delay", message.delay_ms);
  if (times.due_ms > 0) {
    add_number(headers, "ez-due", times.due_ms);
    add_number(headers, "ez-published", times.published_ms);
  }
  for (const auto& [name, value] : message.headers) add_header(headers, name, value);
  std::array<rd_kafka_vu_t, 8> parts{};
  std::size_t count = 0;
  const auto next = [&](rd_kafka_vtype_t type) -> rd_kafka_vu_t& {
    parts[count].vtype = type;
    return parts[count++];
  };
  next(RD_KAFKA_VTYPE_TOPIC).u.cstr = topic.c_str();
  next(RD_KAFKA_VTYPE_PARTITION).u.i32 = partition;
  rd_kafka_vu_t& value = next(RD_KAFKA_VTYPE_VALUE);
  // Not null when it is empty: that would be a deletion to others.
  value.u.mem.ptr = const_cast<char*>(message.payload.data());  // librdkafka only reads it
  value.u.mem.size = message.payload.size();
  if (!message.key.empty()) {
    rd_kafka_vu_t& key = next(RD_KAFKA_VTYPE_KEY);
    key.u.mem.ptr = const_cast<char*>(message.key.data());
    key.u.mem.size = message.key.size();
  }
  next(RD_KAFKA_VTYPE_TIMESTAMP).u.i64 = times.due_ms > 0 ? system_clock().now_ms() : times.published_ms;
  next(RD_KAFKA_VTYPE_HEADERS).u.headers = headers;
  next(RD_KAFKA_VTYPE_OPAQUE).u.ptr = reinterpret_cast<void*>(ticket);
  next(RD_KAFKA_VTYPE_MSGFLAGS).u.i = 0;
  rd_kafka_error_t* error = ::rd_kafka_produceva(client.get(), parts.data(), count);
  if (error == nullptr) return RD_KAFKA_RESP_ERR_NO_ERROR;
  const auto code = ::rd_kafka_error_code(error);
  ::rd_kafka_error_destroy(error);
  ::rd_kafka_headers_destroy(headers);
  return code;
}

int produce_text(Client& client, const std::string& topic, const std::string& text, std::uintptr_t ticket) {
  return ::rd_kafka_producev(client.get(), RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(0),
                             RD_KAFKA_V_VALUE(const_cast<char*>(text.data()), text.size()),
                             RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                             RD_KAFKA_V_OPAQUE(reinterpret_cast<void*>(ticket)), RD_KAFKA_V_END);
}

Read read_record(const rd_kafka_message_s& record, const std::string& topic) {
  Read out;
  Message& message = out.entry.message;
  message.topic = topic;
  if (record.payload != nullptr) message.payload.assign(static_cast<const char*>(record.payload), record.len);
  if (record.key != nullptr) message.key.assign(static_cast<const char*>(record.key), record.key_len);
  rd_kafka_timestamp_type_t type{};
  out.written_ms = std::max<std::int64_t>(0, ::rd_kafka_message_timestamp(&record, &type));
  out.entry.published_ms = out.written_ms;
  rd_kafka_headers_t* headers = nullptr;
  if (::rd_kafka_message_headers(&record, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
    const char* name = nullptr;
    const void* bytes = nullptr;
    std::size_t size = 0;
    for (std::size_t i = 0;
         ::rd_kafka_header_get_all(headers, i, &name, &bytes, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
      const std::string_view what = name;
      const std::string_view value(static_cast<const char*>(bytes), bytes == nullptr ? 0 : size);
      if (what == "ez-id") {
        message.id = value;
      } else if (what == "ez-priority") {
        message.priority = static_cast<Priority>(std::min<std::int64_t>(number_of(value), kPriorities - 1));
      } else if (what == "ez-ttl") {
        message.ttl_ms = number_of(value);
      } else if (what == "ez-delay") {
        message.delay_ms = number_of(value);
      } else if (what == "ez-published") {
        out.entry.published_ms = number_of(value);
      } else if (what == "ez-due") {
        out.due_ms = number_of(value);
      } else {
        message.headers.emplace_back(what, value);  // also ez-journal, by which the manager knows its own
      }
    }
  }
  if (message.id.empty()) {
    message.id = "p" + std::to_string(record.partition) + "-" + std::to_string(record.offset);
  }
  return out;
}

}  // namespace ez::queue::kafka
