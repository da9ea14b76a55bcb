// What lies at a real broker, looked at and removed (queue/inventory.h).
#include "queue/inventory.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/clock.h"
#include "base/random.h"
#include "brokers.h"

namespace ez::queue {
namespace {

using Open = Result<std::unique_ptr<Bus>> (*)(test::Variant);

std::string fresh_topic() { return "lying." + std::to_string(system_random().next() % 1'000'000'000); }

std::vector<Lying> look_at(Bus& bus, const std::string& topic) {
  std::vector<Lying> out;
  const Status looked = bus.inventory()->look(topic, false, [&](Lying& lying) -> Result<bool> {
    out.push_back(lying);
    return true;  // without `removing` it means nothing
  });
  EXPECT_TRUE(looked.ok()) << looked.error().to_string();
  return out;
}

std::multiset<std::string> ids_of(const std::vector<Lying>& all) {
  std::multiset<std::string> out;
  for (const Lying& one : all) out.insert(one.message.id);
  return out;
}

Message lying_message(const std::string& topic, int number) {
  Message out;
  out.id = "m" + std::to_string(number);
  out.topic = topic;
  out.payload = "payload " + std::to_string(number);
  if (number % 2 == 0) out.key = "k" + std::to_string(number % 3);
  if (number % 5 == 0) out.priority = Priority::kHigh;
  if (number % 7 == 0) out.headers = {{"colour", "red"}, {"n", std::to_string(number)}};
  if (number % 11 == 0) out.ttl_ms = 3'600'000;
  return out;
}

class InventoryTest : public testing::TestWithParam<Open> {
 protected:
  void SetUp() override {
    auto opened = GetParam()(test::Variant::kPlain);
    if (!opened.ok()) GTEST_SKIP() << opened.error().message();
    bus_ = std::move(*opened);
    topic_ = fresh_topic();
  }
  std::unique_ptr<Bus> bus_;
  std::string topic_;
};

TEST_P(InventoryTest, ShowsAllThatLiesThereAndTakesNothing) {
  constexpr int kCount = 200;
  std::vector<Message> messages;
  for (int i = 1; i <= kCount; ++i) messages.push_back(lying_message(topic_, i));
  messages.push_back(lying_message(topic_, 500));
  messages.back().delay_ms = 3'600'000;
  for (const auto& receipt : publish_and_wait(*bus_, messages)) ASSERT_TRUE(receipt.ok());
  const std::int64_t now_ms = system_clock().now_ms();
  for (int round = 0; round < 2; ++round) {
    const std::vector<Lying> all = look_at(*bus_, topic_);
    ASSERT_EQ(all.size(), messages.size());
    std::map<std::string, int> newest;
    for (const Lying& one : all) {
      const int number = std::stoi(one.message.id.substr(1));
      const Message want = lying_message(topic_, number);
      EXPECT_EQ(one.message.payload, want.payload);
      EXPECT_EQ(one.message.key, want.key);
      EXPECT_EQ(one.message.priority, want.priority);
      EXPECT_EQ(one.message.headers, want.headers);
      EXPECT_EQ(one.message.ttl_ms, want.ttl_ms);
      EXPECT_EQ(one.message.topic, topic_);
      if (number == 500) {
        // RabbitMQ's queues of delays are a tenth off at most.
        EXPECT_NEAR(static_cast<double>(one.due_ms - now_ms), 3'600'000.0, 400'000.0);
        continue;
      }
      EXPECT_EQ(one.due_ms, 0);
      if (want.key.empty()) continue;
      EXPECT_LT(newest[want.key], number) << "the order of " << want.key;
      newest[want.key] = number;
    }
  }
  // It can still be consumed, all of it.
  auto consumer = bus_->subscribe({topic_, "g", 1000, 30'000}, std::chrono::milliseconds(20'000));
  ASSERT_TRUE(consumer.ok());
  std::set<std::string> taken;
  const std::int64_t end = system_clock().monotonic_us() + 30'000'000;
  while (taken.size() < kCount && system_clock().monotonic_us() < end) {
    auto some = take_and_wait(**consumer, 100, std::chrono::milliseconds(500));
    ASSERT_TRUE(some.ok());
    for (const Delivery& one : *some) {
      taken.insert(one.message.id);
      EXPECT_TRUE(ack_and_wait(**consumer, {one.tag}).ok());
    }
  }
  EXPECT_EQ(taken.size(), static_cast<std::size_t>(kCount));
}

TEST_P(InventoryTest, RemovesWhatItMayAndKeepsTheRest) {
  std::vector<Message> messages;
  for (int i = 1; i <= 60; ++i) {
    Message one = lying_message(topic_, i);
    one.key = "k";  // one partition of Kafka: what is kept is at its end
    messages.push_back(std::move(one));
  }
  messages.push_back(lying_message(topic_, 500));
  messages.back().delay_ms = 3'600'000;
  for (const auto& receipt : publish_and_wait(*bus_, messages)) ASSERT_TRUE(receipt.ok());
  const Status removed = bus_->inventory()->look(
      topic_, true, [](Lying& lying) -> Result<bool> { return lying.message.id != "m60"; });
  ASSERT_TRUE(removed.ok()) << removed.error().to_string();
  EXPECT_EQ(ids_of(look_at(*bus_, topic_)), std::multiset<std::string>{"m60"});
  // Removed ones may come back: Redis has forgotten their ids.
  ASSERT_TRUE(publish_and_wait(*bus_, messages.front()).ok());
  EXPECT_EQ(ids_of(look_at(*bus_, topic_)), (std::multiset<std::string>{"m1", "m60"}));
  EXPECT_TRUE(look_at(*bus_, "no.such.topic").empty());
  auto topics = bus_->inventory()->known_topics();
  ASSERT_TRUE(topics.ok());
  EXPECT_NE(std::find(topics->begin(), topics->end(), topic_), topics->end());
}

INSTANTIATE_TEST_SUITE_P(Redis, InventoryTest, testing::Values(test::open_redis));
INSTANTIATE_TEST_SUITE_P(RabbitMq, InventoryTest, testing::Values(test::open_rabbitmq));
INSTANTIATE_TEST_SUITE_P(Kafka, InventoryTest, testing::Values(test::open_kafka));

}  // namespace
}  // namespace ez::queue
