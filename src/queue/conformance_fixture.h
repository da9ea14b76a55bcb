// What the conformance suite of Bus (conformance.h) stands on. A backend's test program derives a BusHarness
// and instantiates BusConformance with it:
//
//   INSTANTIATE_TEST_SUITE_P(Redis, BusConformance, testing::Values(HarnessFactory{"redis", make}),
//                            [](const auto& info) { return info.param.name; });
//
// Every test uses topics and groups of its own (unique within the run), so one broker may serve a whole
// program. One source file of a program includes this file. No test sleeps: they wait for what has to come,
// within kPatience, and for what must not come during the shortest wait that proves something.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "queue/bus.h"

namespace ez::queue {

using std::chrono::milliseconds;

inline constexpr milliseconds kPatience{60'000};  // ends a broken test; nothing waits for it otherwise

// One broker with its contents.
class BusHarness {
 public:
  virtual ~BusHarness() = default;
  // A handle that is connected; several may live at a time unless single_handle().
  virtual Result<std::unique_ptr<Bus>> open() = 0;
  // Only one handle at a time: the broker lives inside it.
  [[nodiscard]] virtual bool single_handle() const { return false; }
};

struct HarnessFactory {
  std::string name;
  std::function<std::unique_ptr<BusHarness>()> make;
};

class BusConformance : public testing::TestWithParam<HarnessFactory> {
 protected:
  void SetUp() override {
    static std::atomic<int> number{0};
    prefix_ = "c" + std::to_string(system_clock().now_ms()) + "-" + std::to_string(++number);
    harness_ = GetParam().make();
    reopen();
  }
  // Closes the handle (what is out goes back) and opens a new one.
  void reopen() {
    bus_.reset();
    auto opened = harness_->open();
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
    bus_ = std::move(opened).value();
  }
  [[nodiscard]] std::string topic(const std::string& rest = "jobs") const { return prefix_ + "." + rest; }

  std::unique_ptr<Consumer> join(const std::string& pattern, const std::string& group,
                                 std::int64_t lease_ms = 30'000, std::size_t max_in_flight = 1000) {
    auto made = bus_->subscribe({pattern, group, max_in_flight, lease_ms}, kPatience);
    EXPECT_TRUE(made.ok()) << made.error().to_string();
    return made.ok() ? std::move(made).value() : nullptr;
  }
  static Message message(std::string topic, std::string payload, std::string id = "") {
    Message out;
    out.topic = std::move(topic);
    out.payload = std::move(payload);
    out.id = std::move(id);
    return out;
  }
  Receipt publish(Message message) {
    auto receipt = publish_and_wait(*bus_, std::move(message));
    EXPECT_TRUE(receipt.ok()) << receipt.error().to_string();
    return receipt.ok() ? *receipt : Receipt{};
  }
  void publish_numbers(const std::string& topic, int count, int first = 0) {
    std::vector<Message> batch;
    for (int i = first; i < first + count; ++i) {
      batch.push_back(message(topic, std::to_string(i), "m" + std::to_string(i)));
    }
    for (const auto& receipt : publish_and_wait(*bus_, std::move(batch))) {
      ASSERT_TRUE(receipt.ok()) << receipt.error().to_string();
    }
  }
  // Takes until there are `count` deliveries; fewer when patience ends.
  static std::vector<Delivery> take(Consumer& consumer, std::size_t count) {
    std::vector<Delivery> all;
    const std::int64_t end = system_clock().monotonic_us() + kPatience.count() * 1000;
    while (all.size() < count && system_clock().monotonic_us() < end) {
      auto some = take_and_wait(consumer, count - all.size(), milliseconds(500));
      EXPECT_TRUE(some.ok()) << some.error().to_string();
      if (!some.ok()) break;
      EXPECT_LE(some->size(), count - all.size());
      for (Delivery& delivery : *some) all.push_back(std::move(delivery));
    }
    EXPECT_EQ(all.size(), count);
    return all;
  }
  static void expect_nothing(Consumer& consumer, milliseconds wait = milliseconds(300)) {
    auto some = take_and_wait(consumer, 10, wait);
    ASSERT_TRUE(some.ok()) << some.error().to_string();
    for (const Delivery& delivery : *some) ADD_FAILURE() << "unexpected: " << delivery.message.payload;
  }
  static std::vector<DeliveryTag> tags(const std::vector<Delivery>& deliveries) {
    std::vector<DeliveryTag> out;
    for (const Delivery& delivery : deliveries) out.push_back(delivery.tag);
    return out;
  }
  static std::vector<std::string> payloads(const std::vector<Delivery>& deliveries) {
    std::vector<std::string> out;
    for (const Delivery& delivery : deliveries) out.push_back(delivery.message.payload);
    return out;
  }
  // Sorted: messages without a key come about in order, and no backend promises more.
  static std::vector<std::string> payloads_in_any_order(const std::vector<Delivery>& deliveries) {
    std::vector<std::string> out = payloads(deliveries);
    std::sort(out.begin(), out.end());
    return out;
  }
  static void ack(Consumer& consumer, const std::vector<Delivery>& deliveries) {
    const Status status = ack_and_wait(consumer, tags(deliveries));
    EXPECT_TRUE(status.ok()) << status.error().to_string();
  }
  void drop(const std::string& pattern, const std::string& group) {
    std::atomic<int> answer{-1};
    bus_->drop_group(pattern, group, [&](const Result<bool>& done) { answer = done.ok() && *done ? 1 : 0; });
    const std::int64_t end = system_clock().monotonic_us() + kPatience.count() * 1000;
    while (answer < 0 && system_clock().monotonic_us() < end) std::this_thread::yield();
    EXPECT_EQ(answer, 1);
  }
  TopicCounts counts(const std::string& topic) {
    auto all = counts_and_wait(*bus_, topic);
    EXPECT_TRUE(all.ok()) << all.error().to_string();
    return all.ok() && all->size() == 1 ? all->front() : TopicCounts{};
  }
  // Waits until the counts of a backend that lags say so too.
  bool counts_become(const std::string& topic, const std::function<bool(const TopicCounts&)>& good) {
    const std::int64_t end = system_clock().monotonic_us() + kPatience.count() * 1000;
    while (system_clock().monotonic_us() < end) {
      if (good(counts(topic))) return true;
      std::this_thread::yield();
    }
    return false;
  }

  std::string prefix_;
  std::unique_ptr<BusHarness> harness_;
  std::unique_ptr<Bus> bus_;
};

}  // namespace ez::queue
