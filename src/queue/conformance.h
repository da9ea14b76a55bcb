// The conformance suite of Bus: what every backend has to do. conformance_fixture.h says how a backend
// instantiates it. One source file of a program includes this file.
#pragma once

#include "queue/conformance_fixture.h"
#include "queue/conformance_flow.h"

namespace ez::queue {

// ---- messages ----

TEST_P(BusConformance, AMessageComesBackAsItWasPublished) {
  auto consumer = join(topic(), "workers");
  Message sent = message(topic(), std::string("any \0 bytes \xff\n", 13), "id-1");
  sent.key = "customer/7";
  sent.headers = {
      {"content-type", "text/plain"}, {"traceparent", "00-1-2-01"}, {"empty", ""}, {"ez-own", "of the bus"}};
  sent.priority = Priority::kHigh;
  sent.ttl_ms = 3'600'000;
  const std::int64_t before = system_clock().now_ms();
  EXPECT_EQ(publish(sent).id, "id-1");
  const auto got = take(*consumer, 1);
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].message.id, "id-1");
  EXPECT_EQ(got[0].message.topic, sent.topic);
  EXPECT_EQ(got[0].message.key, sent.key);
  EXPECT_EQ(got[0].message.payload, sent.payload);
  EXPECT_EQ(got[0].message.headers, sent.headers);
  EXPECT_EQ(got[0].message.priority, Priority::kHigh);
  EXPECT_EQ(got[0].message.ttl_ms, sent.ttl_ms);
  EXPECT_EQ(got[0].attempt, 1U);
  EXPECT_GE(got[0].published_ms, before - 1000);
  EXPECT_LE(got[0].published_ms, system_clock().now_ms() + 1000);
  ack(*consumer, got);
}

TEST_P(BusConformance, EmptyAndLargestPayloadsPass) {
  auto consumer = join(topic(), "workers");
  publish(message(topic(), ""));
  std::string large(kMaxPayloadBytes, 'x');
  for (std::size_t i = 0; i < large.size(); i += 251) large[i] = static_cast<char>(i);
  publish(message(topic(), large));
  const auto got = take(*consumer, 2);
  ASSERT_EQ(got.size(), 2U);
  EXPECT_TRUE(payloads_in_any_order(got) == (std::vector<std::string>{"", large}));
  ack(*consumer, got);
}

TEST_P(BusConformance, TheBusGivesAnIdWhenThereIsNone) {
  auto consumer = join(topic(), "workers");
  const Receipt first = publish(message(topic(), "a"));
  const Receipt second = publish(message(topic(), "a"));
  EXPECT_FALSE(first.id.empty());
  EXPECT_NE(first.id, second.id);
  const auto got = take(*consumer, 2);
  ASSERT_EQ(got.size(), 2U);
  // Without a key nobody promises their order.
  EXPECT_EQ((std::set<std::string>{got[0].message.id, got[1].message.id}),
            (std::set<std::string>{first.id, second.id}));
  ack(*consumer, got);
}

TEST_P(BusConformance, WrongMessagesAreRefusedOneByOne) {
  auto consumer = join(topic(), "workers");
  std::vector<Message> batch;
  batch.push_back(message(topic(), "good 1"));
  batch.push_back(message("no good topic", "x"));
  batch.push_back(message(topic(), std::string(kMaxPayloadBytes + 1, 'x')));
  batch.push_back(message(topic(), "x", "id with blanks"));
  batch.push_back(message(topic(), "good 2"));
  auto answers = publish_and_wait(*bus_, std::move(batch));
  ASSERT_EQ(answers.size(), 5U);
  EXPECT_TRUE(answers[0].ok());
  ASSERT_FALSE(answers[1].ok());
  EXPECT_EQ(answers[1].error().code(), Code::InvalidArgument);
  ASSERT_FALSE(answers[2].ok());
  EXPECT_EQ(answers[2].error().code(), Code::PayloadTooLarge);
  ASSERT_FALSE(answers[3].ok());
  EXPECT_EQ(answers[3].error().code(), Code::InvalidArgument);
  EXPECT_TRUE(answers[4].ok());
  const auto got = take(*consumer, 2);
  EXPECT_EQ(payloads_in_any_order(got), (std::vector<std::string>{"good 1", "good 2"}));
  ack(*consumer, got);
}

TEST_P(BusConformance, TheSameIdIsAcceptedOnceWhereTheBackendKnowsIds) {
  if (bus_->capabilities().duplicate_ids == 0) return;  // the manager drops them; tested there
  auto consumer = join(topic(), "workers");
  EXPECT_FALSE(publish(message(topic(), "first", "same")).duplicate);
  EXPECT_TRUE(publish(message(topic(), "second", "same")).duplicate);
  EXPECT_FALSE(publish(message(topic("other"), "elsewhere", "same")).duplicate);
  std::vector<Message> batch;
  batch.push_back(message(topic(), "third", "twice-in-a-batch"));
  batch.push_back(message(topic(), "fourth", "twice-in-a-batch"));
  auto answers = publish_and_wait(*bus_, std::move(batch));
  ASSERT_TRUE(answers[0].ok() && answers[1].ok());
  EXPECT_FALSE(answers[0]->duplicate);
  EXPECT_TRUE(answers[1]->duplicate);
  const auto got = take(*consumer, 2);
  EXPECT_EQ(payloads_in_any_order(got), (std::vector<std::string>{"first", "third"}));
  ack(*consumer, got);
  EXPECT_TRUE(publish(message(topic(), "late", "same")).duplicate) << "also after it was acknowledged";
  expect_nothing(*consumer);
}

// ---- groups ----

TEST_P(BusConformance, WhatNoGroupWaitsForIsKeptForTheFirst) {
  publish_numbers(topic(), 3);
  auto consumer = join(topic(), "late");
  const auto got = take(*consumer, 3);
  EXPECT_EQ(payloads_in_any_order(got), (std::vector<std::string>{"0", "1", "2"}));
  ack(*consumer, got);
}

TEST_P(BusConformance, ConsumersOfAGroupCompete) {
  auto one = join(topic(), "workers");
  auto two = join(topic(), "workers");
  publish_numbers(topic(), 200);
  std::set<std::string> seen;
  const std::int64_t end = system_clock().monotonic_us() + kPatience.count() * 1000;
  std::size_t of_one = 0;
  while (seen.size() < 200 && system_clock().monotonic_us() < end) {
    for (Consumer* consumer : {one.get(), two.get()}) {
      auto some = take_and_wait(*consumer, 10, milliseconds(100));
      ASSERT_TRUE(some.ok()) << some.error().to_string();
      for (const Delivery& delivery : *some) {
        const std::string& payload = delivery.message.payload;
        EXPECT_TRUE(seen.insert(payload).second) << payload << " came twice";
      }
      if (consumer == one.get()) of_one += some->size();
      ack(*consumer, *some);
    }
  }
  EXPECT_EQ(seen.size(), 200U);
  EXPECT_GT(of_one, 0U);
  EXPECT_LT(of_one, 200U);
}

TEST_P(BusConformance, EveryGroupGetsEveryMessage) {
  auto one = join(topic(), "billing");
  auto two = join(topic(), "shipping");
  publish_numbers(topic(), 5);
  for (Consumer* consumer : {one.get(), two.get()}) {
    const auto got = take(*consumer, 5);
    EXPECT_EQ(payloads_in_any_order(got), (std::vector<std::string>{"0", "1", "2", "3", "4"}));
    ack(*consumer, got);
  }
}

TEST_P(BusConformance, ALaterGroupBeginsWithWhatComesLater) {
  auto one = join(topic(), "early");
  publish_numbers(topic(), 2);
  auto two = join(topic(), "late");
  publish_numbers(topic(), 1, 2);
  const auto of_two = take(*two, 1);
  EXPECT_EQ(payloads(of_two), (std::vector<std::string>{"2"}));
  const auto of_one = take(*one, 3);
  EXPECT_EQ(of_one.size(), 3U);
  ack(*one, of_one);
  ack(*two, of_two);
}

TEST_P(BusConformance, BroadcastGoesToEachThatListens) {
  auto group = join(topic(), "workers");
  publish(message(topic(), "before"));
  auto one = join(topic(), "");
  auto two = join(topic(), "");
  publish(message(topic(), "now"));
  for (Consumer* consumer : {one.get(), two.get()}) {
    const auto got = take(*consumer, 1);
    EXPECT_EQ(payloads(got), (std::vector<std::string>{"now"}));
    ack(*consumer, got);
  }
  one.reset();
  two.reset();
  const auto got = take(*group, 2);
  EXPECT_EQ(payloads_in_any_order(got), (std::vector<std::string>{"before", "now"}));
  ack(*group, got);
}

TEST_P(BusConformance, AGroupIsKnownWhileNobodyConsumes) {
  join(topic(), "workers").reset();
  publish_numbers(topic(), 2);
  reopen();
  publish_numbers(topic(), 1, 2);
  auto consumer = join(topic(), "workers");
  const auto got = take(*consumer, 3);
  EXPECT_EQ(payloads_in_any_order(got), (std::vector<std::string>{"0", "1", "2"}));
  ack(*consumer, got);
}

TEST_P(BusConformance, ADroppedGroupIsForgotten) {
  join(topic(), "workers").reset();
  publish_numbers(topic(), 2);
  drop(topic(), "workers");
  auto consumer = join(topic(), "workers");
  publish(message(topic(), "new"));
  const auto got = take(*consumer, 1);
  EXPECT_EQ(payloads(got), (std::vector<std::string>{"new"}));
  ack(*consumer, got);
}

TEST_P(BusConformance, WhoReadsForADroppedGroupTakesNothingOfWhatComesLater) {
  auto old = join(topic(), "workers");
  publish_numbers(topic(), 1);
  ack(*old, take(*old, 1));
  drop(topic(), "workers");
  publish_numbers(topic(), 20, 1);
  const std::int64_t end = system_clock().monotonic_us() + kPatience.count() * 1000;
  auto told = take_and_wait(*old, 10, milliseconds(200));
  while (told.ok() && told->empty() && system_clock().monotonic_us() < end) {
    told = take_and_wait(*old, 10, milliseconds(200));
  }
  ASSERT_FALSE(told.ok()) << (told->empty() ? "nothing is told" : told->front().message.payload);
  EXPECT_EQ(told.error().code(), Code::TopicNotFound) << told.error().to_string();
  // Nobody waits for it, so it is the first group's that does.
  auto next = join(topic(), "next");
  const auto got = take(*next, 20);
  EXPECT_EQ(got.size(), 20U);
  ack(*next, got);
}

// ---- patterns ----

TEST_P(BusConformance, PatternsReachTopicsOfNowAndLater) {
  publish(message(topic("orders.eu.new"), "kept"));
  auto words = join(topic("orders.*.new"), "words");
  auto all = join(topic("orders.#"), "all");
  publish(message(topic("orders.us.new"), "us new"));
  publish(message(topic("orders.us.old"), "us old"));
  publish(message(topic("orders"), "none"));
  publish(message(topic("invoices.us.new"), "no order"));
  const auto by_words = take(*words, 2);
  EXPECT_EQ(payloads_in_any_order(by_words), (std::vector<std::string>{"kept", "us new"}));
  auto by_all = take(*all, 3);
  auto found = payloads(by_all);
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, (std::vector<std::string>{"none", "us new", "us old"}));
  ack(*words, by_words);
  ack(*all, by_all);
  expect_nothing(*words);
  expect_nothing(*all);
}

// ---- settling ----

TEST_P(BusConformance, WhatIsAcknowledgedNeverComesAgain) {
  auto consumer = join(topic(), "workers");
  publish_numbers(topic(), 10);
  ack(*consumer, take(*consumer, 10));
  consumer.reset();
  reopen();
  consumer = join(topic(), "workers");
  expect_nothing(*consumer);
}

TEST_P(BusConformance, WhatIsNotAcknowledgedComesAgain) {
  auto consumer = join(topic(), "workers");
  publish_numbers(topic(), 4);
  auto got = take(*consumer, 4);
  ack(*consumer, {got[1], got[3]});
  consumer.reset();
  reopen();
  consumer = join(topic(), "workers");
  got = take(*consumer, 2);
  auto found = payloads(got);
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, (std::vector<std::string>{"0", "2"}));
  ack(*consumer, got);
}

TEST_P(BusConformance, NackGivesBackAtOnceOrLater) {
  auto consumer = join(topic(), "workers");
  publish(message(topic(), "x"));
  auto got = take(*consumer, 1);
  ASSERT_TRUE(nack_and_wait(*consumer, tags(got), milliseconds(0)).ok());
  got = take(*consumer, 1);
  EXPECT_EQ(got[0].attempt, 2U);
  const std::int64_t given_back = system_clock().monotonic_us();
  ASSERT_TRUE(nack_and_wait(*consumer, tags(got), milliseconds(400)).ok());
  got = take(*consumer, 1);
  EXPECT_GE(system_clock().monotonic_us() - given_back, 390'000);
  EXPECT_EQ(got[0].attempt, 3U);
  ack(*consumer, got);
}

TEST_P(BusConformance, ALeaseEndsUnlessItIsExtended) {
  auto consumer = join(topic(), "workers", 400);
  publish(message(topic(), "lost"));
  const auto lost = take(*consumer, 1);
  auto again = take(*consumer, 1);
  EXPECT_EQ(payloads(again), (std::vector<std::string>{"lost"}));
  EXPECT_GE(again[0].attempt, 2U);
  // On a slow machine the lease may end before it can be extended: then it comes once more.
  const std::int64_t end = system_clock().monotonic_us() + kPatience.count() * 1000;
  while (!extend_and_wait(*consumer, tags(again), milliseconds(60'000)).ok()) {
    ASSERT_LT(system_clock().monotonic_us(), end);
    again = take(*consumer, 1);
  }
  const Status late = ack_and_wait(*consumer, tags(lost));
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().code(), Code::LeaseStale);
  expect_nothing(*consumer, milliseconds(900));
  ack(*consumer, again);
  const Status twice = ack_and_wait(*consumer, tags(again));
  ASSERT_FALSE(twice.ok());
  EXPECT_EQ(twice.error().code(), Code::LeaseStale);
}

TEST_P(BusConformance, AConsumerHoldsNoMoreThanItMay) {
  auto consumer = join(topic(), "workers", 30'000, 3);
  publish_numbers(topic(), 5);
  const auto got = take(*consumer, 3);
  expect_nothing(*consumer);
  ack(*consumer, {got[0]});
  const auto more = take(*consumer, 1);
  ASSERT_EQ(more.size(), 1U);
  for (const Delivery& held : got) EXPECT_NE(more[0].message.payload, held.message.payload);
  ack(*consumer, {got[1], got[2], more[0]});
  ack(*consumer, take(*consumer, 1));
}

TEST_P(BusConformance, AWaitingTakeIsAnsweredByAMessageAndByItsEnd) {
  auto consumer = join(topic(), "workers");
  const std::int64_t began = system_clock().monotonic_us();
  auto none = take_and_wait(*consumer, 1, milliseconds(200));
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->empty());
  EXPECT_GE(system_clock().monotonic_us() - began, 150'000);
  std::thread publisher([&] { publish(message(topic(), "at last")); });
  const auto got = take(*consumer, 1);
  publisher.join();
  EXPECT_EQ(payloads(got), (std::vector<std::string>{"at last"}));
  ack(*consumer, got);
}

TEST_P(BusConformance, ClosingAConsumerAnswersItsTake) {
  auto consumer = join(topic(), "workers");
  std::atomic<int> answered{0};
  consumer->take(1, 1000, kPatience, [&](Result<std::vector<Delivery>> got) {
    answered = !got.ok() && got.error().code() == Code::ShuttingDown ? 1 : 2;
  });
  consumer.reset();
  EXPECT_EQ(answered, 1);
}

}  // namespace ez::queue
