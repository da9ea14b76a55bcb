// What can be said of the Redis backend without a server; tests/brokers has the rest.
#include <gtest/gtest.h>

#include "queue/redis/entry.h"
#include "queue/redis/nodes.h"
#include "queue/redis/redis_bus.h"

namespace ez::queue::redis {
namespace {

TEST(RedisTest, SlotsAreThoseOfTheClusterSpecification) {
  EXPECT_EQ(slot_of("123456789"), 0x31C3U % 16'384);  // the check value that the specification names
  EXPECT_EQ(slot_of(""), 0);
}

Reply text(std::string value) {
  Reply out;
  out.kind = Reply::Kind::kText;
  out.text = std::move(value);
  return out;
}

Reply number(std::int64_t value) {
  Reply out;
  out.kind = Reply::Kind::kNumber;
  out.number = value;
  return out;
}

Reply list(std::vector<Reply> members) {
  Reply out;
  out.kind = Reply::Kind::kList;
  out.list = std::move(members);
  return out;
}

TEST(RedisTest, AMessageComesBackFromItsFields) {
  Message message;
  message.id = "id-1";
  message.topic = "t";
  message.key = std::string("\0key\xff", 5);
  message.payload = std::string("a\0b", 3);
  message.headers = {{"one", "1"}, {"two", ""}};
  message.priority = Priority::kLow;
  message.delay_ms = 5;
  message.ttl_ms = 1'000;
  std::vector<std::string> numbers;
  numbers.reserve(64);
  Words words;
  append_message(message, 1'234, numbers, words);
  ASSERT_GT(words.size(), 5U);
  EXPECT_EQ(words[1], "5") << "messages with a key have a lane of their own";
  EXPECT_EQ(words[2], "5");
  EXPECT_EQ(words[3], "3");
  EXPECT_EQ(words[4], std::to_string(words.size() - 5));
  std::vector<Reply> fields;
  for (std::size_t i = 5; i < words.size(); ++i) fields.push_back(text(std::string(words[i])));
  Reply reply = list({number(5), text("77-3"), number(2), list(std::move(fields))});
  const auto entry = read_entry(reply, "t", 4);
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->message.id, message.id);
  EXPECT_EQ(entry->message.key, message.key);
  EXPECT_EQ(entry->message.payload, message.payload);
  EXPECT_EQ(entry->message.headers, message.headers);
  EXPECT_EQ(entry->message.priority, message.priority);
  EXPECT_EQ(entry->message.delay_ms, 5);
  EXPECT_EQ(entry->message.ttl_ms, 1'000);
  EXPECT_EQ(entry->published_ms, 1'234);
  EXPECT_EQ(entry->given_back, 2U);
  EXPECT_EQ(entry->place.source, 4U);
  EXPECT_EQ(entry_id(entry->place), "77-3");
}

TEST(RedisTest, WhatTheStreamSaysIsNotWritten) {
  Message message;
  message.id = "id-1";
  message.payload = "data";
  message.priority = Priority::kHigh;
  EXPECT_EQ(published_field(message, 5'000, 5'900), 0);
  EXPECT_EQ(published_field(message, 5'000, 6'100), 5'000)
      << "it has waited here: its id would say too late a time";
  message.ttl_ms = 1;
  EXPECT_EQ(published_field(message, 5'000, 5'000), 5'000) << "its end counts from that very moment";
  message.ttl_ms = 0;
  std::vector<std::string> numbers;
  Words words;
  append_fields(message, 0, numbers, words);
  EXPECT_EQ(words, (Words{"id", "id-1", "data", "data"}));
  Reply reply = list({text("5000-1"), list({text("id"), text("id-1"), text("data"), text("data")})});
  const auto entry = read_entry_of(1, reply, "t", 0);
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->published_ms, 5'000);
  EXPECT_EQ(entry->message.priority, Priority::kHigh);
  EXPECT_EQ(entry->place.lane, 1);
  Reply few = list({text("5000-1")});
  EXPECT_FALSE(read_entry_of(1, few, "t", 0).has_value());
}

TEST(RedisTest, StrangeEntriesAreReadAsFarAsTheyGo) {
  Reply good = list(
      {number(0), text("1-1"), number(0),
       list({text("data"), text("x"), text("priority"), text("9"), text("ttl"), text("soon"), text("odd")})});
  const auto entry = read_entry(good, "t", 0);
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->message.id, "1-1") << "its place is its id";
  EXPECT_EQ(entry->message.priority, Priority::kDeferred);
  EXPECT_EQ(entry->message.ttl_ms, 0);
  Reply bad = list({number(0), text("nonsense"), number(0), list({})});
  EXPECT_FALSE(read_entry(bad, "t", 0).has_value());
  Reply few = list({number(0)});
  EXPECT_FALSE(read_entry(few, "t", 0).has_value());
}

TEST(RedisTest, RefusalsHaveTheirMeaning) {
  EXPECT_EQ(answer_error("h", "WRONGPASS invalid username-password pair").code(), Code::QueueRefused);
  EXPECT_EQ(answer_error("h", "NOPERM no permissions").code(), Code::QueueRefused);
  EXPECT_EQ(
      answer_error("h", "ERR The user executing the script can't publish to the channel mentioned").code(),
      Code::QueueRefused);
  EXPECT_EQ(answer_error("h", "OOM command not allowed").code(), Code::QueueFull);
  EXPECT_EQ(answer_error("h", "LOADING Redis is loading the dataset").code(), Code::QueueUnreachable);
  EXPECT_EQ(answer_error("h", "READONLY You can't write against a read only replica.").code(),
            Code::QueueUnreachable);
  EXPECT_EQ(answer_error("h", "ERR unknown command 'XAUTOCLAIM'").code(), Code::QueueProtocol);
}

TEST(RedisTest, WrongOptionsAreRefused) {
  RedisOptions options;
  EXPECT_EQ(open_redis(options).error().code(), Code::InvalidArgument);
  for (const char* address : {"", "host", "host:", ":1", "host:0", "host:65536", "host:1x", "a:b:1"}) {
    options.broker.addresses = {address};
    EXPECT_EQ(open_redis(options).error().code(), Code::InvalidArgument) << address;
  }
  options.broker.addresses = {"[::1]:6379"};
  options.broker.prefix = "Not Good";
  EXPECT_EQ(open_redis(options).error().code(), Code::InvalidArgument);
  options.broker.prefix = "ez";
  options.mode = Mode::kSentinel;
  EXPECT_EQ(open_redis(options).error().code(), Code::InvalidArgument) << "no name of the primary";
}

}  // namespace
}  // namespace ez::queue::redis
