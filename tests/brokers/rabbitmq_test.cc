// The RabbitMQ backend when something is wrong, and while its network and its server are hurt.
#include <gmock/gmock.h>

#include <set>

#include "base/clock.h"
#include "base/random.h"
#include "brokers.h"
#include "load.h"
#include "queue/broker/registry.h"
#include "queue/rabbitmq/link.h"
#include "queue/rabbitmq/registry_log.h"

namespace ez::queue {
namespace {

using std::chrono::milliseconds;
using test::last;
using test::LoadOptions;
using test::LoadResult;
using test::Servers;
using test::Variant;
using test::wait_for_applied;
using testing::AnyOf;
using testing::HasSubstr;

Error health_error(rabbitmq::RabbitOptions options, milliseconds wait = milliseconds(6'000)) {
  auto bus = rabbitmq::open_rabbitmq(std::move(options));
  EXPECT_TRUE(bus.ok());
  auto taken = check_health_and_wait(**bus, wait);
  EXPECT_FALSE(taken.ok());
  return taken.ok() ? Error(Code::Internal, "it is well") : taken.error();
}

TEST(RabbitMqErrors, WrongCredentials) {
  auto options = test::rabbitmq_options(Variant::kPlain);
  options.broker.password = "wrong";
  const Error error = health_error(options);
  EXPECT_EQ(error.code(), Code::QueueRefused) << error.to_string();
  EXPECT_THAT(error.message(), HasSubstr("ACCESS_REFUSED"));
}

TEST(RabbitMqErrors, AUserWhoMayNot) {
  auto options = test::rabbitmq_options(Variant::kPlain);
  options.broker.user = "narrow";
  options.broker.password = "narrow-secret";
  EXPECT_EQ(health_error(options).code(), Code::QueueRefused);
  options = test::rabbitmq_options(Variant::kPlain);
  options.vhost = "/absent";
  EXPECT_EQ(health_error(options).code(), Code::QueueRefused);
}

TEST(RabbitMqErrors, CertificatesThatAreNotGood) {
  auto options = test::rabbitmq_options(Variant::kTls);
  const auto gate =
      Servers::get().gate(test::list_of(test::rabbitmq_server(), "addresses").front(), "expired");
  options.broker.addresses = {gate.address};
  const Error error = health_error(options);
  EXPECT_EQ(error.code(), Code::QueueTlsFailed) << error.to_string();
  EXPECT_THAT(error.message(), HasSubstr("expired"));
  options = test::rabbitmq_options(Variant::kTls);
  options.broker.ca_file = test::rabbitmq_server().string_or("other_ca", "");
  EXPECT_EQ(health_error(options).code(), Code::QueueTlsFailed);
  options.broker.ca_file = "/no/such/file";
  EXPECT_EQ(health_error(options).code(), Code::QueueTlsFailed);
}

TEST(RabbitMqErrors, AnotherProtocolOnThePort) {
  auto options = test::rabbitmq_options(Variant::kTls);
  options.broker.addresses = test::list_of(test::rabbitmq_server(), "addresses");
  Error error = health_error(options);
  EXPECT_THAT(error.code(), AnyOf(Code::QueueProtocol, Code::QueueUnreachable)) << error.to_string();
  options = test::rabbitmq_options(Variant::kPlain);
  options.broker.addresses = test::list_of(test::rabbitmq_server(), "tls_addresses");
  error = health_error(options);
  EXPECT_THAT(error.code(), AnyOf(Code::QueueProtocol, Code::QueueUnreachable)) << error.to_string();
}

TEST(RabbitMqErrors, NobodyThere) {
  auto options = test::rabbitmq_options(Variant::kPlain);
  options.broker.addresses = {"127.0.0.1:1"};
  options.broker.publish_timeout_ms = 300;
  EXPECT_EQ(health_error(options, milliseconds(300)).code(), Code::QueueUnreachable);
  auto bus = rabbitmq::open_rabbitmq(options);
  Message message;
  message.topic = "t";
  auto receipt = publish_and_wait(**bus, std::move(message));
  ASSERT_FALSE(receipt.ok());
  EXPECT_EQ(receipt.error().code(), Code::QueueUnreachable) << receipt.error().to_string();
}

rabbitmq::RabbitOptions quick(rabbitmq::RabbitOptions options) {
  options.broker.connect_timeout_ms = 2'000;
  options.broker.request_timeout_ms = 2'500;
  options.broker.publish_timeout_ms = 15'000;
  return options;
}

// Of somebody who speaks the broker and names no message: each is one of its own, whoever reads it.
TEST(RabbitMqStrangers, MessagesWithoutAnIdAreNotTakenForOneAnother) {
  const auto options = test::rabbitmq_options(Variant::kPlain);
  const std::string topic = "strangers." + std::to_string(system_random().next() % 1'000'000'000);
  std::set<std::string> ids;
  for (int connection = 0; connection < 2; ++connection) {
    auto bus = rabbitmq::open_rabbitmq(options);
    ASSERT_TRUE(bus.ok());
    auto consumer = (*bus)->subscribe({topic, "readers", 10, 30'000}, milliseconds(10'000));
    ASSERT_TRUE(consumer.ok()) << consumer.error().to_string();
    Message first;  // makes the topic
    first.topic = topic;
    ASSERT_TRUE(publish_and_wait(**bus, std::move(first)).ok());
    auto own = take_and_wait(**consumer, 1, milliseconds(30'000));
    ASSERT_TRUE(own.ok() && own->size() == 1);
    EXPECT_TRUE(ack_and_wait(**consumer, {own->front().tag}).ok());
    auto link = rabbitmq::Link::open(options, 20);
    ASSERT_TRUE(link.ok()) << link.error().to_string();
    ASSERT_TRUE((*link)->confirms().ok());
    ASSERT_TRUE((*link)->publish_text(options.broker.prefix + ".x", topic + "!2", "", "hello").ok());
    auto got = take_and_wait(**consumer, 1, milliseconds(30'000));
    ASSERT_TRUE(got.ok()) << got.error().to_string();
    ASSERT_EQ(got->size(), 1U);
    EXPECT_EQ(got->front().message.payload, "hello");
    ids.insert(got->front().message.id);
    EXPECT_TRUE(ack_and_wait(**consumer, {got->front().tag}).ok());
  }
  EXPECT_EQ(ids.size(), 2U);
  EXPECT_FALSE(ids.contains(""));
}

// Somebody has told of a topic and died before its queues were made.
TEST(RabbitMqReaders, MakeTheQueuesWhoseMakerHasDied) {
  const auto options = test::rabbitmq_options(Variant::kPlain);
  const std::string topic = "orphans." + std::to_string(system_random().next() % 1'000'000'000);
  auto bus = rabbitmq::open_rabbitmq(options);
  ASSERT_TRUE(bus.ok());
  auto consumer = (*bus)->subscribe({topic + ".#", "readers", 10, 30'000}, milliseconds(10'000));
  ASSERT_TRUE(consumer.ok()) << consumer.error().to_string();
  ASSERT_TRUE(rabbitmq::RegistryLog::append(options, broker::topic_event(topic + ".new")).ok());
  auto link = rabbitmq::Link::open(options, 20);
  ASSERT_TRUE(link.ok()) << link.error().to_string();
  std::vector<Delivery> got;
  const std::int64_t end = system_clock().monotonic_us() + 30'000'000;
  while (got.empty() && system_clock().monotonic_us() < end) {
    // Dropped by RabbitMQ as long as there is no queue.
    ASSERT_TRUE((*link)->publish_text(options.broker.prefix + ".x", topic + ".new!2", "m", "hello").ok());
    auto some = take_and_wait(**consumer, 1, milliseconds(200));
    ASSERT_TRUE(some.ok()) << some.error().to_string();
    got = std::move(*some);
  }
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got.front().message.payload, "hello");
}

// By somebody who tidies up at the broker: its messages are gone, but not its readers.
TEST(RabbitMqReaders, ReadAQueueAgainThatSomebodyHasDeleted) {
  const auto options = test::rabbitmq_options(Variant::kPlain);
  const std::string topic = "deleted." + std::to_string(system_random().next() % 1'000'000'000);
  auto bus = rabbitmq::open_rabbitmq(options);
  ASSERT_TRUE(bus.ok());
  auto consumer = (*bus)->subscribe({topic, "readers", 10, 30'000, true}, milliseconds(10'000));
  ASSERT_TRUE(consumer.ok()) << consumer.error().to_string();
  auto link = rabbitmq::Link::open(options, 20);
  ASSERT_TRUE(link.ok()) << link.error().to_string();
  const std::string& prefix = options.broker.prefix;
  for (const std::vector<int>& lanes : {std::vector<int>{2}, {0, 1, 2, 3, 4, 5}}) {
    for (const int lane : lanes) {
      const std::string queue = prefix + ".q." + topic + "!0." + std::to_string(lane);
      ASSERT_TRUE((*link)->delete_queue(queue).ok());
    }
    std::vector<Delivery> got;
    const std::int64_t end = system_clock().monotonic_us() + 30'000'000;
    while (got.empty() && system_clock().monotonic_us() < end) {
      ASSERT_TRUE((*link)->publish_text(prefix + ".x", topic + "!2", "m", "hello").ok());
      auto some = take_and_wait(**consumer, 10, milliseconds(200));
      ASSERT_TRUE(some.ok()) << some.error().to_string();
      got = std::move(*some);
    }
    ASSERT_FALSE(got.empty());
    std::vector<DeliveryTag> tags;
    for (const Delivery& one : got) tags.push_back(one.tag);
    EXPECT_TRUE(ack_and_wait(**consumer, std::move(tags)).ok());
  }
}

TEST(RabbitMqFaults, ABadNetworkLosesNothing) {
  auto options = quick(test::rabbitmq_options(Variant::kTls));
  const auto gate = Servers::get().gate(options.broker.addresses.front());
  options.broker.addresses = {gate.address};
  auto bus = rabbitmq::open_rabbitmq(options);
  ASSERT_TRUE(bus.ok());
  const LoadOptions wanted = test::load("faults.network");
  const int step = wanted.messages / 10;
  const LoadResult result = test::run_load(**bus, **bus, wanted, [&](const std::function<int()>& applied) {
    Servers& servers = Servers::get();
    int next = step;
    for (const char* kind : {"cut", "reset", "half_open"}) {
      wait_for_applied(applied, next);
      next = applied() + step;
      servers.fault(gate, kind);
      last(700);
      servers.fault(gate, "none");
    }
    wait_for_applied(applied, next);
    servers.fault(gate, "corrupt", "every", 5'000);
    last(500);
    servers.fault(gate, "delay", "ms", 20);
    last(500);
    servers.fault(gate, "slow", "bytes_per_s", 200'000);
    last(500);
    servers.fault(gate, "none");
  });
  test::expect_whole(result, wanted);
}

// With quorum queues, whose registry and messages have to come back after each kill.
TEST(RabbitMqFaults, AServerThatDiesAndHangsLosesNothing) {
  const Value& server = test::rabbitmq_server();
  auto options = quick(test::rabbitmq_options(Variant::kPlain));
  auto publisher = rabbitmq::open_rabbitmq(options);
  auto consumer = rabbitmq::open_rabbitmq(options);
  const LoadOptions wanted = test::load("faults.server");
  test::make_queues_first(**consumer, wanted.topic);
  const int step = wanted.messages / 6;
  const LoadResult result =
      test::run_load(**publisher, **consumer, wanted, [&](const std::function<int()>& applied) {
        Servers& servers = Servers::get();
        for (int i = 1; i <= 3; ++i) {
          wait_for_applied(applied, i * step);
          servers.kill(server);
          servers.restart(server);
        }
        wait_for_applied(applied, 4 * step);
        servers.pause(server);
        last(4'000);
        servers.resume(server);
      });
  test::expect_whole(result, wanted);
}

TEST(RabbitMqFaults, WorkGoesOnAfterTheEnd) {
  auto options = quick(test::rabbitmq_options(Variant::kPlain));
  const auto gate = Servers::get().gate(options.broker.addresses.front());
  options.broker.addresses = {gate.address};
  auto bus = rabbitmq::open_rabbitmq(options);
  const auto publish = [&] {
    Message message;
    message.topic = "faults.return";
    return publish_and_wait(**bus, std::move(message)).ok();
  };
  ASSERT_TRUE(publish());
  Servers::get().fault(gate, "cut");
  EXPECT_FALSE(check_health_and_wait(**bus, milliseconds(1'000)).ok());
  Servers::get().fault(gate, "none");
  const std::int64_t healed = system_clock().monotonic_us();
  EXPECT_TRUE(publish() || publish());  // the first may have an unknown outcome: its connection was cut
  std::printf("  again after %lld ms\n",
              static_cast<long long>((system_clock().monotonic_us() - healed) / 1000));
}

}  // namespace
}  // namespace ez::queue
