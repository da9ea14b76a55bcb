#include "queue/manager/breaker.h"

#include <gtest/gtest.h>

namespace ez::queue {
namespace {

const Error kWhy(Code::QueueUnreachable, "nobody answers");

Breaker breaker_that_is_up() {
  Breaker breaker({2, 4, 16, 60'000});
  EXPECT_FALSE(breaker.up());
  EXPECT_TRUE(breaker.succeeded(1'000));
  EXPECT_TRUE(breaker.up());
  return breaker;
}

TEST(Breaker, IsDownUntilItsFirstGoodCheck) {
  Breaker breaker({2, 4, 16, 60'000});
  EXPECT_FALSE(breaker.failed(10, kWhy));
  EXPECT_FALSE(breaker.up());
  ASSERT_TRUE(breaker.why().has_value());
  EXPECT_TRUE(breaker.succeeded(20));
  EXPECT_EQ(breaker.since_ms(), 20);
  EXPECT_FALSE(breaker.why().has_value());
}

TEST(Breaker, FallsAfterFailuresInARowOnly) {
  Breaker breaker = breaker_that_is_up();
  for (int i = 0; i < 10; ++i) {
    EXPECT_FALSE(breaker.failed(2'000, kWhy));
    EXPECT_FALSE(breaker.succeeded(2'100));
  }
  EXPECT_FALSE(breaker.failed(3'000, kWhy));
  EXPECT_TRUE(breaker.failed(3'100, kWhy));
  EXPECT_FALSE(breaker.up());
  EXPECT_EQ(breaker.since_ms(), 3'100);
}

TEST(Breaker, ComesBackAfterGoodChecksInARow) {
  Breaker breaker = breaker_that_is_up();
  EXPECT_FALSE(breaker.failed(2'000, kWhy));
  EXPECT_TRUE(breaker.failed(2'100, kWhy));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(breaker.succeeded(2'200));
  EXPECT_FALSE(breaker.failed(2'300, kWhy));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(breaker.succeeded(2'400));
  EXPECT_TRUE(breaker.succeeded(2'500));
}

TEST(Breaker, OneThatComesAndGoesHasToBeGoodForLonger) {
  Breaker breaker = breaker_that_is_up();
  std::int64_t now = 10'000;
  for (const int needed : {4, 8, 16, 16}) {
    EXPECT_FALSE(breaker.failed(now, kWhy));
    EXPECT_TRUE(breaker.failed(now, kWhy));
    EXPECT_EQ(breaker.needed(), needed);
    for (int i = 1; i < needed; ++i) EXPECT_FALSE(breaker.succeeded(now));
    EXPECT_TRUE(breaker.succeeded(now));
    now += 10'000;
  }
  now += 60'000;
  EXPECT_FALSE(breaker.failed(now, kWhy));
  EXPECT_TRUE(breaker.failed(now, kWhy));
  EXPECT_EQ(breaker.needed(), 4) << "after a calm minute it is as at first";
}

}  // namespace
}  // namespace ez::queue
