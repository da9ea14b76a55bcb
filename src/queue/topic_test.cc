#include "queue/topic.h"

#include <gtest/gtest.h>

#include <string>

#include "queue/message.h"

namespace ez::queue {
namespace {

TEST(Topic, NamesAreWordsJoinedByDots) {
  for (const char* good : {"a", "orders.new", "team-a/orders.new", "A_1-x.y.z"}) {
    EXPECT_TRUE(check_topic(good).ok()) << good;
    EXPECT_TRUE(check_pattern(good).ok()) << good;
  }
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "a b", "a/b/c", "/a", "a/", "é", "a.*", "#"}) {
    EXPECT_FALSE(check_topic(bad).ok()) << bad;
  }
  EXPECT_FALSE(check_topic(std::string(kMaxTopicBytes + 1, 'a')).ok());
  for (const char* bad : {"", "a.**", "a#", "*/a", "a.", "x/#/y"}) {
    EXPECT_FALSE(check_pattern(bad).ok()) << bad;
  }
}

TEST(Topic, AStarIsOneWordAndAHashAnyNumber) {
  EXPECT_TRUE(matches("orders.*", "orders.new"));
  EXPECT_FALSE(matches("orders.*", "orders"));
  EXPECT_FALSE(matches("orders.*", "orders.new.eu"));
  EXPECT_TRUE(matches("*.new", "orders.new"));
  EXPECT_TRUE(matches("orders.#", "orders"));
  EXPECT_TRUE(matches("orders.#", "orders.new.eu"));
  EXPECT_TRUE(matches("#.eu", "eu"));
  EXPECT_TRUE(matches("#.eu", "orders.new.eu"));
  EXPECT_FALSE(matches("#.eu", "orders.eu.new"));
  EXPECT_TRUE(matches("a.#.b.#.c", "a.x.b.b.y.c"));
  EXPECT_TRUE(matches("#", "a.b"));
  EXPECT_TRUE(matches("#.#", "a"));
  EXPECT_FALSE(matches("orders", "orders.new"));
}

TEST(Topic, PatternsStayInTheirNamespace) {
  EXPECT_TRUE(matches("team/#", "team/a.b"));
  EXPECT_FALSE(matches("#", "team/a"));
  EXPECT_FALSE(matches("team/#", "a"));
}

TEST(Topic, ManyHashesStayCheap) {
  std::string pattern = "#";
  std::string topic = "a";
  for (int i = 0; i < 90; ++i) {
    pattern += ".#";
    topic += ".a";
  }
  EXPECT_TRUE(matches(pattern, topic));
  EXPECT_FALSE(matches(pattern + ".b", topic));
}

TEST(Message, ChecksNameTheField) {
  Message message;
  message.topic = "t";
  EXPECT_TRUE(check_message(message).ok());
  message.headers = {{"a", "1"}, {"a", "2"}};
  EXPECT_FALSE(check_message(message).ok());
  message.headers = {{"a b", "1"}};
  EXPECT_FALSE(check_message(message).ok());
  message.headers = {{"a", std::string(kMaxHeaderBytes, 'x')}};
  EXPECT_EQ(check_message(message).error().code(), Code::PayloadTooLarge);
  message.headers.clear();
  message.delay_ms = -1;
  EXPECT_FALSE(check_message(message).ok());
  message.delay_ms = kMaxDelayMs + 1;
  EXPECT_FALSE(check_message(message).ok());
  message.delay_ms = 0;
  message.key = std::string(kMaxKeyBytes + 1, 'k');
  EXPECT_FALSE(check_message(message).ok());
}

TEST(Message, PrioritiesHaveNames) {
  EXPECT_EQ(parse_priority("critical"), Priority::kCritical);
  EXPECT_EQ(parse_priority("deferred"), Priority::kDeferred);
  EXPECT_EQ(parse_priority("urgent"), std::nullopt);
  EXPECT_EQ(to_text(Priority::kNormal), "normal");
}

}  // namespace
}  // namespace ez::queue
