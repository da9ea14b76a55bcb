// The Redis backend while its network and its server are hurt.
#include <gtest/gtest.h>

#include "base/clock.h"
#include "brokers.h"
#include "load.h"

namespace ez::queue {
namespace {

using std::chrono::milliseconds;
using test::last;
using test::LoadOptions;
using test::LoadResult;
using test::Servers;
using test::Variant;
using test::wait_for_applied;

redis::RedisOptions quick(redis::RedisOptions options) {
  options.broker.connect_timeout_ms = 1'000;
  options.broker.request_timeout_ms = 1'500;
  options.alive_ms = 2'000;
  return options;
}

// Messages with keys go through scripts, those without in transactions of their own: both are hurt.
LoadOptions some_load(const std::string& topic, bool keyed) {
  LoadOptions out = test::load(topic);
  out.keyed = keyed;
  return out;
}

void expect_that_a_bad_network_loses_nothing(const std::string& topic, bool keyed) {
  auto options = quick(test::redis_options(Variant::kTls));
  const auto gate = Servers::get().gate(options.broker.addresses.front());
  options.broker.addresses = {gate.address};
  auto bus = redis::open_redis(options);
  ASSERT_TRUE(bus.ok());
  const LoadOptions wanted = some_load(topic, keyed);
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

TEST(RedisFaults, ABadNetworkLosesNothing) {
  expect_that_a_bad_network_loses_nothing("faults.network", true);
}

TEST(RedisFaults, ABadNetworkLosesNoPlainMessage) {
  expect_that_a_bad_network_loses_nothing("faults.network.plain", false);
}

void expect_that_a_dying_server_loses_nothing(const std::string& topic, bool keyed) {
  const Value& server = test::redis_server(Variant::kPlain);
  auto options = quick(test::redis_options(Variant::kPlain));
  auto publisher = redis::open_redis(options);
  auto consumer = redis::open_redis(options);
  const LoadOptions wanted = some_load(topic, keyed);
  const int step = wanted.messages / 6;
  const LoadResult result =
      test::run_load(**publisher, **consumer, wanted, [&](const std::function<int()>& applied) {
        Servers& servers = Servers::get();
        for (int i = 1; i <= 2; ++i) {
          wait_for_applied(applied, i * step);
          servers.kill(server);
          servers.restart(server);
        }
        wait_for_applied(applied, 3 * step);
        servers.pause(server);
        last(2'500);
        servers.resume(server);
      });
  test::expect_whole(result, wanted);
}

TEST(RedisFaults, AServerThatDiesAndHangsLosesNothing) {
  expect_that_a_dying_server_loses_nothing("faults.server", true);
}

TEST(RedisFaults, AServerThatDiesAndHangsLosesNoPlainMessage) {
  expect_that_a_dying_server_loses_nothing("faults.server.plain", false);
}

TEST(RedisFaults, WorkGoesOnWithinFiveSecondsOfTheEnd) {
  const Value& server = test::redis_server(Variant::kPlain);
  auto bus = redis::open_redis(quick(test::redis_options(Variant::kPlain)));
  const auto publish = [&] {
    Message message;
    message.topic = "faults.return";
    return publish_and_wait(**bus, std::move(message)).ok();
  };
  ASSERT_TRUE(publish());
  Servers::get().kill(server);
  const std::int64_t fault = system_clock().monotonic_us();
  auto ill = check_health_and_wait(**bus, milliseconds(1'000));
  EXPECT_FALSE(ill.ok());
  EXPECT_LT(system_clock().monotonic_us() - fault, 5'000'000);
  Servers::get().restart(server);
  const std::int64_t healed = system_clock().monotonic_us();
  EXPECT_TRUE(publish());
  EXPECT_LT(system_clock().monotonic_us() - healed, 5'000'000);
}

// A consumer that is gone without a word (its process was stopped or killed) loses what it held to another.
TEST(RedisFaults, WhatADeadReaderHeldGoesToAnother) {
  auto options = quick(test::redis_options(Variant::kPlain));
  const auto gate = Servers::get().gate(options.broker.addresses.front());
  auto through = options;
  through.broker.addresses = {gate.address};
  auto dead = redis::open_redis(through);
  auto alive = redis::open_redis(options);
  auto first = (*dead)->subscribe({"faults.reader", "g", 10, 60'000}, milliseconds(5'000));
  ASSERT_TRUE(first.ok());
  for (const char* payload : {"1", "2"}) {
    Message message;
    message.topic = "faults.reader";
    message.key = "k";
    message.payload = payload;
    ASSERT_TRUE(publish_and_wait(**alive, std::move(message)).ok());
  }
  auto held = take_and_wait(**first, 1, milliseconds(5'000));
  ASSERT_TRUE(held.ok() && held->size() == 1);
  Servers::get().fault(gate, "half_open");
  auto second = (*alive)->subscribe({"faults.reader", "g", 10, 60'000}, milliseconds(5'000));
  ASSERT_TRUE(second.ok());
  std::vector<std::string> got;
  const std::int64_t end = system_clock().monotonic_us() + 10'000'000;
  while (got.size() < 2 && system_clock().monotonic_us() < end) {
    auto some = take_and_wait(**second, 5, milliseconds(500));
    ASSERT_TRUE(some.ok());
    for (const Delivery& delivery : *some) {
      got.push_back(delivery.message.payload);
      EXPECT_TRUE(ack_and_wait(**second, {delivery.tag}).ok());
    }
  }
  EXPECT_EQ(got, (std::vector<std::string>{"1", "2"}));
  Servers::get().fault(gate, "none");
  // The first one comes back and must not settle what is not its own any more.
  auto late = ack_and_wait(**first, {held->front().tag});
  EXPECT_FALSE(late.ok());
}

TEST(RedisFaults, AFailoverOfSentinelLosesNothingThatAReplicaHas) {
  const Value& server = test::redis_server(Variant::kSentinel);
  auto options = quick(test::redis_options(Variant::kSentinel));
  options.wait_replicas = 1;
  options.broker.publish_timeout_ms = 20'000;
  auto bus = redis::open_redis(options);
  LoadOptions wanted = test::load("faults.failover");
  wanted.messages /= 5;
  const LoadResult result = test::run_load(**bus, **bus, wanted, [&](const std::function<int()>& applied) {
    wait_for_applied(applied, wanted.messages / 4);
    Servers::get().kill(server, 0);
    last(2'500);
    // It comes back as a replica of the new primary.
    Servers::get().restart(server, 0);
  });
  test::expect_whole(result, wanted);
}

}  // namespace
}  // namespace ez::queue
