#include "brokers.h"

namespace ez::test {

using queue::Bus;

const Value& redis_server(Variant variant) {
  Value options(Value::Map{});
  if (variant == Variant::kCluster) options.set("mode", "cluster");
  if (variant == Variant::kSentinel) options.set("mode", "sentinel");
  return Servers::get().server("redis", options);
}

queue::redis::RedisOptions redis_options(Variant variant) {
  const Value& server = redis_server(variant);
  queue::redis::RedisOptions out;
  out.broker.addresses = list_of(server, variant == Variant::kTls ? "tls_addresses" : "addresses");
  out.broker.user = server.string_or("user", "");
  out.broker.password = server.string_or("password", "");
  if (variant == Variant::kTls) {
    out.broker.tls = true;
    out.broker.ca_file = server.string_or("ca", "");
  }
  if (variant == Variant::kCluster) out.mode = queue::redis::Mode::kCluster;
  if (variant == Variant::kSentinel) {
    out.mode = queue::redis::Mode::kSentinel;
    out.broker.addresses = list_of(server, "sentinels");
    out.master_name = server.string_or("master_name", "");
  }
  return out;
}

Result<std::unique_ptr<Bus>> open_redis(Variant variant) {
  return queue::redis::open_redis(redis_options(variant));
}

std::string redis_says(const Value& server, int node, const std::vector<std::string>& words) {
  Value command;
  command.set("do", "call");
  command.set("server", server.int_or("server", 0));
  command.set("node", node);
  Value::List list;
  for (const std::string& word : words) list.emplace_back(word);
  command.set("words", Value(std::move(list)));
  return std::string(Servers::get().ask(command).string_or("text", ""));
}

const Value& rabbitmq_server() { return Servers::get().server("rabbitmq"); }

queue::rabbitmq::RabbitOptions rabbitmq_options(Variant variant) {
  const Value& server = rabbitmq_server();
  queue::rabbitmq::RabbitOptions out;
  out.broker.addresses = list_of(server, variant == Variant::kTls ? "tls_addresses" : "addresses");
  out.broker.user = server.string_or("user", "");
  out.broker.password = server.string_or("password", "");
  out.quorum = variant != Variant::kTls;
  // A machine that is busy with other tests may be slow.
  out.broker.connect_timeout_ms = 10'000;
  out.broker.request_timeout_ms = 10'000;
  out.broker.publish_timeout_ms = 30'000;
  // Queues of one name cannot be of two kinds.
  out.broker.prefix = out.quorum ? "ez" : "ezclassic";
  if (variant == Variant::kTls) {
    out.broker.tls = true;
    out.broker.ca_file = server.string_or("ca", "");
  }
  return out;
}

Result<std::unique_ptr<Bus>> open_rabbitmq(Variant variant) {
  return queue::rabbitmq::open_rabbitmq(rabbitmq_options(variant));
}

const Value& kafka_server() { return Servers::get().server("kafka"); }

queue::kafka::KafkaOptions kafka_options(Variant variant) {
  const Value& server = kafka_server();
  queue::kafka::KafkaOptions out;
  const bool sasl = variant == Variant::kSasl;
  out.broker.addresses = list_of(server, sasl                       ? "sasl_addresses"
                                         : variant == Variant::kTls ? "tls_addresses"
                                                                    : "addresses");
  if (variant != Variant::kPlain) {
    out.broker.tls = true;
    out.broker.ca_file = server.string_or("ca", "");
  }
  if (sasl) {
    out.broker.user = server.string_or("user", "");
    out.broker.password = server.string_or("password", "");
  }
  // A machine that is busy with other tests may be slow.
  out.broker.connect_timeout_ms = 10'000;
  out.broker.request_timeout_ms = 10'000;
  out.broker.publish_timeout_ms = 30'000;
  out.partitions = 2;
  return out;
}

Servers::Gate kafka_gate() {
  const Value& server = kafka_server();
  return {server.int_or("gate", 0), std::string(server.string_or("gate_address", ""))};
}

Result<std::unique_ptr<Bus>> open_kafka(Variant variant) {
  return queue::kafka::open_kafka(kafka_options(variant));
}

}  // namespace ez::test
