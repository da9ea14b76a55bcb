// The pure parts of the Kafka backend: what is settled beyond an offset, names, levels of delay.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "queue/kafka/names.h"
#include "queue/kafka/window.h"
#include "queue/open.h"

namespace ez::queue::kafka {
namespace {

TEST(KafkaWindow, CommitsTheFirstThatIsNotSettled) {
  Window window(10, "");
  for (std::int64_t offset = 10; offset < 14; ++offset) EXPECT_TRUE(window.fetched(offset));
  EXPECT_EQ(window.base(), 10);
  EXPECT_TRUE(window.settled(11));
  EXPECT_FALSE(window.settled(11)) << "twice";
  EXPECT_FALSE(window.settled(99)) << "never fetched";
  EXPECT_EQ(window.base(), 10);
  EXPECT_EQ(window.settled_ahead(), 1);
  EXPECT_EQ(window.span(), 4);
  EXPECT_TRUE(window.settled(10));
  EXPECT_EQ(window.base(), 12);
  EXPECT_TRUE(window.settled(13));
  EXPECT_TRUE(window.settled(12));
  EXPECT_EQ(window.base(), 14);
  EXPECT_EQ(window.text(), "");
}

TEST(KafkaWindow, WhatWasSettledDoesNotComeAgain) {
  Window before(0, "");
  for (std::int64_t offset = 0; offset < 6; ++offset) ASSERT_TRUE(before.fetched(offset));
  for (const std::int64_t offset : {1, 3, 5}) ASSERT_TRUE(before.settled(offset));
  Window after(before.base(), before.text());
  std::vector<std::int64_t> again;
  for (std::int64_t offset = 0; offset < 8; ++offset) {
    if (after.fetched(offset)) again.push_back(offset);
  }
  EXPECT_EQ(again, (std::vector<std::int64_t>{0, 2, 4, 6, 7}));
}

TEST(KafkaWindow, TextThatIsNotOursCountsAsNone) {
  for (const char* text : {"", "x", "ez1:", "ez1:***", "ez1:AAA"}) {
    Window window(5, text);
    EXPECT_TRUE(window.fetched(5)) << text;
    EXPECT_EQ(window.base(), 5);
  }
}

TEST(KafkaWindow, OffsetsThatDoNotExistAreNotWaitedFor) {
  Window window(0, "");
  ASSERT_TRUE(window.fetched(0));
  ASSERT_TRUE(window.fetched(7));  // what was between was purged
  ASSERT_TRUE(window.settled(0));
  EXPECT_EQ(window.base(), 7);
}

// Any history: the text says exactly what is settled, also over many restarts, and fits.
TEST(KafkaWindow, AnyHistoryIsKept) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    std::set<std::int64_t> settled;
    std::int64_t base = 0;
    std::string text;
    for (int life = 0; life < 5; ++life) {
      Window window(base, text);
      std::vector<std::int64_t> open;
      const auto count = static_cast<std::int64_t>(random() % static_cast<unsigned>(kWindow));
      for (std::int64_t offset = base; offset < base + count; ++offset) {
        const bool fresh = window.fetched(offset);
        ASSERT_EQ(fresh, !settled.contains(offset)) << "seed " << seed;
        if (fresh) open.push_back(offset);
      }
      std::shuffle(open.begin(), open.end(), random);
      open.resize(open.size() * (random() % 101) / 100);
      for (const std::int64_t offset : open) {
        ASSERT_TRUE(window.settled(offset));
        settled.insert(offset);
      }
      base = window.base();
      text = window.text();
      ASSERT_LE(text.size(), 4096U);
      for (std::int64_t offset = 0; offset < base; ++offset) {
        ASSERT_TRUE(settled.contains(offset)) << "seed " << seed;
      }
    }
  }
}

TEST(KafkaNames, DifferentTopicsHaveDifferentNames) {
  const Names names{"ez"};
  std::set<std::string> seen;
  const std::string lengthy(200, '_');
  for (const std::string& topic :
       {std::string("a.b"), std::string("a_b"), std::string("a-b"), std::string("a/b"), std::string("a-u"),
        std::string("a--b"), std::string("registry"), std::string("delay.a"), lengthy,
        lengthy.substr(0, 199) + "-"}) {
    for (const std::string& name : {names.topic(topic), names.delay(topic)}) {
      EXPECT_TRUE(seen.insert(name).second) << name;
      EXPECT_LE(name.size(), 249U);
      EXPECT_EQ(name.find_first_of("_/ "), std::string::npos) << name;
    }
  }
  EXPECT_FALSE(seen.contains(names.registry()));
}

TEST(KafkaNames, PrioritiesHavePlacesAndKeysKeepTheirs) {
  const int count = partitions_of(3);
  Message message;
  for (int i = 0; i < static_cast<int>(kPriorities); ++i) {
    message.priority = static_cast<Priority>(i);
    EXPECT_EQ(urgency(place_of(message, count, 7), count), i);
  }
  std::set<int> places;
  for (int i = 0; i < 100; ++i) {
    message.key = "key" + std::to_string(i);
    const int place = place_of(message, count, static_cast<std::uint64_t>(i));
    EXPECT_EQ(place, place_of(message, count, 0));
    EXPECT_GE(place, kFixedLanes + 3);
    EXPECT_LT(place, count);
    places.insert(place);
  }
  EXPECT_EQ(places.size(), 3U);
  // A topic that others made.
  for (int turn = 0; turn < 5; ++turn) EXPECT_LT(place_of(message, 1, static_cast<std::uint64_t>(turn)), 1);
}

TEST(KafkaNames, EveryDelayHasItsLevel) {
  EXPECT_EQ(level_of(0), 0);
  EXPECT_EQ(level_of(99), 0);
  for (std::int64_t left = 100; left <= kMaxDelayMs; left = left * 3 / 2) {
    const int level = level_of(left);
    EXPECT_LT(level, kLevels);
    EXPECT_LE(level_wait_ms(level), left);
    // A few steps are enough: at most three of each level.
    std::int64_t rest = left;
    int steps = 0;
    for (; rest >= 100; ++steps) rest -= level_wait_ms(level_of(rest));
    EXPECT_LE(steps, 3 * kLevels);
  }
}

TEST(KafkaOptions, WhatIsWrongIsSaid) {
  const auto refusal = [](std::string_view url) {
    auto bus = open_bus(url);
    return bus.ok() ? std::string() : bus.error().message();
  };
  EXPECT_EQ(refusal("kafka://h:1?partitions=3&sasl=SCRAM-SHA-256"), "sasl needs a user");
  EXPECT_NE(refusal("kafka://u:p@h:1?sasl=GSSAPI"), "");
  EXPECT_NE(refusal("kafka://h:1?partitions=0"), "");
  EXPECT_NE(refusal("kafka://h:1?partitions=101"), "");
  EXPECT_NE(refusal("kafka://h:1?alive_ms=10"), "");
  EXPECT_NE(refusal("kafka://h:1?replicas=0"), "");
  EXPECT_NE(refusal("kafka://h:1?retention_ms=-2"), "");
  EXPECT_NE(refusal("kafka://h:1/path"), "");
  EXPECT_NE(refusal("kafka+cluster://h:1"), "");
  EXPECT_NE(refusal("kafka://h:1?duplicate_ids=1"), "");
}

}  // namespace
}  // namespace ez::queue::kafka
