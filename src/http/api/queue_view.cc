#include "http/api/queue_view.h"

#include <openssl/evp.h>

#include "base/json.h"
#include "base/utf8.h"
#include "queue/manager/manager.h"
#include "queue/topic.h"

namespace ez::http::api {

std::string base64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int length =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(length));
  return out;
}

bool from_base64(std::string_view text, std::string& bytes) {
  bytes.clear();
  if (text.size() % 4 != 0) return false;
  if (text.empty()) return true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool letter =
        (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
    if (!letter && !(c == '=' && i + 2 >= text.size())) return false;
  }
  if (text[text.size() - 2] == '=' && text.back() != '=') return false;
  bytes.resize(text.size() / 4 * 3);
  const int length =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                      reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (length < 0) return false;
  const std::size_t padding = text[text.size() - 2] == '=' ? 2 : (text.back() == '=' ? 1 : 0);
  bytes.resize(static_cast<std::size_t>(length) - padding);
  return true;
}

Result<queue::EmbeddedBus*> queue_of(Context& context) {
  if (context.services.queue != nullptr) return context.services.queue;
  return Error(Code::NotLeader, "this server has no queue");
}

namespace {

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_sequence_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string in_namespace(const Request& request, std::string_view name) {
  const std::string_view space = request.name_space();
  return space == "default" ? std::string(name) : std::string(space) + "/" + std::string(name);
}

Error not_a_name(std::string_view name) {
  return Error(Code::InvalidArgument, "'" + std::string(name.substr(0, 200)) +
                                          "' holds a slash; name the namespace with ?namespace=");
}

Value time_of(std::int64_t ms) { return ms == 0 ? Value() : Value(format_time(ms)); }

Value history_view(const std::vector<std::pair<std::int64_t, std::string>>& history) {
  Value::List out;
  for (const auto& [when, why] : history) {
    out.push_back(Value(Value::Map{{"at", time_of(when)}, {"reason", Value(why)}}));
  }
  return Value(std::move(out));
}

}  // namespace

Result<std::string> topic_of(const Request& request) {
  const std::string& name = request.parameter("topic");
  if (name.find('/') != std::string::npos) return not_a_name(name);
  std::string topic = in_namespace(request, name);
  EZ_TRY(queue::check_topic(topic));
  return topic;
}

Result<std::string> pattern_of(const Request& request, std::string_view pattern) {
  if (pattern.find('/') != std::string_view::npos) return not_a_name(pattern);
  std::string whole = in_namespace(request, pattern);
  EZ_TRY(queue::check_pattern(whole));
  return whole;
}

std::string bare_topic(std::string_view topic) {
  const auto slash = topic.find('/');
  return std::string(slash == std::string_view::npos ? topic : topic.substr(slash + 1));
}

std::string_view namespace_of_topic(std::string_view topic) {
  const auto slash = topic.find('/');
  return slash == std::string_view::npos ? "default" : topic.substr(0, slash);
}

Value message_view(const queue::Delivery& delivery) {
  const queue::Message& message = delivery.message;
  Value out(Value::Map{{"id", Value(message.id)},
                       {"topic", Value(bare_topic(message.topic))},
                       {"namespace", Value(namespace_of_topic(message.topic))},
                       {"priority", Value(queue::to_text(message.priority))},
                       {"published_at", time_of(delivery.published_ms)}});
  if (is_utf8(message.payload)) {
    out.set("payload", Value(message.payload));
  } else {
    out.set("payload_base64", Value(base64(message.payload)));
  }
  if (!message.key.empty()) out.set("key", Value(message.key));
  if (message.delay_ms != 0) out.set("delay_ms", Value(message.delay_ms));
  if (message.ttl_ms != 0) out.set("ttl_ms", Value(message.ttl_ms));
  if (!message.headers.empty()) {
    Value::Map headers;
    for (const auto& [name, value] : message.headers) headers.emplace_back(name, Value(value));
    out.set("headers", Value(std::move(headers)));
  }
  return out;
}

Value topic_view(const queue::EmbeddedTopic& topic) {
  const auto number = [](std::uint64_t value) { return Value(static_cast<std::int64_t>(value)); };
  Value::List groups;
  for (const queue::EmbeddedGroup& group : topic.groups) {
    groups.push_back(Value(Value::Map{{"name", Value(group.name)},
                                      {"durable", Value(group.durable)},
                                      {"ready", number(group.ready)},
                                      {"delayed", number(group.delayed)},
                                      {"in_flight", number(group.in_flight)}}));
  }
  return Value(Value::Map{{"topic", Value(bare_topic(topic.counts.topic))},
                          {"namespace", Value(namespace_of_topic(topic.counts.topic))},
                          {"ready", number(topic.counts.ready)},
                          {"delayed", number(topic.counts.delayed)},
                          {"in_flight", number(topic.counts.in_flight)},
                          {"bytes", number(topic.counts.bytes)},
                          {"published", number(topic.counts.published)},
                          {"expired", number(topic.expired)},
                          {"dead", number(topic.dead)},
                          {"paused", Value(topic.paused)},
                          {"groups", Value(std::move(groups))}});
}

std::map<std::string, Value> topic_views(Context& context, const std::string& pattern) {
  std::map<std::string, queue::EmbeddedTopic> topics;
  for (queue::EmbeddedTopic& topic : context.services.queue->topics(pattern)) {
    const std::string name = topic.counts.topic;
    topics.emplace(name, std::move(topic));
  }
  queue::Manager* const manager = context.services.queue_manager;
  std::map<std::string, std::uint64_t> at_broker;
  if (manager != nullptr) {
    for (const queue::AtBroker& one : manager->at_brokers(pattern, std::chrono::milliseconds(1'000))) {
      at_broker[one.topic] += one.ready + one.delayed;
      topics[one.topic].counts.topic = one.topic;
    }
  }
  std::map<std::string, Value> out;
  for (const auto& [name, topic] : topics) {
    Value view = topic_view(topic);
    view.set("backend", Value(manager == nullptr ? std::string(queue::kEmbedded) : manager->active(name)));
    view.set("at_broker", Value(static_cast<std::int64_t>(at_broker[name])));
    out.emplace(name, std::move(view));
  }
  return out;
}

Value dead_letter_view(const queue::DeadLetterView& letter) {
  return Value(Value::Map{{"number", Value(static_cast<std::int64_t>(letter.number))},
                          {"topic", Value(bare_topic(letter.original.message.topic))},
                          {"namespace", Value(namespace_of_topic(letter.original.message.topic))},
                          {"group", Value(letter.group)},
                          {"attempts", Value(static_cast<std::int64_t>(letter.attempts))},
                          {"died_at", time_of(letter.died_ms)},
                          {"reason", Value(letter.reason)},
                          {"history", history_view(letter.history)},
                          {"message", message_view(letter.original)}});
}

queue::Message read_message(Fields& fields) {
  queue::Message message;
  message.id = fields.line("id", queue::kMaxIdBytes);
  message.key = fields.line("key", queue::kMaxKeyBytes);
  const Value payload = fields.any("payload");
  const std::string encoded = fields.text("payload_base64", queue::kMaxPayloadBytes / 3 * 4 + 8);
  if (!payload.is_null() && !encoded.empty()) fields.fail("payload", "and payload_base64 are both given");
  if (payload.is_string()) {
    message.payload = payload.as_string();
  } else if (!payload.is_null()) {
    message.payload = to_json(payload);
  } else if (!from_base64(encoded, message.payload)) {
    fields.fail("payload_base64", "is no base64");
  }
  const std::string priority = fields.line("priority", 16);
  if (const auto parsed = queue::parse_priority(priority.empty() ? "normal" : priority)) {
    message.priority = *parsed;
  } else {
    fields.fail("priority", "must be critical, high, normal, low or deferred");
  }
  message.delay_ms = fields.number("delay_ms", 0, 0, queue::kMaxDelayMs);
  message.ttl_ms = fields.number("ttl_ms", 0, 0, queue::kMaxDelayMs);
  const Value headers = fields.map("headers");
  for (const auto& [name, value] : headers.as_map()) {
    if (value.is_string()) {
      message.headers.emplace_back(name, value.as_string());
    } else {
      fields.fail("headers", "'" + name.substr(0, 64) + "' must be a string");
    }
  }
  return message;
}

}  // namespace ez::http::api
