#include "models/route/key_pool.h"

#include <gtest/gtest.h>

namespace ez::models {
namespace {

constexpr std::int64_t kNow = 1'000'000;

class KeyPoolTest : public ::testing::Test {
 protected:
  KeyPoolTest() {
    provider.name = "p";
    provider.keys = {{"p-1", "a"}, {"p-2", "b"}};
    provider.max_calls = 2;
    pool = std::make_unique<KeyPool>(provider);
  }
  KeyPool::Choice take(std::int64_t now = kNow, std::int64_t tokens = 10) {
    return pool->take(now, tokens, std::vector<bool>(2, false));
  }
  static ProviderError error(ErrorKind kind, std::optional<std::int64_t> retry_after_ms = std::nullopt) {
    ProviderError out;
    out.kind = kind;
    out.retry_after_ms = retry_after_ms;
    return out;
  }
  Provider provider;
  std::unique_ptr<KeyPool> pool;
};

TEST_F(KeyPoolTest, CallsSpreadOverKeysUpToTheirBound) {
  EXPECT_EQ(take().key, 0U);
  EXPECT_EQ(take().key, 1U);
  EXPECT_EQ(take().key, 0U);
  EXPECT_EQ(take().key, 1U);
  const KeyPool::Choice full = take();
  EXPECT_FALSE(full.key);
  EXPECT_GT(full.wait_ms, 0);
  pool->release(1);
  EXPECT_EQ(take().key, 1U);
}

TEST_F(KeyPoolTest, AKeyRestsAsLongAsItIsTold) {
  EXPECT_EQ(take().key, 0U);
  pool->failed(0, error(ErrorKind::kRateLimit, 5'000), kNow);
  pool->release(0);
  EXPECT_EQ(take().key, 1U);
  EXPECT_EQ(take(kNow + 4'999).key, 1U);
  EXPECT_EQ(take(kNow + 5'000).key, 0U);
}

TEST_F(KeyPoolTest, WithoutATimeItRestsLongerEachTime) {
  pool->failed(0, error(ErrorKind::kRateLimit), kNow);
  pool->failed(1, error(ErrorKind::kRateLimit), kNow);
  EXPECT_EQ(take().wait_ms, 1'000);
  pool->failed(0, error(ErrorKind::kRateLimit), kNow + 1'000);
  pool->failed(1, error(ErrorKind::kRateLimit), kNow + 1'000);
  EXPECT_EQ(take(kNow + 1'000).wait_ms, 2'000);
}

TEST_F(KeyPoolTest, LimitsAreLearntFromAnswers) {
  RateLimits limits;
  limits.requests = {10, 1, kNow + 8'000};
  limits.input_tokens = {1'000, 50, kNow + 3'000};
  pool->succeeded(0, limits, kNow);
  pool->failed(1, error(ErrorKind::kAuthentication), kNow);
  EXPECT_EQ(take(kNow, 100).wait_ms, 3'000) << "so many tokens are not left";
  EXPECT_EQ(take(kNow, 5'000).key, 0U) << "what never fits is the provider's to refuse";
  EXPECT_EQ(take(kNow, 10).wait_ms, 8'000) << "the last request was taken";
  EXPECT_EQ(take(kNow + 8'000, 10).key, 0U);
}

TEST_F(KeyPoolTest, AProviderThatKeepsFailingGetsAPauseAndOneProbe) {
  for (int i = 0; i < 5; ++i) pool->failed(0, error(ErrorKind::kServer), kNow);
  EXPECT_TRUE(pool->provider_open(kNow));
  EXPECT_FALSE(take().key);
  const std::int64_t later = kNow + Breaker::kFirstOpenMs;
  const KeyPool::Choice probe = take(later);
  ASSERT_TRUE(probe.key);
  EXPECT_FALSE(take(later).key) << "one call tries whether it is back";
  pool->failed(*probe.key, error(ErrorKind::kServer), later);
  EXPECT_TRUE(pool->provider_open(later + Breaker::kFirstOpenMs)) << "twice as long";
  const KeyPool::Choice again = take(later + 2 * Breaker::kFirstOpenMs);
  ASSERT_TRUE(again.key);
  pool->succeeded(*again.key, {}, later);
  EXPECT_TRUE(take(later + 2 * Breaker::kFirstOpenMs).key);
}

TEST_F(KeyPoolTest, ABadRequestSaysNothingAboutTheProvider) {
  for (int i = 0; i < 20; ++i) pool->failed(0, error(ErrorKind::kInvalidRequest), kNow);
  EXPECT_TRUE(take().key);
}

}  // namespace
}  // namespace ez::models
