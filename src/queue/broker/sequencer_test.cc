#include "queue/broker/sequencer.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace ez::queue::broker {
namespace {

constexpr ConsumerId kOne = 1;
constexpr ConsumerId kTwo = 2;

Entry entry(const std::string& payload, const std::string& key = "", Priority priority = Priority::kNormal,
            std::int64_t published_ms = 0) {
  Entry out;
  out.message.payload = payload;
  out.message.key = key;
  out.message.priority = priority;
  out.published_ms = published_ms;
  out.place.lane = key.empty() ? static_cast<std::uint8_t>(priority) : kKeyedLane;
  return out;
}

std::vector<Delivery> take(Sequencer& sequencer, std::size_t max = 10, ConsumerId consumer = kOne,
                           std::int64_t wall_ms = 0) {
  std::vector<Handle> expired;
  return sequencer.take(consumer, max, 1 << 20, 1'000, wall_ms, expired);
}

std::string payloads(const std::vector<Delivery>& deliveries) {
  std::string out;
  for (const Delivery& delivery : deliveries) out += delivery.message.payload;
  return out;
}

void settle(Sequencer& sequencer, const Delivery& delivery, ConsumerId consumer = kOne) {
  const auto handle = sequencer.acknowledge(consumer, delivery.tag);
  ASSERT_TRUE(handle.has_value());
  ASSERT_TRUE(sequencer.settled(*handle));
}

TEST(SequencerTest, PriorityThenTimeThenArrival) {
  Sequencer sequencer;
  sequencer.add(entry("d", "", Priority::kLow, 1));
  sequencer.add(entry("c", "", Priority::kNormal, 9));
  sequencer.add(entry("b", "", Priority::kNormal, 5));
  sequencer.add(entry("a", "", Priority::kCritical, 7));
  EXPECT_EQ(payloads(take(sequencer)), "abcd");
}

TEST(SequencerTest, AKeyGoesOneByOneWhateverItsPriority) {
  Sequencer sequencer;
  sequencer.add(entry("1", "k", Priority::kDeferred));
  sequencer.add(entry("2", "k", Priority::kCritical));
  sequencer.add(entry("x", "other"));
  auto first = take(sequencer);
  EXPECT_EQ(payloads(first), "x1");
  EXPECT_TRUE(take(sequencer, 10, kTwo).empty());
  // Acknowledged is not enough: until the broker has confirmed it, it might come again.
  const auto handle = sequencer.acknowledge(kOne, first[1].tag);
  EXPECT_TRUE(take(sequencer).empty());
  EXPECT_TRUE(sequencer.settled(*handle));
  EXPECT_EQ(payloads(take(sequencer)), "2");
}

TEST(SequencerTest, WhatIsGivenBackComesBeforeItsFollowersAndCounts) {
  Sequencer sequencer;
  sequencer.add(entry("1", "k"));
  sequencer.add(entry("2", "k"));
  auto got = take(sequencer);
  ASSERT_TRUE(sequencer.give_back(kOne, got[0].tag, 500, 0));
  EXPECT_FALSE(sequencer.give_back(kOne, got[0].tag, 500, 0)) << "its tag has ended";
  EXPECT_EQ(sequencer.advance(499), 500);
  EXPECT_TRUE(take(sequencer).empty());
  sequencer.advance(500);
  got = take(sequencer);
  EXPECT_EQ(payloads(got), "1");
  EXPECT_EQ(got[0].attempt, 2U);
}

TEST(SequencerTest, LeasesEndAndAreExtended) {
  Sequencer sequencer;
  sequencer.add(entry("1"));
  const auto first = take(sequencer);  // until 1,000
  EXPECT_FALSE(sequencer.extend(kTwo, first[0].tag, 5'000)) << "another's delivery";
  EXPECT_TRUE(sequencer.extend(kOne, first[0].tag, 5'000));
  EXPECT_EQ(sequencer.advance(4'999), 5'000);
  EXPECT_EQ(sequencer.ready(), 0U);
  sequencer.advance(5'000);
  EXPECT_FALSE(sequencer.acknowledge(kOne, first[0].tag).has_value());
  const auto again = take(sequencer);
  EXPECT_EQ(again[0].attempt, 2U);
  EXPECT_NE(again[0].tag.value, first[0].tag.value);
}

TEST(SequencerTest, AConsumerThatGoesGivesBackWithoutCounting) {
  Sequencer sequencer;
  sequencer.add(entry("1", "k"));
  take(sequencer);
  EXPECT_EQ(sequencer.out_of(kOne), 1U);
  sequencer.consumer_gone(kOne);
  EXPECT_EQ(sequencer.out_of(kOne), 0U);
  EXPECT_EQ(take(sequencer, 1, kTwo)[0].attempt, 1U);
}

TEST(SequencerTest, WhatHasOutlivedItsTimeIsSettledInstead) {
  Sequencer sequencer;
  Entry brief = entry("1", "k");
  brief.message.ttl_ms = 10;
  sequencer.add(std::move(brief));
  sequencer.add(entry("2", "k"));
  std::vector<Handle> expired;
  EXPECT_TRUE(sequencer.take(kOne, 5, 100, 1'000, 10, expired).empty());
  ASSERT_EQ(expired.size(), 1U);
  EXPECT_TRUE(sequencer.settled(expired[0]));
  EXPECT_EQ(payloads(take(sequencer)), "2");
}

TEST(SequencerTest, ForgettingASourceFreesNothingOfOthers) {
  Sequencer sequencer;
  sequencer.add(entry("1", "k"));
  Entry other = entry("2", "k");
  other.place.source = 1;
  sequencer.add(std::move(other));
  const auto got = take(sequencer);
  EXPECT_EQ(got.size(), 2U) << "the same key of another topic is another key";
  sequencer.forget(0);
  EXPECT_EQ(sequencer.held(), 1U);
  EXPECT_FALSE(sequencer.acknowledge(kOne, got[0].tag).has_value());
  EXPECT_TRUE(sequencer.acknowledge(kOne, got[1].tag).has_value());
}

TEST(SequencerTest, PurgeTakesWhatIsIdleAndLeavesWhatIsOut) {
  Sequencer sequencer;
  for (const char* payload : {"1", "2", "3"}) sequencer.add(entry(payload, "k"));
  const auto out = take(sequencer);
  EXPECT_EQ(sequencer.held_of(0).ready, 2U);
  EXPECT_EQ(sequencer.held_of(0).out, 1U);
  for (const Handle handle : sequencer.remove_idle(0)) EXPECT_TRUE(sequencer.settled(handle));
  settle(sequencer, out[0]);
  EXPECT_EQ(sequencer.held(), 0U);
  EXPECT_EQ(sequencer.held_bytes(), 0U);
}

TEST(SequencerTest, BytesLimitATakeButNeverToNothing) {
  Sequencer sequencer;
  for (int i = 0; i < 3; ++i) sequencer.add(entry(std::string(100, 'x')));
  std::vector<Handle> expired;
  EXPECT_EQ(sequencer.take(kOne, 10, 1, 1'000, 0, expired).size(), 1U);
  EXPECT_EQ(sequencer.take(kOne, 10, 200, 1'000, 0, expired).size(), 2U);
}

// Random histories: order of each key, at most one of a key out, nothing lost.
TEST(SequencerTest, RandomHistoriesKeepTheOrderOfKeys) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SeededRandom random(seed);
    Sequencer sequencer;
    std::map<std::string, std::vector<int>> done;
    std::map<std::uint64_t, Delivery> out;
    std::map<std::string, int> out_of_key;
    int next = 0;
    std::int64_t now = 0;
    constexpr int kCount = 200;
    int settled = 0;
    for (int step = 0; step < 20'000 && settled < kCount; ++step) {
      now += static_cast<std::int64_t>(random.below(20));
      if (next < kCount && random.chance(1, 2)) {
        sequencer.add(entry(std::to_string(next), "k" + std::to_string(random.below(5)),
                            static_cast<Priority>(random.below(kPriorities))));
        ++next;
      }
      sequencer.advance(now);
      std::vector<Handle> expired;
      // Leases never end here: what ends them is tested above.
      for (Delivery& one : sequencer.take(kOne, random.below(4), 1 << 20, now + 10'000'000, 0, expired)) {
        EXPECT_EQ(++out_of_key[one.message.key], 1) << "seed " << seed;
        out.emplace(one.tag.value, std::move(one));
      }
      if (out.empty()) continue;
      auto chosen = out.begin();
      std::advance(chosen, static_cast<std::ptrdiff_t>(random.below(out.size())));
      const Delivery delivery = chosen->second;
      out.erase(chosen);
      --out_of_key[delivery.message.key];
      if (random.chance(1, 3)) {
        const auto delay = static_cast<std::int64_t>(random.below(50));
        EXPECT_TRUE(sequencer.give_back(kOne, delivery.tag, now + delay, now));
      } else {
        settle(sequencer, delivery);
        done[delivery.message.key].push_back(std::stoi(delivery.message.payload));
        ++settled;
      }
    }
    EXPECT_EQ(settled, kCount) << "seed " << seed;
    for (const auto& [key, numbers] : done) {
      EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end())) << key << ", seed " << seed;
    }
  }
}

}  // namespace
}  // namespace ez::queue::broker
