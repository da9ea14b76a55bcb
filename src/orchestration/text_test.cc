#include "orchestration/text.h"

#include <gtest/gtest.h>

#include <array>

#include "base/random.h"

namespace ez::orchestration {
namespace {

TEST(Durations, AreRead) {
  EXPECT_EQ(parse_duration_ms("500ms"), 500);
  EXPECT_EQ(parse_duration_ms("30s"), 30'000);
  EXPECT_EQ(parse_duration_ms("5m"), 300'000);
  EXPECT_EQ(parse_duration_ms("1h"), 3'600'000);
  EXPECT_EQ(parse_duration_ms("2d"), 172'800'000);
  EXPECT_EQ(parse_duration_ms("1h30m"), 5'400'000);
  EXPECT_EQ(parse_duration_ms("1d2h3m4s5ms"), 93'784'005);
  EXPECT_EQ(parse_duration_ms("0s"), 0);
  EXPECT_EQ(parse_duration_ms("3650d"), kMaxDurationMs);
}

TEST(Durations, EverythingElseIsRefused) {
  for (const char* bad : {"", "5", "s", "1.5h", "-1s", "1 h", "1h ", "30m1h", "1h1h", "1S", "1w", "3651d",
                          "3650d1ms", "999999999999999999999999ms", "1h30", "ms5"}) {
    EXPECT_EQ(parse_duration_ms(bad), std::nullopt) << bad;
  }
}

TEST(Durations, FormattedOnesReadBack) {
  EXPECT_EQ(format_duration_ms(5'400'000), "1h30m");
  EXPECT_EQ(format_duration_ms(0), "0s");
  SeededRandom random(1);
  for (int i = 0; i < 2'000; ++i) {
    const auto ms = static_cast<std::int64_t>(random.next() % (1ULL << random.below(38)));
    EXPECT_EQ(parse_duration_ms(format_duration_ms(ms)), ms) << ms;
  }
}

TEST(Money, IsExact) {
  EXPECT_EQ(parse_microusd("100"), 100'000'000);
  EXPECT_EQ(parse_microusd("0.1"), 100'000);
  EXPECT_EQ(parse_microusd("12.345678"), 12'345'678);
  EXPECT_EQ(parse_microusd("0.000001"), 1);
  EXPECT_EQ(parse_microusd("1000000000"), kMaxMoneyMicrousd);
  for (const char* bad : {"", ".5", "5.", "1.2345678", "-1", "+1", "1e2", "1,5", "$5", "1000000000.000001",
                          "99999999999999999999", "1.2.3", "0x10"}) {
    EXPECT_EQ(parse_microusd(bad), std::nullopt) << bad;
  }
}

TEST(Permille, IsExact) {
  EXPECT_EQ(parse_permille("0.3"), 300);
  EXPECT_EQ(parse_permille("2"), 2'000);
  EXPECT_EQ(parse_permille("0.0005"), std::nullopt);
}

TEST(Names, FollowTheRule) {
  for (const char* good : {"a", "0", "build-all", "a_b", "x9"}) EXPECT_TRUE(is_name(good)) << good;
  for (const char* bad : {"", "A", "-a", "_a", "a.b", "a b", "ä", "a/b"}) EXPECT_FALSE(is_name(bad)) << bad;
  EXPECT_TRUE(is_name(std::string(63, 'a')));
  EXPECT_FALSE(is_name(std::string(64, 'a')));
  EXPECT_TRUE(is_identifier("_Build2"));
  EXPECT_FALSE(is_identifier("2x"));
  EXPECT_FALSE(is_identifier("a-b"));
}

TEST(Suggestions, FindTheSlip) {
  static constexpr std::array<std::string_view, 5> kWords{"dependencies", "run", "retry", "for_each", "env"};
  EXPECT_EQ(nearest("dependancies", kWords), "dependencies");
  EXPECT_EQ(nearest("depends", kWords), "");
  EXPECT_EQ(nearest("rnu", kWords), "run");
  EXPECT_EQ(nearest("RETRY", kWords), "retry");
  EXPECT_EQ(nearest("foreach", kWords), "for_each");
  EXPECT_EQ(nearest("xyz", kWords), "");
  EXPECT_EQ(nearest("", kWords), "");
}

TEST(Suggestions, DistanceCountsEditsAndSwaps) {
  EXPECT_EQ(edit_distance("abc", "abc", 3), 0U);
  EXPECT_EQ(edit_distance("abc", "acb", 3), 1U);
  EXPECT_EQ(edit_distance("abc", "abcd", 3), 1U);
  EXPECT_EQ(edit_distance("kitten", "sitting", 5), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting", 2), 3U);
  EXPECT_EQ(edit_distance("", "ab", 5), 2U);
}

}  // namespace
}  // namespace ez::orchestration
