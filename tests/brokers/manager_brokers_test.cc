// The queue manager over RabbitMQ and Kafka that are hurt; manager_test.cc does it with Redis.
#include <gtest/gtest.h>

#include "manager_faults.h"

namespace ez::test {
namespace {

TEST(RabbitMqManager, FaultsUnderLoadLoseNothingAndRepeatNothing) {
  const Value& server = rabbitmq_server();
  const auto gate = Servers::get().gate(list_of(server, "addresses").front());
  const std::string url = url_of("amqp", server, gate.address, "?prefix=managed&request_timeout_ms=1500");
  expect_faults_lose_nothing({"rabbitmq", url, server, gate}, "load.faults");
}

TEST(KafkaManager, FaultsUnderLoadLoseNothingAndRepeatNothing) {
  const Value& server = kafka_server();
  const auto gate = kafka_gate();
  // Its plain listener takes no names.
  const std::string url = "kafka://" + gate.address + "?prefix=managed&alive_ms=3000&request_timeout_ms=1500";
  expect_faults_lose_nothing({"kafka", url, server, gate}, "load.faults");
}

}  // namespace
}  // namespace ez::test
