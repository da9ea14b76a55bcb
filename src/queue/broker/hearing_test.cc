#include "queue/broker/hearing.h"

#include <gtest/gtest.h>

namespace ez::queue::broker {
namespace {

constexpr std::int64_t kSecond = 1'000'000;

// A process that gives a sign every five seconds, at a wall clock that may go on without it.
class HearingTest : public testing::Test {
 protected:
  bool sign() {
    EXPECT_TRUE(hearing_.due(now_us_));
    hearing_.begin(now_us_);
    EXPECT_FALSE(hearing_.due(now_us_));
    return hearing_.heard(now_us_, kStartMs + (now_us_ + slept_us_) / 1000);
  }
  // Signs until `seconds` are over; whether the last one judges.
  bool signs(std::int64_t seconds) {
    bool judges = false;
    const std::int64_t end = now_us_ + seconds * kSecond;
    while (now_us_ < end) {
      now_us_ += Hearing::kSignUs;
      judges = sign();
    }
    return judges;
  }

  static constexpr std::int64_t kStartMs = 1'700'000'000'000;
  Hearing hearing_;
  std::int64_t now_us_ = 50 * kSecond;  // the machine runs for a while already
  std::int64_t slept_us_ = 0;
};

TEST_F(HearingTest, ANewProcessListensFirst) {
  EXPECT_FALSE(sign());
  EXPECT_FALSE(signs(25));
  EXPECT_TRUE(signs(5));
  EXPECT_TRUE(signs(5));
}

TEST_F(HearingTest, AfterATimeWithoutTheBrokerTheOthersHaveTime) {
  EXPECT_FALSE(sign());
  EXPECT_TRUE(signs(60));
  hearing_.lost();
  now_us_ += 2 * kSecond;
  EXPECT_FALSE(hearing_.due(now_us_));  // also a failed sign was one
  EXPECT_FALSE(signs(30));
  EXPECT_TRUE(signs(5));
}

TEST_F(HearingTest, AfterASleepOfTheMachineTheOthersHaveTime) {
  EXPECT_FALSE(sign());
  EXPECT_TRUE(signs(60));
  slept_us_ = 600 * kSecond;  // the clock of the process stood still
  EXPECT_FALSE(signs(30));
  EXPECT_TRUE(signs(5));
}

TEST_F(HearingTest, AfterLongJobsTheOthersHaveTime) {
  EXPECT_FALSE(sign());
  EXPECT_TRUE(signs(60));
  now_us_ += 16 * kSecond;
  EXPECT_FALSE(sign());
  EXPECT_FALSE(signs(25));
  EXPECT_TRUE(signs(5));
}

TEST_F(HearingTest, AShortPauseIsNoGap) {
  EXPECT_FALSE(sign());
  EXPECT_TRUE(signs(60));
  now_us_ += 12 * kSecond;
  EXPECT_TRUE(sign());
}

}  // namespace
}  // namespace ez::queue::broker
