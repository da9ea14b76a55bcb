// The part of the conformance suite about order, time, looking at topics, and load; see conformance.h.
#pragma once

#include "queue/conformance_fixture.h"

namespace ez::queue {

// ---- order ----

TEST_P(BusConformance, MessagesOfAKeyComeOneAtATimeAndInOrder) {
  auto consumer = join(topic(), "workers");
  std::vector<Message> batch;
  for (int i = 0; i < 60; ++i) {
    Message next = message(topic(), std::to_string(i));
    next.key = "k" + std::to_string(i % 3);
    batch.push_back(std::move(next));
  }
  for (const auto& receipt : publish_and_wait(*bus_, std::move(batch))) ASSERT_TRUE(receipt.ok());
  std::map<std::string, int> last;
  std::size_t count = 0;
  const std::int64_t end = system_clock().monotonic_us() + kPatience.count() * 1000;
  while (count < 60 && system_clock().monotonic_us() < end) {
    auto got = take_and_wait(*consumer, 10, milliseconds(500));
    ASSERT_TRUE(got.ok()) << got.error().to_string();
    std::set<std::string> keys;
    for (const Delivery& delivery : *got) {
      const std::string& key = delivery.message.key;
      EXPECT_TRUE(keys.insert(key).second) << "two of " << key << " at once";
      const int number = std::stoi(delivery.message.payload);
      EXPECT_EQ(number, last.count(key) == 0 ? number % 3 : last[key] + 3) << key;
      last[key] = number;
    }
    count += got->size();
    ack(*consumer, *got);
  }
  EXPECT_EQ(count, 60U);
}

TEST_P(BusConformance, AKeyWaitsForWhatWasGivenBack) {
  auto one = join(topic(), "workers");
  auto two = join(topic(), "workers");
  for (int i = 0; i < 3; ++i) {
    Message next = message(topic(), std::to_string(i));
    next.key = "k";
    publish(std::move(next));
  }
  const auto first = take(*one, 1);
  expect_nothing(*two);
  ASSERT_TRUE(nack_and_wait(*one, tags(first), milliseconds(300)).ok());
  for (const std::string expected : {"0", "1", "2"}) {
    std::vector<Delivery> got;
    Consumer* holder = nullptr;
    const std::int64_t end = system_clock().monotonic_us() + kPatience.count() * 1000;
    while (got.empty() && system_clock().monotonic_us() < end) {
      for (Consumer* consumer : {two.get(), one.get()}) {
        auto some = take_and_wait(*consumer, 2, milliseconds(50));
        ASSERT_TRUE(some.ok());
        if (some->empty()) continue;
        ASSERT_TRUE(got.empty());
        got = *some;
        holder = consumer;
      }
    }
    ASSERT_EQ(payloads(got), (std::vector<std::string>{expected}));
    ack(*holder, got);
  }
}

TEST_P(BusConformance, PrioritiesGoFirst) {
  if (!bus_->capabilities().priorities) return;  // documented: in order of publishing
  join(topic(), "workers").reset();
  for (const Priority priority :
       {Priority::kDeferred, Priority::kNormal, Priority::kCritical, Priority::kLow, Priority::kHigh}) {
    Message next = message(topic(), std::string(to_text(priority)));
    next.priority = priority;
    publish(std::move(next));
  }
  auto consumer = join(topic(), "workers", 30'000, 1);
  std::vector<std::string> order;
  for (int i = 0; i < 5; ++i) {
    const auto got = take(*consumer, 1);
    ASSERT_EQ(got.size(), 1U);
    order.push_back(got[0].message.payload);
    ack(*consumer, got);
  }
  EXPECT_EQ(order, (std::vector<std::string>{"critical", "high", "normal", "low", "deferred"}));
}

// ---- time ----

TEST_P(BusConformance, ADelayedMessageWaits) {
  auto consumer = join(topic(), "workers");
  Message later = message(topic(), "later");
  later.delay_ms = 700;
  const std::int64_t began = system_clock().monotonic_us();
  publish(std::move(later));
  publish(message(topic(), "now"));
  std::vector<std::string> seen;
  for (int i = 0; i < 2; ++i) {
    const auto got = take(*consumer, 1);
    ASSERT_EQ(got.size(), 1U);
    // A slow machine may need longer for "now" than the other one has to wait.
    const bool early = system_clock().monotonic_us() - began < 690'000;
    EXPECT_FALSE(early && got[0].message.payload == "later");
    seen.push_back(got[0].message.payload);
    ack(*consumer, got);
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, (std::vector<std::string>{"later", "now"}));
}

TEST_P(BusConformance, ADelayOutlivesTheConnection) {
  join(topic(), "workers").reset();
  Message later = message(topic(), "later");
  later.delay_ms = 600;
  const std::int64_t began = system_clock().monotonic_us();
  publish(std::move(later));
  reopen();
  auto consumer = join(topic(), "workers");
  const auto got = take(*consumer, 1);
  EXPECT_GE(system_clock().monotonic_us() - began, 590'000);
  ack(*consumer, got);
}

TEST_P(BusConformance, AMessageThatOutlivedItsTimeIsNotDelivered) {
  join(topic(), "workers").reset();
  Message brief = message(topic(), "brief");
  brief.ttl_ms = 50;
  publish(std::move(brief));
  auto other = join(topic("clock"), "workers");
  expect_nothing(*other, milliseconds(200));  // lets its time pass
  publish(message(topic(), "after"));
  auto consumer = join(topic(), "workers");
  const auto got = take(*consumer, 1);
  EXPECT_EQ(payloads(got), (std::vector<std::string>{"after"}));
  ack(*consumer, got);
}

// ---- looking and clearing ----

TEST_P(BusConformance, PeekShowsAndTakesNothing) {
  auto consumer = join(topic(), "workers");
  publish_numbers(topic(), 5);
  auto seen = peek_and_wait(*bus_, topic(), 3);
  ASSERT_TRUE(seen.ok()) << seen.error().to_string();
  const auto shown = payloads_in_any_order(*seen);
  const std::vector<std::string> all{"0", "1", "2", "3", "4"};
  EXPECT_EQ(std::set<std::string>(shown.begin(), shown.end()).size(), 3U);
  EXPECT_TRUE(std::includes(all.begin(), all.end(), shown.begin(), shown.end()));
  const auto got = take(*consumer, 5);
  EXPECT_EQ(got.size(), 5U);
  ack(*consumer, got);
}

TEST_P(BusConformance, PurgeRemovesWhatWaits) {
  auto consumer = join(topic(), "workers", 30'000, 1);
  publish_numbers(topic(), 6);
  Message later = message(topic(), "later");
  later.delay_ms = 60'000;
  publish(std::move(later));
  const auto out = take(*consumer, 1);
  auto removed = purge_and_wait(*bus_, topic());
  ASSERT_TRUE(removed.ok()) << removed.error().to_string();
  if (bus_->capabilities().exact_counts) {
    EXPECT_EQ(*removed, 6U);
  }
  ack(*consumer, out);
  expect_nothing(*consumer);
  publish(message(topic(), "new"));
  const auto got = take(*consumer, 1);
  EXPECT_EQ(payloads(got), (std::vector<std::string>{"new"}));
  ack(*consumer, got);
}

TEST_P(BusConformance, CountsSayWhatWaits) {
  auto consumer = join(topic(), "workers");
  publish_numbers(topic(), 5);
  Message later = message(topic(), "later");
  later.delay_ms = 60'000;
  publish(std::move(later));
  const auto got = take(*consumer, 2);
  EXPECT_TRUE(counts_become(topic(), [](const TopicCounts& now) {
    return now.ready == 3 && now.delayed == 1 && now.in_flight == 2;
  }));
  ack(*consumer, got);
  EXPECT_TRUE(counts_become(topic(), [](const TopicCounts& now) {
    return now.ready == 3 && now.delayed == 1 && now.in_flight == 0;
  }));
}

TEST_P(BusConformance, WhatTheBrokerHasSentAndNobodyAskedForCounts) {
  auto consumer = join(topic(), "workers");
  publish_numbers(topic(), 1);
  const auto got = take(*consumer, 1);
  publish_numbers(topic(), 5, 1);
  EXPECT_TRUE(
      counts_become(topic(), [](const TopicCounts& now) { return now.ready == 5 && now.in_flight == 1; }));
  auto removed = purge_and_wait(*bus_, topic());
  ASSERT_TRUE(removed.ok()) << removed.error().to_string();
  if (bus_->capabilities().exact_counts) {
    EXPECT_EQ(*removed, 5U);
  }
  ack(*consumer, got);
  expect_nothing(*consumer);
}

TEST_P(BusConformance, UnknownTopicsAreSaidToBeUnknown) {
  auto seen = peek_and_wait(*bus_, topic("nowhere"), 3);
  ASSERT_FALSE(seen.ok());
  EXPECT_EQ(seen.error().code(), Code::TopicNotFound);
  auto removed = purge_and_wait(*bus_, topic("nowhere"));
  ASSERT_FALSE(removed.ok());
  EXPECT_EQ(removed.error().code(), Code::TopicNotFound);
  auto all = counts_and_wait(*bus_, topic("nowhere"));
  ASSERT_TRUE(all.ok());
  EXPECT_TRUE(all->empty());
}

TEST_P(BusConformance, WrongSubscriptionsAreRefused) {
  const auto refusal = [&](SubscribeOptions options) {
    auto made = bus_->subscribe(std::move(options), kPatience);
    return made.ok() ? Code::Internal : made.error().code();
  };
  EXPECT_EQ(refusal({"no good", "g", 10, 1000}), Code::InvalidArgument);
  EXPECT_EQ(refusal({topic(), "no good", 10, 1000}), Code::InvalidArgument);
  EXPECT_EQ(refusal({topic(), "g", 0, 1000}), Code::InvalidArgument);
  EXPECT_EQ(refusal({topic(), "g", 10, 0}), Code::InvalidArgument);
}

TEST_P(BusConformance, HealthIsARoundTrip) {
  auto taken = check_health_and_wait(*bus_, kPatience);
  ASSERT_TRUE(taken.ok()) << taken.error().to_string();
  EXPECT_GT(*taken, 0);
}

// ---- many at once ----

TEST_P(BusConformance, NothingIsLostOrDoubledUnderLoad) {
  constexpr int kPublishers = 3;
  constexpr int kEach = 2000;
  const std::string where = topic("load");
  std::vector<std::unique_ptr<Consumer>> consumers;
  for (int i = 0; i < 2; ++i) consumers.push_back(join(where, "workers"));
  std::atomic<int> acknowledged{0};
  std::atomic<bool> broken{false};
  std::mutex mutex;
  std::map<std::string, int> seen;
  std::vector<std::thread> threads;
  for (int p = 0; p < kPublishers; ++p) {
    threads.emplace_back([&, p] {
      for (int i = 0; i < kEach; i += 50) {
        std::vector<Message> batch;
        for (int j = i; j < i + 50; ++j) {
          batch.push_back(message(where, std::to_string(p) + "/" + std::to_string(j)));
        }
        for (const auto& receipt : publish_and_wait(*bus_, std::move(batch))) {
          if (!receipt.ok()) broken = true;
        }
      }
    });
  }
  const std::int64_t end = system_clock().monotonic_us() + 4 * kPatience.count() * 1000;
  for (auto& consumer : consumers) {
    threads.emplace_back([&, consumer = consumer.get()] {
      while (acknowledged < kPublishers * kEach && !broken && system_clock().monotonic_us() < end) {
        auto got = take_and_wait(*consumer, 200, milliseconds(100));
        if (!got.ok()) {
          broken = true;
          return;
        }
        if (got->empty()) continue;
        {
          std::lock_guard lock(mutex);
          for (const Delivery& delivery : *got) ++seen[delivery.message.payload];
        }
        if (!ack_and_wait(*consumer, tags(*got)).ok()) broken = true;
        acknowledged += static_cast<int>(got->size());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(broken);
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(kPublishers * kEach));
  for (const auto& [payload, times] : seen) EXPECT_EQ(times, 1) << payload;
}

}  // namespace ez::queue
