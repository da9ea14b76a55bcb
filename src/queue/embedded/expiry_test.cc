#include <gtest/gtest.h>

#include "log/disk_posix.h"
#include "log/testing.h"
#include "queue/embedded/testing.h"

namespace ez::queue {
namespace {

using std::chrono::milliseconds;

class ExpiryTest : public testing::Test {
 protected:
  ExpiryTest() {
    EmbeddedOptions options;
    options.clock = &clock_;
    auto opened = open_on(log::posix_disk(), directory_.path() + "/queue", options);
    EZ_CHECK(opened.ok(), "the log cannot be opened");
    bus_ = std::move(*opened);
  }
  std::unique_ptr<Consumer> join(const std::string& group) {
    auto made = bus_->subscribe({"jobs", group, 100, 3'600'000}, milliseconds(10'000));
    EXPECT_TRUE(made.ok()) << made.error().to_string();
    return made.ok() ? std::move(*made) : nullptr;
  }
  void publish(const std::string& topic, const std::string& payload, std::int64_t ttl_ms = 0) {
    Message message;
    message.topic = topic;
    message.payload = payload;
    message.key = "k";
    message.ttl_ms = ttl_ms;
    ASSERT_TRUE(publish_and_wait(*bus_, std::move(message)).ok());
  }
  // What is there at once; "" when nothing is.
  static std::string take(Consumer& consumer, DeliveryTag* tag = nullptr) {
    auto got = take_and_wait(consumer, 1, milliseconds(0));
    EXPECT_TRUE(got.ok()) << got.error().to_string();
    if (!got.ok() || got->empty()) return "";
    if (tag != nullptr) *tag = got->front().tag;
    return got->front().message.payload;
  }

  log::TemporaryDirectory directory_;
  log::ManualClock clock_;
  std::unique_ptr<EmbeddedBus> bus_;
};

TEST_F(ExpiryTest, AMessageThatOneGroupStillHoldsDoesNotHoldUpItsKeyInTheOthers) {
  auto slow = join("slow");
  auto other = join("other");
  ASSERT_TRUE(slow && other);
  publish("jobs", "brief", 500);
  publish("jobs", "next");
  DeliveryTag held;
  ASSERT_EQ(take(*slow, &held), "brief");
  clock_.advance_ms(600);
  publish("clock", "wakes the bus");
  // Its time has passed, but somebody works on it.
  EXPECT_EQ(take(*other), "");
  publish("clock", "wakes the bus");
  ASSERT_TRUE(ack_and_wait(*slow, {held}).ok());
  std::string got;
  for (int seconds = 0; got.empty() && seconds < 5; ++seconds) {
    clock_.advance_ms(1'001);
    publish("clock", "wakes the bus");
    got = take(*other);
  }
  EXPECT_EQ(got, "next");
}

}  // namespace
}  // namespace ez::queue
