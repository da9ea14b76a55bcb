// At real brokers: topics that are left to others (ReaderRule), whatever was subscribed before.
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <set>

#include "base/clock.h"
#include "base/random.h"
#include "brokers.h"
#include "queue/inventory.h"

namespace ez::queue {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kPatience{20'000};
using OpenBus = Result<std::unique_ptr<Bus>> (*)();

// Of prefixes of their own: rules hold for all that is there.
Result<std::unique_ptr<Bus>> redis_for_rules() {
  auto options = test::redis_options(test::Variant::kPlain);
  options.broker.prefix = "rules";
  return redis::open_redis(std::move(options));
}
Result<std::unique_ptr<Bus>> rabbitmq_for_rules() {
  auto options = test::rabbitmq_options(test::Variant::kPlain);
  options.broker.prefix = "rules";
  return rabbitmq::open_rabbitmq(std::move(options));
}
Result<std::unique_ptr<Bus>> kafka_for_rules() {
  auto options = test::kafka_options(test::Variant::kPlain);
  options.broker.prefix = "rules";
  return kafka::open_kafka(std::move(options));
}

class ReaderRules : public testing::TestWithParam<OpenBus> {
 protected:
  void SetUp() override {
    auto opened = GetParam()();
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
    bus_ = std::move(*opened);
    const std::string number = std::to_string(system_random().next() % 1'000'000'000);
    jobs_ = "jobs." + number;
    other_ = "other." + number;
    all_ = "#";
    group_ = "one" + number;
  }
  // The groups of an earlier run would be first.
  void TearDown() override {
    for (const std::string& group : {group_, group_ + "b"}) {
      (void)await_drop(all_, group);
    }
    (void)await_drop(jobs_, "outside");
  }
  bool await_drop(const std::string& pattern, const std::string& group) {
    std::promise<bool> dropped;
    bus_->drop_group(pattern, group,
                     [&](const Result<bool>& done) { dropped.set_value(done.ok() && *done); });
    return dropped.get_future().get();
  }
  std::unique_ptr<Consumer> subscribe(Bus& bus, const std::string& pattern, const std::string& group) {
    auto made = bus.subscribe({pattern, group, 1000, 60'000}, kPatience);
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : made.error().to_string());
    return made.ok() ? std::move(*made) : nullptr;
  }
  void publish(const std::string& topic, const std::string& id) {
    Message message;
    message.topic = topic;
    message.id = id;
    message.payload = id;
    const auto receipt = publish_and_wait(*bus_, std::move(message));
    EXPECT_TRUE(receipt.ok()) << receipt.error().to_string();
  }
  std::set<std::string> lying() {
    std::set<std::string> out;
    const Status looked = bus_->inventory()->look(jobs_, false, [&](Lying& one) -> Result<bool> {
      out.insert(one.message.id);
      return true;
    });
    EXPECT_TRUE(looked.ok()) << looked.error().to_string();
    return out;
  }
  // What comes until all of these have.
  static std::set<std::string> take_until(Consumer& consumer, const std::set<std::string>& wanted) {
    std::set<std::string> got;
    const std::int64_t end = system_clock().monotonic_us() + 60'000'000;
    while (!std::includes(got.begin(), got.end(), wanted.begin(), wanted.end()) &&
           system_clock().monotonic_us() < end) {
      auto some = take_and_wait(consumer, 100, milliseconds(500));
      if (!some.ok()) continue;
      for (const Delivery& one : *some) {
        got.insert(one.message.id);
        EXPECT_TRUE(ack_and_wait(consumer, {one.tag}).ok());
      }
    }
    return got;
  }

  std::unique_ptr<Bus> bus_;
  std::string jobs_, other_, all_, group_;
};

TEST_P(ReaderRules, TakeATopicFromWideGroupsAndGiveItBack) {
  publish(jobs_, "m1");
  // As an ez of before: the first one has queue 0 of the topic, the second one a queue of its own.
  subscribe(*bus_, all_, group_).reset();
  subscribe(*bus_, all_, group_ + "b").reset();
  bus_->set_reader_rules({{jobs_, ReaderRule::Who::kNobody, {}}});
  auto one = subscribe(*bus_, all_, group_);
  auto two = subscribe(*bus_, all_, group_ + "b");
  ASSERT_TRUE(one && two);
  publish(jobs_, "m2");
  publish(other_, "o1");
  EXPECT_EQ(take_until(*one, {"o1"}), std::set<std::string>{"o1"});
  EXPECT_EQ(take_until(*two, {"o1"}), std::set<std::string>{"o1"});
  // They wait in queue 0, for whoever speaks the broker. At Kafka that is a topic, which consumers read with
  // groups of their own; for the next group of this bus it begins where the rules came.
  const bool is_kafka = bus_->capabilities().backend == "kafka";
  const std::set<std::string> kept =
      is_kafka ? std::set<std::string>{"m2"} : std::set<std::string>{"m1", "m2"};
  EXPECT_EQ(lying(), kept);

  // A handle of somebody else has groups that follow no rules.
  auto outside = GetParam()();
  ASSERT_TRUE(outside.ok());
  {
    auto stranger = subscribe(**outside, jobs_, "outside");
    ASSERT_TRUE(stranger);
    EXPECT_EQ(take_until(*stranger, kept), kept);
  }
  EXPECT_TRUE(await_drop(jobs_, "outside"));

  bus_->set_reader_rules({});
  auto again = subscribe(*bus_, all_, group_ + "b");
  ASSERT_TRUE(again);
  publish(jobs_, "m3");
  EXPECT_TRUE(take_until(*one, {"m3"}).contains("m3"));
}

TEST_P(ReaderRules, AReaderAtWorkLetsGoOfATopicAndTakesItUpAgain) {
  bus_->set_reader_rules({});
  auto one = subscribe(*bus_, all_, group_);
  ASSERT_TRUE(one);
  publish(jobs_, "m0");
  EXPECT_TRUE(take_until(*one, {"m0"}).contains("m0"));
  bus_->set_reader_rules({{jobs_, ReaderRule::Who::kNobody, {}}});
  publish(jobs_, "m1");
  EXPECT_TRUE(lying().contains("m1"));
  bus_->set_reader_rules({});
  const bool is_kafka = bus_->capabilities().backend == "kafka";
  std::set<std::string> wanted;
  for (const char* id : {"m2", "m3", "m4", "m5"}) {
    publish(jobs_, id);
    wanted.insert(id);
  }
  if (!is_kafka) wanted.insert("m1");
  const auto got = take_until(*one, wanted);
  EXPECT_TRUE(std::includes(got.begin(), got.end(), wanted.begin(), wanted.end()));
}

TEST_P(ReaderRules, WhatIsLeftToOthersOrNamedExistsAtTheBroker) {
  bus_->set_reader_rules(
      {{jobs_, ReaderRule::Who::kNobody, {}}, {other_, ReaderRule::Who::kOne, group_ + "b"}});
  auto wide = subscribe(*bus_, all_, group_);
  auto made = bus_->subscribe({other_, group_ + "b", 100, 60'000, true}, kPatience);
  ASSERT_TRUE(wide && made.ok());
  const auto topics = bus_->inventory()->known_topics();
  ASSERT_TRUE(topics.ok());
  for (const std::string& topic : {jobs_, other_}) {
    EXPECT_NE(std::find(topics->begin(), topics->end(), topic), topics->end()) << topic;
  }
  publish(other_, "r1");
  EXPECT_EQ(take_until(**made, {"r1"}), std::set<std::string>{"r1"});
  publish("free." + group_, "f1");
  EXPECT_EQ(take_until(*wide, {"f1"}), std::set<std::string>{"f1"}) << "the reply is for its only reader";
  bus_->set_reader_rules({});
  made->reset();
  EXPECT_TRUE(await_drop(other_, group_ + "b"));
}

INSTANTIATE_TEST_SUITE_P(Redis, ReaderRules, testing::Values(redis_for_rules));
INSTANTIATE_TEST_SUITE_P(RabbitMq, ReaderRules, testing::Values(rabbitmq_for_rules));
INSTANTIATE_TEST_SUITE_P(Kafka, ReaderRules, testing::Values(kafka_for_rules));

}  // namespace
}  // namespace ez::queue
