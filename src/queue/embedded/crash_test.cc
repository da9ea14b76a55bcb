// The embedded bus on a disk that stops, loses and tears: what was answered holds after every crash.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "log/fake_disk.h"
#include "queue/embedded/testing.h"

namespace ez::queue {
namespace {

using std::chrono::milliseconds;

constexpr const char* kDirectory = "/data/queue";

EmbeddedOptions small_options() {
  EmbeddedOptions options;
  options.cache_bytes = 8 * 1024;  // most of what is delivered is read from the log
  options.snapshot_bytes = 24 * 1024;
  options.move_bytes = 48 * 1024;
  return options;
}

// What the world outside knows of the messages.
class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed), disk_(seed) {}

  // One life of the process, which ends when the disk stops or after its work.
  void live(bool stops) {
    if (stops) disk_.stop_at_operation(1 + random_.below(120));
    auto bus = open_on(disk_, kDirectory, small_options(), 32 * 1024);
    if (bus.ok()) work(**bus, stops ? 400 : 20);
    if (!stops) {
      ASSERT_TRUE(bus.ok()) << bus.error().to_string();
    }
    if (bus.ok()) bus->reset();
    if (random_.chance(1, 3)) {
      disk_.kill();
    } else {
      disk_.crash();
    }
  }

  // No more faults: everything that is owed comes, and nothing else.
  void settle_all() {
    auto bus = open_on(disk_, kDirectory, small_options(), 32 * 1024);
    ASSERT_TRUE(bus.ok()) << bus.error().to_string();
    publish(**bus, std::vector<int>(unknown_.begin(), unknown_.end()));
    ASSERT_TRUE(unknown_.empty());
    auto consumer = (*bus)->subscribe({"jobs", "workers", 500, 60'000}, milliseconds(5000));
    ASSERT_TRUE(consumer.ok()) << consumer.error().to_string();
    while (take(**consumer, milliseconds(20)) > 0) {
    }
    for (const int number : published_) {
      EXPECT_TRUE(done_.contains(number) || perhaps_done_.contains(number)) << number << " was lost";
    }
    EXPECT_GT(published_.size(), 0U);
  }

  [[nodiscard]] std::size_t published() const { return published_.size(); }

 private:
  void work(EmbeddedBus& bus, int steps) {
    auto consumer = bus.subscribe({"jobs", "workers", 50, 60'000}, milliseconds(2000));
    if (!consumer.ok()) return;
    for (int step = 0; step < steps && !disk_.fault_happened(); ++step) {
      if (random_.chance(1, 2)) {
        std::vector<int> numbers(unknown_.begin(), unknown_.end());
        for (std::uint64_t i = random_.below(6); i > 0; --i) numbers.push_back(++last_);
        publish(bus, numbers);
      } else {
        take(**consumer, milliseconds(0));
      }
    }
  }

  void publish(EmbeddedBus& bus, const std::vector<int>& numbers) {
    if (numbers.empty()) return;
    std::vector<Message> batch;
    for (const int number : numbers) {
      Message message;
      message.topic = "jobs";
      message.id = "m" + std::to_string(number);
      message.key = number % 2 == 0 ? "" : "k" + std::to_string(number % 3);
      message.payload =
          std::to_string(number) + std::string(static_cast<std::size_t>(number * 37 % 900), 'x');
      batch.push_back(std::move(message));
    }
    const auto answers = publish_and_wait(bus, std::move(batch));
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      if (answers[i].ok()) {
        published_.insert(numbers[i]);
        unknown_.erase(numbers[i]);
      } else {
        unknown_.insert(numbers[i]);  // sent again with the same id
      }
    }
  }

  std::size_t take(Consumer& consumer, milliseconds wait) {
    auto got = take_and_wait(consumer, 1 + random_.below(8), wait);
    if (!got.ok()) return 0;
    std::vector<DeliveryTag> tags;
    std::vector<int> numbers;
    for (const Delivery& delivery : *got) {
      const int number = std::stoi(delivery.message.payload);
      EXPECT_EQ(delivery.message.id, "m" + std::to_string(number));
      EXPECT_EQ(delivery.message.payload.size(),
                std::to_string(number).size() + static_cast<std::size_t>(number * 37 % 900));
      EXPECT_FALSE(done_.contains(number)) << number << " came again after its acknowledgement was answered";
      if (!delivery.message.key.empty()) {
        int& before = last_of_key_[delivery.message.key];
        EXPECT_GE(number, before) << "order of " << delivery.message.key;
        before = number;
      }
      tags.push_back(delivery.tag);
      numbers.push_back(number);
    }
    if (tags.empty()) return 0;
    if (random_.chance(1, 5)) {
      EXPECT_TRUE(nack_and_wait(consumer, tags, milliseconds(0)).ok() || disk_.fault_happened());
    } else if (ack_and_wait(consumer, tags).ok()) {
      done_.insert(numbers.begin(), numbers.end());
    } else {
      perhaps_done_.insert(numbers.begin(), numbers.end());
    }
    return tags.size();
  }

  SeededRandom random_;
  log::FakeDisk disk_;
  int last_ = 0;
  std::set<int> published_;     // answered
  std::set<int> unknown_;       // sent, not answered
  std::set<int> done_;          // acknowledgement answered
  std::set<int> perhaps_done_;  // acknowledgement sent, not answered
  std::map<std::string, int> last_of_key_;
};

TEST(EmbeddedCrash, WhatWasAnsweredHoldsAfterEveryCrash) {
  std::size_t published = 0;
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    world.live(false);
    for (int life = 0; life < 8; ++life) world.live(true);
    world.settle_all();
    published += world.published();
    if (testing::Test::HasFailure()) return;
  }
  EXPECT_GT(published, 500U);
}

}  // namespace
}  // namespace ez::queue
