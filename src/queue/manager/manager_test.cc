#include "queue/manager/manager.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "queue/manager/inlet.h"
#include "queue/manager/testing.h"
#include "queue/wait_for.h"

namespace ez::queue {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLongEnough{15'000};

Message plain(std::string topic, std::string payload, std::string id = "", std::string key = "") {
  Message out;
  out.topic = std::move(topic);
  out.payload = std::move(payload);
  out.id = std::move(id);
  out.key = std::move(key);
  return out;
}

std::vector<Delivery> take_all(Consumer& consumer, std::size_t count) {
  std::vector<Delivery> all;
  const std::int64_t end = system_clock().monotonic_us() + kLongEnough.count() * 1000;
  while (all.size() < count && system_clock().monotonic_us() < end) {
    auto some = take_and_wait(consumer, count - all.size(), milliseconds(200));
    EXPECT_TRUE(some.ok()) << some.error().to_string();
    if (!some.ok()) break;
    for (Delivery& delivery : *some) {
      EXPECT_TRUE(ack_and_wait(consumer, {delivery.tag}).ok());
      all.push_back(std::move(delivery));
    }
  }
  EXPECT_EQ(all.size(), count);
  return all;
}

std::vector<std::string> texts(const std::vector<Delivery>& deliveries) {
  std::vector<std::string> out;
  for (const Delivery& one : deliveries) out.push_back(one.message.payload);
  return out;
}

void nothing_more(Consumer& consumer) {
  auto some = take_and_wait(consumer, 10, milliseconds(300));
  ASSERT_TRUE(some.ok());
  for (const Delivery& one : *some) ADD_FAILURE() << "unexpected: " << one.message.payload;
}

std::uint64_t sent_to(Manager& manager, const std::string& name) {
  for (const BackendStatus& one : manager.backends()) {
    if (one.name == name) return one.sent;
  }
  return 0;
}

bool eventually(const std::function<bool()>& good) {
  const std::int64_t end = system_clock().monotonic_us() + kLongEnough.count() * 1000;
  while (system_clock().monotonic_us() < end) {
    if (good()) return true;
    std::this_thread::yield();
  }
  return false;
}

class ManagerTest : public testing::Test {
 protected:
  ManagerTest() : world_(two_brokers()) {}
  Manager& manager() { return world_.manager(); }
  std::unique_ptr<Consumer> join(const std::string& pattern, const std::string& group = "g") {
    auto made = manager().subscribe({pattern, group, 1000, 30'000}, kLongEnough);
    EXPECT_TRUE(made.ok());
    return std::move(*made);
  }
  void publish(Message message) {
    const auto receipt = publish_and_wait(manager(), std::move(message));
    ASSERT_TRUE(receipt.ok()) << receipt.error().to_string();
  }
  // Until the broker brings what is published: a marker comes back from it.
  void served_by(const std::string& name, Consumer& consumer, const std::string& topic) {
    ASSERT_TRUE(world_.goes_to(topic, name));
    const auto own = [&] {
      for (const BackendStatus& one : manager().backends()) {
        if (one.name == name) return one.own;
      }
      return std::uint64_t{0};
    };
    const std::uint64_t before = own();
    ASSERT_TRUE(eventually([&] {
      publish(plain(topic, "marker"));
      EXPECT_EQ(texts(take_all(consumer, 1)), (std::vector<std::string>{"marker"}));
      return own() > before;
    }));
  }

  ManagerWorld world_;
};

TEST_F(ManagerTest, MessagesGoThroughThePrimary) {
  auto consumer = join("orders.#");
  served_by("redis", *consumer, "orders.new");
  const std::uint64_t before = sent_to(manager(), "redis");
  for (int i = 0; i < 20; ++i) publish(plain("orders.new", std::to_string(i), "", "k"));
  const auto got = take_all(*consumer, 20);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(got[static_cast<std::size_t>(i)].message.payload, std::to_string(i));
  EXPECT_TRUE(eventually([&] { return sent_to(manager(), "redis") >= before + 20; }));
  EXPECT_EQ(sent_to(manager(), "rabbit"), 0U);
  nothing_more(*consumer);
}

TEST_F(ManagerTest, ARouteOfTheEmbeddedQueueAsksNoBroker) {
  ASSERT_TRUE(world_.goes_to("orders.new", "redis"));
  EXPECT_EQ(manager().active("here.now"), kEmbedded);
  auto consumer = join("here.#");
  publish(plain("here.now", "a"));
  EXPECT_EQ(texts(take_all(*consumer, 1)), (std::vector<std::string>{"a"}));
  EXPECT_EQ(sent_to(manager(), "redis"), 0U);
}

TEST_F(ManagerTest, FallsBackAndReturnsInOrder) {
  auto consumer = join("orders.#");
  served_by("redis", *consumer, "orders.new");
  int next = 0;
  const auto some = [&] {
    for (int i = 0; i < 10; ++i) publish(plain("orders.new", std::to_string(next++), "", "k"));
  };
  some();
  world_.network("redis").set(Network::State::kCut);
  some();
  ASSERT_TRUE(world_.goes_to("orders.new", "rabbit"));
  some();
  world_.network("rabbit").set(Network::State::kHung);
  some();
  ASSERT_TRUE(world_.goes_to("orders.new", "embedded"));
  some();
  world_.network("rabbit").set(Network::State::kGood);
  ASSERT_TRUE(world_.goes_to("orders.new", "rabbit"));
  some();
  world_.network("redis").set(Network::State::kGood);
  ASSERT_TRUE(world_.goes_to("orders.new", "redis"));
  some();
  const auto got = take_all(*consumer, static_cast<std::size_t>(next));
  for (int i = 0; i < next; ++i)
    EXPECT_EQ(got[static_cast<std::size_t>(i)].message.payload, std::to_string(i));
  nothing_more(*consumer);
  // One after the other: each switch begins where the one before has ended.
  std::string at = "embedded";
  std::uint64_t epoch = 0;
  for (const QueueSwitch& one : manager().switches()) {
    EXPECT_GT(one.epoch, epoch);
    epoch = one.epoch;
    if (one.route != "#") continue;
    EXPECT_EQ(one.from, at);
    at = one.to;
    EXPECT_FALSE(one.why.empty());
  }
  EXPECT_EQ(at, "redis");
}

TEST_F(ManagerTest, APrimaryThatComesBackEmptyLosesNothing) {
  auto consumer = join("orders.#");
  served_by("redis", *consumer, "orders.new");
  consumer.reset();
  // Nobody takes: copies lie at the broker.
  for (int i = 0; i < 10; ++i) publish(plain("orders.new", std::to_string(i), "", "k"));
  world_.network("redis").set(Network::State::kCut);
  ASSERT_TRUE(world_.goes_to("orders.new", "rabbit"));
  for (int i = 10; i < 20; ++i) publish(plain("orders.new", std::to_string(i), "", "k"));
  world_.empty("redis");
  world_.network("redis").set(Network::State::kGood);
  ASSERT_TRUE(world_.goes_to("orders.new", "redis"));
  for (int i = 20; i < 30; ++i) publish(plain("orders.new", std::to_string(i), "", "k"));
  consumer = join("orders.#");
  const auto got = take_all(*consumer, 30);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(got[static_cast<std::size_t>(i)].message.payload, std::to_string(i));
  nothing_more(*consumer);
}

TEST_F(ManagerTest, ABrokerThatForgetsIsNotWaitedForLong) {
  auto consumer = join("orders.#");
  served_by("redis", *consumer, "orders.new");
  // The copies disappear at the broker, which is up all the time.
  auto thief = world_.broker("redis").subscribe({"orders.#", "g", 1000, 60'000}, kLongEnough);
  ASSERT_TRUE(thief.ok());
  for (int i = 0; i < 50; ++i) publish(plain("orders.new", std::to_string(i)));
  (void)take_and_wait(**thief, 100, milliseconds(50));
  const auto got = take_all(*consumer, 50);
  std::set<std::string> all;
  for (const Delivery& one : got) all.insert(one.message.payload);
  EXPECT_EQ(all.size(), 50U);
}

TEST_F(ManagerTest, AGroupThatIsDroppedWhileABrokerIsAwayIsDroppedThereToo) {
  const auto at_redis = [&](const char* group) {
    return world_.broker("redis").has_subscription("orders.#", group);
  };
  const auto drop = [&](const char* group) {
    return wait_for<bool>([&](auto done) { manager().drop_group("orders.#", group, std::move(done)); });
  };
  for (const char* group : {"one", "two", "back"}) {
    auto consumer = join("orders.#", group);
    served_by("redis", *consumer, "orders.new");
    EXPECT_TRUE(at_redis(group));
  }
  ASSERT_TRUE(drop("one").ok());
  EXPECT_TRUE(eventually([&] { return !at_redis("one"); }));

  world_.network("redis").set(Network::State::kCut);
  ASSERT_TRUE(world_.goes_to("orders.new", "rabbit"));
  ASSERT_TRUE(drop("two").ok());
  ASSERT_TRUE(drop("back").ok());
  auto again = join("orders.#", "back");
  EXPECT_TRUE(at_redis("two"));
  again.reset();
  world_.restart();
  EXPECT_TRUE(eventually([&] { return !at_redis("two"); }));
  again = join("orders.#", "back");
  served_by("redis", *again, "orders.new");
  EXPECT_TRUE(at_redis("back"));
}

TEST_F(ManagerTest, WhatOthersPublishComesInOnce) {
  auto consumer = join("orders.#");
  auto tail = manager().subscribe({"orders.#", "", 100, 30'000}, kLongEnough);
  ASSERT_TRUE(tail.ok());
  served_by("redis", *consumer, "orders.new");
  // Until the stranger's message, all that it hears is ours.
  const auto heard = [&](const std::string& text) {
    return eventually([&] { return texts(take_all(**tail, 1)) == std::vector<std::string>{text}; });
  };
  Bus& redis = world_.broker("redis");
  ASSERT_TRUE(publish_and_wait(redis, plain("orders.eu", "from outside", "o-1")).ok());
  auto got = take_all(*consumer, 1);
  EXPECT_EQ(got[0].message.payload, "from outside");
  EXPECT_EQ(got[0].message.id, "o-1");
  EXPECT_TRUE(heard("from outside"));
  nothing_more(*consumer);
  nothing_more(**tail);
  // Published again by ez, or by somebody at the other broker: known.
  const auto again = publish_and_wait(manager(), plain("orders.eu", "from outside", "o-1"));
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->duplicate);
  ASSERT_TRUE(publish_and_wait(world_.broker("rabbit"), plain("orders.eu", "from outside", "o-1")).ok());
  nothing_more(*consumer);
}

TEST_F(ManagerTest, MessagesThatNobodyHereMadeAreTamed) {
  auto consumer = join("orders.#");
  served_by("redis", *consumer, "orders.new");
  Message message = plain("orders.eu", "x", "o-2");
  message.headers = {{std::string(kJournalHeader), "another/1.2"}, {"kept", "yes"}};
  ASSERT_TRUE(publish_and_wait(world_.broker("redis"), message).ok());
  const auto got = take_all(*consumer, 1);
  EXPECT_EQ(got[0].message.headers, (Headers{{"kept", "yes"}}));
}

TEST_F(ManagerTest, ARestartLosesAndRepeatsNothing) {
  {
    auto consumer = join("orders.#");
    served_by("redis", *consumer, "orders.new");
    for (int i = 0; i < 30; ++i)
      publish(plain("orders.new", std::to_string(i), "r" + std::to_string(i), "k"));
    const auto got = take_all(*consumer, 10);
    EXPECT_EQ(got.back().message.payload, "9");
  }
  world_.restart();
  auto consumer = join("orders.#");
  const auto got = take_all(*consumer, 20);
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(got[i].message.payload, std::to_string(i + 10));
  nothing_more(*consumer);
  const auto again = publish_and_wait(manager(), plain("orders.new", "0", "r0"));
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->duplicate);
  EXPECT_FALSE(manager().switches().empty()) << "switches are kept over restarts";
}

TEST_F(ManagerTest, DirectConsumersGetTheirMessagesFromTheBroker) {
  ASSERT_TRUE(world_.goes_to("direct.work", "redis"));
  auto at_redis = world_.broker("redis").subscribe({"direct.#", "outside", 1000, 30'000}, kLongEnough);
  auto at_rabbit = world_.broker("rabbit").subscribe({"direct.#", "outside", 1000, 30'000}, kLongEnough);
  ASSERT_TRUE(at_redis.ok() && at_rabbit.ok());
  publish(plain("direct.work", "1", "d1", "k"));
  EXPECT_EQ(texts(take_all(**at_redis, 1)), (std::vector<std::string>{"1"}));
  world_.network("redis").set(Network::State::kCut);
  world_.network("rabbit").set(Network::State::kCut);
  ASSERT_TRUE(world_.goes_to("direct.work", "embedded"));
  publish(plain("direct.work", "2", "d2", "k"));
  publish(plain("direct.work", "3", "d3", "k"));
  const auto waiting = [&] { return manager().routes().at(1).waiting; };
  EXPECT_EQ(waiting(), 2U);
  world_.network("rabbit").set(Network::State::kGood);
  EXPECT_EQ(texts(take_all(**at_rabbit, 2)), (std::vector<std::string>{"2", "3"}));
  world_.network("redis").set(Network::State::kGood);
  ASSERT_TRUE(world_.goes_to("direct.work", "redis"));
  publish(plain("direct.work", "4", "d4", "k"));
  EXPECT_EQ(texts(take_all(**at_redis, 1)), (std::vector<std::string>{"4"}));
  EXPECT_TRUE(eventually([&] { return waiting() == 0; }));
  nothing_more(**at_redis);
  nothing_more(**at_rabbit);
}

TEST_F(ManagerTest, PeekAndPurgeSeeWhatLiesAtTheBroker) {
  ASSERT_TRUE(world_.goes_to("orders.new", "redis"));
  publish(plain("orders.new", "here"));
  ASSERT_TRUE(eventually([&] { return sent_to(manager(), "redis") == 1; }));
  ASSERT_TRUE(publish_and_wait(world_.broker("redis"), plain("orders.new", "there")).ok());
  ASSERT_TRUE(publish_and_wait(world_.broker("redis"), plain("orders.far", "far")).ok());
  const auto both = peek_and_wait(manager(), "orders.new", 10);
  ASSERT_TRUE(both.ok());
  EXPECT_EQ(texts(*both), (std::vector<std::string>{"here", "there"}));
  const auto far = peek_and_wait(manager(), "orders.far", 10);
  ASSERT_TRUE(far.ok());
  EXPECT_EQ(texts(*far), (std::vector<std::string>{"far"}));
  const auto at = manager().at_brokers("orders.#", milliseconds(1'000));
  ASSERT_EQ(at.size(), 2U);
  EXPECT_EQ(at[0].topic, "orders.far");
  EXPECT_EQ(at[1].ready, 2U);
  EXPECT_TRUE(purge_and_wait(manager(), "orders.new").ok());
  EXPECT_TRUE(purge_and_wait(manager(), "orders.far").ok());
  const auto none = peek_and_wait(manager(), "orders.new", 10);
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->empty());
  const auto unknown = purge_and_wait(manager(), "orders.unknown");
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code(), Code::TopicNotFound);
}

}  // namespace
}  // namespace ez::queue
