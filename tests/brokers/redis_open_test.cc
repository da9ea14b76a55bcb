// Batches that go past Lua (queue/redis/scripts.h): they do what the scripts do, and nothing less.
#include <gmock/gmock.h>

#include <map>
#include <set>

#include "brokers.h"
#include "queue/redis/connection.h"
#include "queue/redis/entry.h"
#include "queue/redis/scripts.h"

namespace ez::queue {
namespace {

using std::chrono::milliseconds;
using test::Variant;

std::unique_ptr<Bus> open_bus() {
  auto bus = test::open_redis(Variant::kPlain);
  EXPECT_TRUE(bus.ok());
  return bus.ok() ? std::move(*bus) : nullptr;
}

std::unique_ptr<Consumer> reader_of(Bus& bus, const std::string& topic, std::size_t prefetch = 10'000,
                                    const std::string& group = "readers") {
  auto made = bus.subscribe({topic, group, prefetch, 30'000}, milliseconds(10'000));
  EXPECT_TRUE(made.ok());
  return made.ok() ? std::move(*made) : nullptr;
}

std::vector<Message> messages(const std::string& topic, int from, int to, bool priorities = false) {
  std::vector<Message> out;
  for (int i = from; i < to; ++i) {
    Message& message = out.emplace_back();
    message.topic = topic;
    message.id = "m-" + std::to_string(i);
    message.payload = std::string("\0\r\n", 3) + std::to_string(i);
    message.headers = {{"number", std::to_string(i)}};
    message.ttl_ms = 3'600'000;
    if (priorities) message.priority = static_cast<Priority>(i % kPriorities);
  }
  return out;
}

// Takes and acknowledges so many, and sees that nothing else comes. In the order of their coming.
std::vector<Delivery> take_all(Consumer& consumer, std::size_t count, std::size_t at_once = 500) {
  std::vector<Delivery> out;
  bool more = true;
  while (more) {
    auto got = take_and_wait(consumer, at_once, milliseconds(out.size() < count ? 10'000 : 300));
    EXPECT_TRUE(got.ok());
    more = got.ok() && !got->empty();
    if (!more) break;
    std::vector<DeliveryTag> tags;
    for (Delivery& delivery : *got) {
      tags.push_back(delivery.tag);
      out.push_back(std::move(delivery));
    }
    EXPECT_TRUE(ack_and_wait(consumer, std::move(tags)).ok());
  }
  EXPECT_EQ(out.size(), count);
  return out;
}

// How often the server has run the command.
int calls_of(const std::string& command) {
  const std::string all = test::redis_says(test::redis_server(Variant::kPlain), 0, {"INFO", "commandstats"});
  const std::string name = "cmdstat_" + command + ":calls=";
  const std::size_t at = all.find(name);
  return at == std::string::npos ? 0 : std::atoi(all.c_str() + at + name.size());
}

int duplicates_in(const std::vector<Result<Receipt>>& receipts) {
  int out = 0;
  for (const auto& receipt : receipts) {
    EXPECT_TRUE(receipt.ok()) << receipt.error().to_string();
    out += receipt.ok() && receipt->duplicate ? 1 : 0;
  }
  return out;
}

void expect_nothing_open(const std::string& topic) {
  const std::string keys =
      test::redis_says(test::redis_server(Variant::kPlain), 0, {"KEYS", "ez:{" + topic + "}:open:*"});
  EXPECT_EQ(keys, "\n") << "nothing stays open";
}

TEST(RedisOpen, BatchesGoPastLuaAndComeBackAsTheyWere) {
  const std::string topic = "open.whole";
  auto bus = open_bus();
  auto consumer = reader_of(*bus, topic);
  ASSERT_EQ(duplicates_in(publish_and_wait(*bus, messages(topic, 0, 1))), 0);
  take_all(*consumer, 1);
  // The connections are there now, each with a transaction of its own.
  const int writes = calls_of("exec");
  ASSERT_EQ(duplicates_in(publish_and_wait(*bus, messages(topic, 1, 5'001))), 0);
  const int reads = calls_of("exec");
  EXPECT_GE(reads - writes, 10) << "5000 messages are ten batches of 500";
  const auto got = take_all(*consumer, 5'000);
  EXPECT_GT(calls_of("exec"), reads) << "and some are read so";
  std::set<std::string> ids;
  for (const Delivery& delivery : got) {
    const Message& message = delivery.message;
    ids.insert(message.id);
    const std::string number = message.id.substr(2);
    ASSERT_EQ(message.payload, std::string("\0\r\n", 3) + number);
    ASSERT_EQ(message.headers.size(), 1U);
    EXPECT_EQ(message.headers[0].second, number);
    EXPECT_EQ(message.ttl_ms, 3'600'000);
    EXPECT_EQ(delivery.attempt, 1U);
  }
  EXPECT_EQ(ids.size(), 5'000U);
  expect_nothing_open(topic);
}

TEST(RedisOpen, KnownIdsAreKnown) {
  const std::string topic = "open.known";
  auto bus = open_bus();
  auto consumer = reader_of(*bus, topic);
  ASSERT_EQ(duplicates_in(publish_and_wait(*bus, messages(topic, 0, 100))), 0);
  const auto again = publish_and_wait(*bus, messages(topic, 50, 150));
  EXPECT_EQ(duplicates_in(again), 50);
  for (std::size_t i = 0; i < again.size(); ++i) EXPECT_EQ(again[i]->duplicate, i < 50) << i;
  auto twice = messages(topic, 200, 250);
  for (Message& message : messages(topic, 200, 250)) twice.push_back(std::move(message));
  EXPECT_EQ(duplicates_in(publish_and_wait(*bus, std::move(twice))), 50);
  take_all(*consumer, 200);
}

// The window of ids turns over in the middle of it.
TEST(RedisOpen, IdsAreForgottenInTheirOrder) {
  const std::string topic = "open.window";
  auto options = test::redis_options(Variant::kPlain);
  options.duplicate_ids = 100;
  auto bus = redis::open_redis(options);
  ASSERT_TRUE(bus.ok());
  auto consumer = reader_of(**bus, topic);
  for (int i = 0; i < 1'000; i += 50) {
    EXPECT_EQ(duplicates_in(publish_and_wait(**bus, messages(topic, i, i + 50))), 0);
    EXPECT_EQ(duplicates_in(publish_and_wait(**bus, messages(topic, std::max(0, i - 50), i + 50))),
              i > 0 ? 100 : 50);
  }
  EXPECT_EQ(duplicates_in(publish_and_wait(**bus, messages(topic, 0, 50))), 0) << "long forgotten";
  take_all(*consumer, 1'050);
}

TEST(RedisOpen, EveryGroupGetsABatch) {
  const std::string topic = "open.groups";
  auto bus = open_bus();
  auto one = reader_of(*bus, topic, 10'000, "one");
  auto two = reader_of(*bus, topic, 10'000, "two");
  ASSERT_EQ(duplicates_in(publish_and_wait(*bus, messages(topic, 0, 600))), 0);
  take_all(*one, 600);
  take_all(*two, 600);
}

TEST(RedisOpen, AFullTopicRefusesABatch) {
  const std::string topic = "open.full";
  auto options = test::redis_options(Variant::kPlain);
  options.max_messages = 100;
  auto bus = redis::open_redis(options);
  ASSERT_TRUE(bus.ok());
  auto consumer = reader_of(**bus, topic, 10);
  ASSERT_EQ(duplicates_in(publish_and_wait(**bus, messages(topic, 0, 100))), 0);
  ASSERT_EQ(duplicates_in(publish_and_wait(**bus, messages(topic, 0, 100))), 100) << "what has made it full";
  for (const auto& refused : publish_and_wait(**bus, messages(topic, 100, 150))) {
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code(), Code::QueueFull);
  }
  take_all(*consumer, 100);
  ASSERT_EQ(duplicates_in(publish_and_wait(**bus, messages(topic, 100, 150))), 0)
      << "refused, so not remembered";
  take_all(*consumer, 50);
}

TEST(RedisOpen, UrgentOnesAndThoseWithKeysDoNotWaitForALongLane) {
  const std::string topic = "open.urgent";
  auto bus = open_bus();
  auto consumer = reader_of(*bus, topic, 200);
  ASSERT_EQ(duplicates_in(publish_and_wait(*bus, messages(topic, 0, 5'000))), 0);
  std::size_t taken = 0;
  const auto take = [&] {
    auto got = take_and_wait(*consumer, 100, milliseconds(10'000));
    EXPECT_TRUE(got.ok());
    std::vector<DeliveryTag> tags;
    for (const Delivery& delivery : *got) tags.push_back(delivery.tag);
    EXPECT_TRUE(ack_and_wait(*consumer, std::move(tags)).ok());
    taken += got->size();
    return std::move(*got);
  };
  // So the lane is one that is read past Lua.
  while (taken < 1'000) take();
  auto late = messages(topic, 5'000, 5'002);
  late[0].priority = Priority::kCritical;
  late[1].key = "k";
  ASSERT_EQ(duplicates_in(publish_and_wait(*bus, std::move(late))), 0);
  const std::size_t before = taken;
  std::set<std::string> seen;
  while (seen.size() < 2 && taken < 5'002) {
    for (const Delivery& delivery : take()) {
      if (delivery.message.id == "m-5000" || delivery.message.id == "m-5001")
        seen.insert(delivery.message.id);
    }
  }
  EXPECT_EQ(seen.size(), 2U);
  EXPECT_LT(taken - before, 1'500U) << "what had been fetched comes before them, not the rest of the lane";
}

TEST(RedisOpen, ABatchOfAllPriorities) {
  const std::string topic = "open.priorities";
  auto bus = open_bus();
  auto consumer = reader_of(*bus, topic);
  ASSERT_EQ(duplicates_in(publish_and_wait(*bus, messages(topic, 0, 1'000, true))), 0);
  for (const Delivery& delivery : take_all(*consumer, 1'000)) {
    const int number = std::atoi(delivery.message.id.c_str() + 2);
    EXPECT_EQ(static_cast<int>(delivery.message.priority), number % static_cast<int>(kPriorities))
        << delivery.message.id;
  }
  expect_nothing_open(topic);
}

// Its batches are written, but nobody can be woken: an error for the publisher, and whole streams for all
// others.
TEST(RedisOpen, AUserWithoutTheChannel) {
  const std::string topic = "open.mute";
  const Value& server = test::redis_server(Variant::kPlain);
  ASSERT_THAT(
      test::redis_says(server, 0,
                       {"ACL", "SETUSER", "mute", "on", ">mute-secret", "~*", "resetchannels", "+@all"}),
      testing::HasSubstr("OK"));
  auto bus = open_bus();
  auto consumer = reader_of(*bus, topic);
  ASSERT_EQ(duplicates_in(publish_and_wait(*bus, messages(topic, 0, 50, true))), 0);
  auto options = test::redis_options(Variant::kPlain);
  options.broker.user = "mute";
  options.broker.password = "mute-secret";
  auto mute = redis::open_redis(options);
  ASSERT_TRUE(mute.ok());
  for (const auto& refused : publish_and_wait(**mute, messages(topic, 50, 100, true))) {
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code(), Code::QueueRefused) << refused.error().to_string();
  }
  expect_nothing_open(topic);
  ASSERT_EQ(duplicates_in(publish_and_wait(*bus, messages(topic, 100, 150, true))), 0);
  take_all(*consumer, 150);
}

// A stream that stayed under the other name (transactions were forbidden in the middle of one) is found
// again.
TEST(RedisOpen, AStreamThatStayedOpenIsFoundAgain) {
  const std::string topic = "open.stayed";
  const Value& server = test::redis_server(Variant::kPlain);
  {
    auto bus = open_bus();
    auto consumer = reader_of(*bus, topic, 1);
    ASSERT_EQ(duplicates_in(publish_and_wait(*bus, messages(topic, 0, 50))), 0);
  }
  const std::string base = "ez:{" + topic + "}:";
  ASSERT_THAT(test::redis_says(server, 0, {"RENAME", base + "0:2", base + "open:2"}),
              testing::HasSubstr("OK"));
  auto bus = open_bus();
  ASSERT_EQ(duplicates_in(publish_and_wait(*bus, messages(topic, 50, 100))), 0);
  expect_nothing_open(topic);
  auto consumer = reader_of(*bus, topic);
  take_all(*consumer, 100);
}

// The publish script takes no batch of a session before the one that precedes it, whatever refused that one.
TEST(RedisOpen, ABatchDoesNotPassTheOneBeforeIt) {
  const std::string topic = "open.turns";
  const auto options = test::redis_options(Variant::kPlain);
  auto bus = open_bus();
  auto consumer = reader_of(*bus, topic);
  auto address = broker::parse_address(options.broker.addresses.front());
  ASSERT_TRUE(address.ok());
  auto other = redis::Connection::open(options.broker, *address);
  ASSERT_TRUE(other.ok());
  ASSERT_EQ(duplicates_in(publish_and_wait(*bus, messages(topic, 0, 1))), 0);  // makes the topic
  const std::string base = "ez:{" + topic + "}:";
  const auto publish = [&](const char* turn, int number, const char* limit = "1000") {
    std::vector<std::string> numbers;
    numbers.reserve(redis::kNumbers);
    redis::Words words{"EVAL", redis::kPublishScript, "1", base, "1000", limit, "session", turn};
    const auto batch = messages(topic, number, number + 1);
    redis::append_message(batch.front(), 0, numbers, words);
    auto answer = (*other)->call(words);
    EXPECT_TRUE(answer.ok());
    return answer.ok() ? answer->text : "";
  };
  EXPECT_EQ(publish("1", 1), "1");
  EXPECT_THAT(publish("3", 3), testing::HasSubstr("OUTOFTURN"));
  EXPECT_EQ(publish("2", 2), "1");
  EXPECT_EQ(publish("3", 3), "1");
  EXPECT_EQ(publish("0", 4), "1") << "this one has no order to keep";
  EXPECT_THAT(publish("4", 5, "1"), testing::HasSubstr("FULL"));
  EXPECT_EQ(publish("5", 6), "1") << "what a full topic refused is its callers' matter";
  take_all(*consumer, 6);
}

// What could not be written is not remembered, by the script and past Lua.
TEST(RedisOpen, AUserWhoMayNotAppend) {
  const std::string topic = "open.readonly";
  const Value& server = test::redis_server(Variant::kPlain);
  ASSERT_THAT(test::redis_says(
                  server, 0, {"ACL", "SETUSER", "poor", "on", ">poor-secret", "~*", "&*", "+@all", "-xadd"}),
              testing::HasSubstr("OK"));
  auto bus = open_bus();
  auto consumer = reader_of(*bus, topic);
  ASSERT_EQ(duplicates_in(publish_and_wait(*bus, messages(topic, 0, 1))), 0);  // makes the topic
  auto options = test::redis_options(Variant::kPlain);
  options.broker.user = "poor";
  options.broker.password = "poor-secret";
  options.broker.publish_timeout_ms = 1'000;
  auto poor = redis::open_redis(options);
  ASSERT_TRUE(poor.ok());
  for (const int to : {2, 101}) {
    for (const auto& refused : publish_and_wait(**poor, messages(topic, 1, to))) {
      ASSERT_FALSE(refused.ok());
      EXPECT_EQ(refused.error().code(), Code::QueueRefused) << refused.error().to_string();
    }
  }
  ASSERT_EQ(duplicates_in(publish_and_wait(*bus, messages(topic, 1, 101))), 0) << "nothing of it was known";
  take_all(*consumer, 101);
}

// A program of somebody's own that blocks on the stream: it is there under its name whenever anybody looks.
TEST(RedisOpen, WhoeverBlocksOnTheStreamIsWoken) {
  const std::string topic = "open.blocking";
  const auto options = test::redis_options(Variant::kPlain);
  auto bus = open_bus();
  auto consumer = reader_of(*bus, topic);
  ASSERT_EQ(duplicates_in(publish_and_wait(*bus, messages(topic, 0, 1))), 0);  // makes the topic
  const std::string stream = "ez:{" + topic + "}:0:2";
  auto address = broker::parse_address(options.broker.addresses.front());
  ASSERT_TRUE(address.ok());
  auto other = redis::Connection::open(options.broker, *address);
  ASSERT_TRUE(other.ok());
  ASSERT_TRUE((*other)->ask({"XGROUP", "CREATE", stream, "mine", "$"}).ok());
  int got = 0;
  for (int from = 1; from < 2'001; from += 100) {
    (*other)->append({"XREADGROUP", "GROUP", "mine", "me", "BLOCK", "4000", "STREAMS", stream, ">"});
    ASSERT_TRUE((*other)->flush().ok());
    ASSERT_EQ(duplicates_in(publish_and_wait(*bus, messages(topic, from, from + 100))), 0);
    auto answer = (*other)->receive();
    ASSERT_TRUE(answer.ok()) << answer.error().to_string();
    ASSERT_FALSE(answer->is_error()) << answer->text;
    got += static_cast<int>(answer->at(0).at(1).list.size());
  }
  EXPECT_EQ(got, 2'000);
  take_all(*consumer, 2'001);
}

// Without the right to use transactions everything goes through the scripts.
TEST(RedisOpen, AUserWithoutTransactions) {
  const std::string topic = "open.without";
  const Value& server = test::redis_server(Variant::kPlain);
  ASSERT_THAT(
      test::redis_says(server, 0,
                       {"ACL", "SETUSER", "plain", "on", ">plain-secret", "~*", "&*", "+@all", "-multi"}),
      testing::HasSubstr("OK"));
  auto options = test::redis_options(Variant::kPlain);
  options.broker.user = "plain";
  options.broker.password = "plain-secret";
  auto bus = redis::open_redis(options);
  ASSERT_TRUE(bus.ok());
  auto consumer = reader_of(**bus, topic);
  ASSERT_EQ(duplicates_in(publish_and_wait(**bus, messages(topic, 0, 1'000))), 0);
  take_all(*consumer, 1'000);
}

}  // namespace
}  // namespace ez::queue
