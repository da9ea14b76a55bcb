// The Kafka backend when something is wrong, and while its network and its server are hurt.
#include <gmock/gmock.h>
#include <librdkafka/rdkafka.h>

#include <set>

#include "base/clock.h"
#include "brokers.h"
#include "load.h"

namespace ez::queue {
namespace {

using std::chrono::milliseconds;
using test::LoadOptions;
using test::LoadResult;
using test::Servers;
using test::Variant;
using testing::AnyOf;
using testing::HasSubstr;

Error kafka_health_error(kafka::KafkaOptions options, milliseconds wait = milliseconds(20'000)) {
  options.broker.connect_timeout_ms = std::min<std::int64_t>(options.broker.connect_timeout_ms, 3'000);
  auto bus = kafka::open_kafka(std::move(options));
  EXPECT_TRUE(bus.ok());
  auto taken = check_health_and_wait(**bus, wait);
  EXPECT_FALSE(taken.ok());
  return taken.ok() ? Error(Code::Internal, "it is well") : taken.error();
}

Result<Receipt> publish_one(Bus& bus, const std::string& topic, std::string payload, std::string key = "") {
  Message message;
  message.topic = topic;
  message.payload = std::move(payload);
  message.key = std::move(key);
  return publish_and_wait(bus, std::move(message));
}

TEST(KafkaErrors, WrongCredentials) {
  auto options = test::kafka_options(Variant::kSasl);
  auto bus = kafka::open_kafka(options);
  auto well = check_health_and_wait(**bus, milliseconds(30'000));
  EXPECT_TRUE(well.ok()) << well.error().to_string();
  options.broker.password = "wrong-password";
  const Error error = kafka_health_error(options);
  EXPECT_EQ(error.code(), Code::QueueRefused) << error.to_string();
  EXPECT_THAT(error.message(), testing::Not(HasSubstr("wrong-password")));
}

kafka::KafkaOptions scram_options(const Value& server, const std::string& mechanism) {
  auto options = test::kafka_options(Variant::kSasl);
  options.broker.addresses = test::list_of(server, "sasl_addresses");
  options.sasl = mechanism;
  return options;
}

// librdkafka before 2.6.1 repeats its own nonce in the last message of SCRAM; Kafka 3 lets that pass.
TEST(KafkaScram, BothKindsLogInAndWrongPasswordsAreRefused) {
  Value version(Value::Map{});
  version.set("version", "3.9.1");
  const Value& server = Servers::get().server("kafka", version);
  if (const std::string why(server.string_or("skip", "")); !why.empty()) GTEST_SKIP() << why;
  for (const std::string mechanism : {"SCRAM-SHA-256", "SCRAM-SHA-512"}) {
    auto options = scram_options(server, mechanism);
    auto bus = kafka::open_kafka(options);
    ASSERT_TRUE(bus.ok());
    const std::string topic = "scram." + mechanism;
    auto consumer = (*bus)->subscribe({topic, "g", 10, 30'000}, milliseconds(60'000));
    ASSERT_TRUE(consumer.ok()) << consumer.error().to_string();
    auto receipt = publish_one(**bus, topic, mechanism);
    ASSERT_TRUE(receipt.ok()) << receipt.error().to_string();
    std::vector<Delivery> got;
    const std::int64_t end = system_clock().monotonic_us() + 60'000'000;
    while (got.empty() && system_clock().monotonic_us() < end) {
      got = take_and_wait(**consumer, 10, milliseconds(500)).value();
    }
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].message.payload, mechanism);
    EXPECT_TRUE(ack_and_wait(**consumer, {got[0].tag}).ok());
    options.broker.password = "wrong-password";
    const Error error = kafka_health_error(options);
    EXPECT_EQ(error.code(), Code::QueueRefused) << error.to_string();
    EXPECT_THAT(error.message(), testing::Not(HasSubstr("wrong-password")));
  }
}

TEST(KafkaScram, WhereTheLibraryIsTooOldForTheBrokerTheErrorSaysSo) {
  const auto options = scram_options(test::kafka_server(), "SCRAM-SHA-512");
  if (::rd_kafka_version() >= 0x02060100) {
    auto bus = kafka::open_kafka(options);
    auto well = check_health_and_wait(**bus, milliseconds(30'000));
    EXPECT_TRUE(well.ok()) << well.error().to_string();
    return;
  }
  const Error error = kafka_health_error(options);
  EXPECT_EQ(error.code(), Code::QueueRefused) << error.to_string();
  EXPECT_THAT(std::string(error.hint()), HasSubstr("librdkafka"));
}

TEST(KafkaErrors, CertificatesThatAreNotGood) {
  auto options = test::kafka_options(Variant::kTls);
  const auto gate = Servers::get().gate(options.broker.addresses.front(), "expired");
  options.broker.addresses = {gate.address};
  const Error error = kafka_health_error(options);
  EXPECT_EQ(error.code(), Code::QueueTlsFailed) << error.to_string();
  EXPECT_THAT(error.message(), HasSubstr("expired"));
  options = test::kafka_options(Variant::kTls);
  options.broker.ca_file = test::kafka_server().string_or("other_ca", "");
  EXPECT_EQ(kafka_health_error(options).code(), Code::QueueTlsFailed);
  options.broker.ca_file = "/no/such/file";
  EXPECT_EQ(kafka_health_error(options).code(), Code::QueueTlsFailed);
}

TEST(KafkaErrors, AnotherProtocolOnThePort) {
  auto options = test::kafka_options(Variant::kTls);
  options.broker.addresses = test::list_of(test::kafka_server(), "addresses");
  Error error = kafka_health_error(options);
  EXPECT_THAT(error.code(), AnyOf(Code::QueueProtocol, Code::QueueUnreachable)) << error.to_string();
  options = test::kafka_options(Variant::kPlain);
  options.broker.addresses = test::list_of(test::kafka_server(), "tls_addresses");
  error = kafka_health_error(options);
  EXPECT_THAT(error.code(), AnyOf(Code::QueueProtocol, Code::QueueUnreachable)) << error.to_string();
}

TEST(KafkaErrors, NobodyThere) {
  auto options = test::kafka_options(Variant::kPlain);
  options.broker.addresses = {"127.0.0.1:1"};
  options.broker.publish_timeout_ms = 300;
  options.broker.request_timeout_ms = 500;
  options.broker.connect_timeout_ms = 300;
  EXPECT_EQ(kafka_health_error(options, milliseconds(300)).code(), Code::QueueUnreachable);
  auto bus = kafka::open_kafka(options);
  auto receipt = publish_one(**bus, "t", "x");
  ASSERT_FALSE(receipt.ok());
  EXPECT_EQ(receipt.error().code(), Code::QueueUnreachable) << receipt.error().to_string();
  auto made = (*bus)->subscribe({"t", "g", 10, 1'000}, milliseconds(200));
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().code(), Code::QueueUnreachable);
}

TEST(KafkaErrors, AMessageThatTheTopicDoesNotTake) {
  auto options = test::kafka_options(Variant::kPlain);
  options.max_message_bytes = 2'000;
  auto narrow = kafka::open_kafka(options);
  ASSERT_TRUE(publish_one(**narrow, "errors.narrow", "small").ok());
  auto local = publish_one(**narrow, "errors.narrow", std::string(5'000, 'x'));
  ASSERT_FALSE(local.ok());
  EXPECT_EQ(local.error().code(), Code::PayloadTooLarge) << local.error().to_string();
  // A client that would send it is refused by the broker, and only that message is.
  auto wide = test::open_kafka(Variant::kPlain);
  auto refused = publish_one(**wide, "errors.narrow", std::string(5'000, 'x'));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::PayloadTooLarge) << refused.error().to_string();
  EXPECT_TRUE(publish_one(**wide, "errors.narrow", "small").ok());
}

TEST(KafkaErrors, TopicsWhoseNamesKafkaTakesForTheSame) {
  auto bus = test::open_kafka(Variant::kPlain);
  for (const char* topic : {"same.name", "same_name", "same-name"}) {
    auto consumer = (*bus)->subscribe({topic, "g", 10, 30'000}, milliseconds(20'000));
    ASSERT_TRUE(consumer.ok()) << consumer.error().to_string();
    auto receipt = publish_one(**bus, topic, topic);
    ASSERT_TRUE(receipt.ok()) << receipt.error().to_string();
    std::vector<Delivery> got;
    const std::int64_t end = system_clock().monotonic_us() + 60'000'000;
    while (got.empty() && system_clock().monotonic_us() < end) {
      got = take_and_wait(**consumer, 10, milliseconds(500)).value();
    }
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].message.payload, topic);
  }
}

// Two processes of one group share the partitions; what one had is the other's when it goes.
TEST(KafkaGroups, TwoHandlesShareAGroup) {
  auto one = test::open_kafka(Variant::kPlain);
  auto two = test::open_kafka(Variant::kPlain);
  const std::string topic = "groups.share";
  auto first = (*one)->subscribe({topic, "g", 1000, 30'000}, milliseconds(20'000));
  ASSERT_TRUE(first.ok()) << first.error().to_string();
  auto second = (*two)->subscribe({topic, "g", 1000, 30'000}, milliseconds(20'000));
  ASSERT_TRUE(second.ok()) << second.error().to_string();
  std::set<std::string> seen;
  std::size_t of_second = 0;
  const std::int64_t end = system_clock().monotonic_us() + 120'000'000;
  int published = 0;
  const auto read = [&](Consumer& consumer, std::size_t& count) {
    auto got = take_and_wait(consumer, 100, milliseconds(100));
    ASSERT_TRUE(got.ok()) << got.error().to_string();
    std::vector<DeliveryTag> tags;
    for (const Delivery& delivery : *got) {
      seen.insert(delivery.message.id);
      tags.push_back(delivery.tag);
    }
    count += tags.size();
    // What a rebalance takes away while it is out comes again at the other one.
    if (!tags.empty()) (void)ack_and_wait(consumer, tags);
  };
  std::size_t of_first = 0;
  while ((of_first == 0 || of_second == 0) && system_clock().monotonic_us() < end) {
    for (int i = 0; i < 20; ++i, ++published) {
      ASSERT_TRUE(publish_one(**one, topic, "x", "key-" + std::to_string(published % 10)).ok());
    }
    read(**first, of_first);
    read(**second, of_second);
  }
  EXPECT_GT(of_first, 0U);
  EXPECT_GT(of_second, 0U);
  first->reset();
  while (seen.size() < static_cast<std::size_t>(published) && system_clock().monotonic_us() < end) {
    read(**second, of_second);
  }
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(published));
}

kafka::KafkaOptions quick(kafka::KafkaOptions options) {
  options.broker.connect_timeout_ms = 2'000;
  options.broker.request_timeout_ms = 3'000;
  options.broker.publish_timeout_ms = 20'000;
  options.alive_ms = 3'000;
  return options;
}

TEST(KafkaFaults, ABadNetworkLosesNothing) {
  auto options = quick(test::kafka_options(Variant::kPlain));
  const auto gate = test::kafka_gate();
  options.broker.addresses = {gate.address};
  auto bus = kafka::open_kafka(options);
  ASSERT_TRUE(bus.ok());
  const LoadOptions wanted = test::load("faults.network");
  const int step = wanted.messages / 10;
  const LoadResult result = test::run_load(**bus, **bus, wanted, [&](const std::function<int()>& applied) {
    Servers& servers = Servers::get();
    int next = step;
    for (const char* kind : {"cut", "reset", "half_open"}) {
      test::wait_for_applied(applied, next);
      next = applied() + step;
      servers.fault(gate, kind);
      test::last(700);
      servers.fault(gate, "none");
    }
    test::wait_for_applied(applied, next);
    servers.fault(gate, "delay", "ms", 20);
    test::last(500);
    servers.fault(gate, "slow", "bytes_per_s", 200'000);
    test::last(500);
    servers.fault(gate, "none");
  });
  test::expect_whole(result, wanted);
}

TEST(KafkaFaults, AServerThatDiesAndHangsLosesNothing) {
  const Value& server = test::kafka_server();
  const auto options = quick(test::kafka_options(Variant::kPlain));
  auto publisher = kafka::open_kafka(options);
  auto consumer = kafka::open_kafka(options);
  const LoadOptions wanted = test::load("faults.server");
  const int step = wanted.messages / 6;
  const LoadResult result =
      test::run_load(**publisher, **consumer, wanted, [&](const std::function<int()>& applied) {
        Servers& servers = Servers::get();
        for (int i = 1; i <= 2; ++i) {
          test::wait_for_applied(applied, i * step);
          servers.kill(server);
          servers.restart(server);
        }
        test::wait_for_applied(applied, 3 * step);
        servers.pause(server);
        test::last(4'000);
        servers.resume(server);
      });
  test::expect_whole(result, wanted);
}

}  // namespace
}  // namespace ez::queue
