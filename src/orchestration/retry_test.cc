#include "orchestration/retry.h"

#include <gtest/gtest.h>

#include <limits>

namespace ez::orchestration {
namespace {

TEST(Backoff, GrowsToItsCeiling) {
  const Retry policy{
      .max_attempts = 9, .backoff_ms = 1'000, .max_backoff_ms = 5'000, .multiplier_permille = 2'000};
  EXPECT_EQ(backoff_ms(policy, 2, 0), 1'000);
  EXPECT_EQ(backoff_ms(policy, 3, 0), 2'000);
  EXPECT_EQ(backoff_ms(policy, 4, 0), 4'000);
  EXPECT_EQ(backoff_ms(policy, 5, 0), 5'000);
  EXPECT_EQ(backoff_ms(policy, 4'000'000'000U, 0), 5'000);
  EXPECT_EQ(backoff_ms(policy, 1, 0), 1'000);
}

TEST(Backoff, JitterIsAddedInProportionToTheDraw) {
  const Retry policy{.backoff_ms = 1'000, .jitter_permille = 300};
  EXPECT_EQ(backoff_ms(policy, 2, 0), 1'000);
  EXPECT_EQ(backoff_ms(policy, 2, 500), 1'150);
  EXPECT_EQ(backoff_ms(policy, 2, 1'000), 1'300);
  EXPECT_EQ(backoff_ms(policy, 2, 4'000), 1'300);  // a draw above its range counts as the largest
}

TEST(Backoff, FractionsOfAFactorAreKept) {
  const Retry policy{.backoff_ms = 1'000, .multiplier_permille = 1'500};
  EXPECT_EQ(backoff_ms(policy, 4, 0), 2'250);
}

TEST(Backoff, SaturatesInsteadOfOverflowing) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  const Retry policy{
      .backoff_ms = kMax, .max_backoff_ms = kMax, .multiplier_permille = 100'000, .jitter_permille = 1'000};
  EXPECT_EQ(backoff_ms(policy, 50, 1'000), kMax);
  EXPECT_EQ(backoff_ms(Retry{.backoff_ms = 0}, 50, 1'000), 0);
  EXPECT_EQ(backoff_ms(Retry{.backoff_ms = 700, .multiplier_permille = 1'000, .jitter_permille = 0},
                       4'000'000'000U, 9),
            700);
}

}  // namespace
}  // namespace ez::orchestration
