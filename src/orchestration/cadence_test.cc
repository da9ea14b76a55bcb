#include "orchestration/cadence.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace ez::orchestration {
namespace {

constexpr std::int64_t kHour = 3'600'000;

std::int64_t utc(const std::string& text) { return parse_moment_ms(text, TimeZone()).value_or(-1); }

// The next ticks after `from` as texts in UTC.
std::vector<std::string> ticks(const std::string& cadence, const std::string& from, int count,
                               const TimeZone& zone = {}) {
  std::vector<std::string> out;
  const auto parsed = Cadence::parse(cadence);
  EXPECT_TRUE(parsed.ok()) << cadence << ": " << (parsed.ok() ? "" : parsed.error().message());
  if (!parsed.ok()) return out;
  std::int64_t at = utc(from);
  for (int i = 0; i < count; ++i) {
    const auto next = parsed->next_ms(at, at + 10LL * 366 * 24 * kHour, zone);
    if (!next) break;
    at = *next;
    out.push_back(format_moment(at, TimeZone()).substr(0, 16));
  }
  return out;
}

using Texts = std::vector<std::string>;

// Berlin without a file: a rule alone.
TimeZone berlin() {
  std::string bytes = "TZif2" + std::string(15, '\0');
  const std::string counts = std::string(16, '\0') + std::string("\0\0\0\1\0\0\0\1", 8);
  const std::string type("\0\0\x0e\x10\0\0\0", 7);
  bytes += counts + type + "TZif2" + std::string(15, '\0') + counts + type + "\nCET-1CEST,M3.5.0,M10.5.0/3\n";
  auto zone = TimeZone::parse("Test/Berlin", bytes);
  EXPECT_TRUE(zone.ok()) << (zone.ok() ? "" : zone.error().message());
  return zone.ok() ? std::move(zone).value() : TimeZone();
}

TEST(Cron, Fields) {
  EXPECT_EQ(ticks("0 3 * * *", "2026-11-25T03:00:00Z", 2), (Texts{"2026-11-26T03:00", "2026-11-27T03:00"}));
  EXPECT_EQ(ticks("*/20 9-10 * * *", "2026-11-25T09:30:00Z", 4),
            (Texts{"2026-11-25T09:40", "2026-11-25T10:00", "2026-11-25T10:20", "2026-11-25T10:40"}));
  EXPECT_EQ(ticks("5,35 0/12 * * *", "2026-11-25T00:05:00Z", 3),
            (Texts{"2026-11-25T00:35", "2026-11-25T12:05", "2026-11-25T12:35"}));
  EXPECT_EQ(ticks("0 0 * jan,JUL mon-fri", "2026-07-30T12:00:00Z", 3),
            (Texts{"2026-07-31T00:00", "2027-01-01T00:00", "2027-01-04T00:00"}));
  EXPECT_EQ(ticks("59 23 31 12 *", "2026-12-31T23:59:00Z", 1), (Texts{"2027-12-31T23:59"}));
  EXPECT_EQ(ticks("0 0 29 2 *", "2026-01-01T00:00:00Z", 2), (Texts{"2028-02-29T00:00", "2032-02-29T00:00"}));
  EXPECT_EQ(ticks("0 0 * * 7", "2026-11-25T00:00:00Z", 1), (Texts{"2026-11-29T00:00"}));
  EXPECT_EQ(ticks("0 0 * * 5-7", "2026-11-25T00:00:00Z", 3),
            (Texts{"2026-11-27T00:00", "2026-11-28T00:00", "2026-11-29T00:00"}));
}

TEST(Cron, WithBothKindsOfDaysEitherIsEnough) {
  EXPECT_EQ(ticks("0 0 13 * fri", "2026-11-01T00:00:00Z", 3),
            (Texts{"2026-11-06T00:00", "2026-11-13T00:00", "2026-11-20T00:00"}));
  EXPECT_EQ(ticks("0 0 */10 * mon", "2026-11-01T00:00:00Z", 2),
            (Texts{"2026-12-21T00:00", "2027-01-11T00:00"}));
}

TEST(Cron, ShortForms) {
  EXPECT_EQ(ticks("@hourly", "2026-11-25T09:30:00Z", 1), (Texts{"2026-11-25T10:00"}));
  EXPECT_EQ(ticks("@midnight", "2026-11-25T09:30:00Z", 1), (Texts{"2026-11-26T00:00"}));
  EXPECT_EQ(ticks("@weekly", "2026-11-25T09:30:00Z", 1), (Texts{"2026-11-29T00:00"}));
  EXPECT_EQ(ticks("@monthly", "2026-11-25T09:30:00Z", 1), (Texts{"2026-12-01T00:00"}));
  EXPECT_EQ(ticks("@yearly", "2026-11-25T09:30:00Z", 1), (Texts{"2027-01-01T00:00"}));
}

TEST(Cron, MistakesAreNamed) {
  for (const auto& [text, named] :
       std::vector<std::pair<std::string, std::string>>{{"", "0 fields"},
                                                        {"0 3 * *", "4 fields"},
                                                        {"0 3 * * * *", "6 fields"},
                                                        {"60 3 * * *", "minute"},
                                                        {"0 24 * * *", "hour"},
                                                        {"0 0 0 * *", "day of month"},
                                                        {"0 0 * 13 *", "month"},
                                                        {"0 0 * * 8", "day of week"},
                                                        {"0 0 * * fri-mon", "backwards"},
                                                        {"*/0 * * * *", "step"},
                                                        {"*/x * * * *", "step"},
                                                        {"1,,2 * * * *", "empty"},
                                                        {"1, * * * *", "empty"},
                                                        {"1- * * * *", "no value"},
                                                        {"? * * * *", "no value"},
                                                        {"0 0 L * *", "no value"},
                                                        {"0 0 * * mon#2", "no value"},
                                                        {"-1 * * * *", "no value"},
                                                        {"@reboot", "not known"},
                                                        {"@every", "not known"},
                                                        {"@every 0s", "at least a second"},
                                                        {"@every 10 minutes", "at least a second"},
                                                        {std::string(300, '*'), "256 bytes"}}) {
    const auto parsed = Cadence::parse(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.error().code(), Code::InvalidArgument);
    EXPECT_NE(parsed.error().message().find(named), std::string::npos) << parsed.error().message();
  }
}

TEST(Cadences, EveryCountsFromTheEpochOnWhateverTheStart) {
  EXPECT_EQ(ticks("@every 15m", "2026-11-25T09:31:07Z", 2), (Texts{"2026-11-25T09:45", "2026-11-25T10:00"}));
  EXPECT_EQ(ticks("@every 15m", "2026-11-25T09:45:00Z", 1), (Texts{"2026-11-25T10:00"}));
  EXPECT_EQ(ticks("@every 1d", "2026-11-25T09:45:00Z", 1, berlin()), (Texts{"2026-11-26T00:00"}));
}

TEST(Cadences, ATickInTheGapRunsOnceAtTheJump) {
  EXPECT_EQ(ticks("30 2 * * *", "2026-03-27T12:00:00Z", 3, berlin()),
            (Texts{"2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30"}));
  // All that are skipped tick together, and with the regular one of that moment.
  EXPECT_EQ(ticks("*/20 2-3 * * *", "2026-03-28T12:00:00Z", 4, berlin()),
            (Texts{"2026-03-29T01:00", "2026-03-29T01:20", "2026-03-29T01:40", "2026-03-30T00:00"}));
}

TEST(Cadences, ATickInTheFoldRunsOnceTheFirstTime) {
  EXPECT_EQ(ticks("30 2 * * *", "2026-10-24T12:00:00Z", 2, berlin()),
            (Texts{"2026-10-25T00:30", "2026-10-26T01:30"}));
  EXPECT_EQ(ticks("*/30 2 * * *", "2026-10-25T00:10:00Z", 2, berlin()),
            (Texts{"2026-10-25T00:30", "2026-10-26T01:00"}));
  // From within the second time.
  EXPECT_EQ(ticks("*/30 2 * * *", "2026-10-25T01:10:00Z", 1, berlin()), (Texts{"2026-10-26T01:00"}));
}

TEST(Cadences, OneStepIsTheSameAsManySmallerOnes) {
  // The instants do not depend on where the search begins.
  const TimeZone zone = berlin();
  const auto cadence = Cadence::parse("*/30 1-3 * * *");
  ASSERT_TRUE(cadence.ok());
  for (const char* day : {"2026-03-28T12:00:00Z", "2026-10-24T12:00:00Z"}) {
    std::vector<std::int64_t> direct, found;
    const std::int64_t begin = utc(day), end = begin + 36 * kHour;
    std::int64_t last = begin;
    while (const auto next = cadence->next_ms(last, end, zone)) {
      last = *next;
      direct.push_back(last);
    }
    for (std::int64_t at = begin; at < end; at += 60'000) {
      if (const auto next = cadence->next_ms(at, at + 60'000, zone)) found.push_back(*next);
    }
    EXPECT_EQ(direct, found) << day;
  }
}

class Plans : public ::testing::Test {
 protected:
  Plan plan(const std::string& text, std::int64_t after_ms, std::int64_t now_ms, std::int64_t jitter_ms = 0) {
    PlanRequest request;
    request.after_ms = after_ms;
    request.now_ms = now_ms;
    request.jitter_ms = jitter_ms;
    const auto cadence = Cadence::parse(text);
    EXPECT_TRUE(cadence.ok());
    return plan_ticks(*cadence, TimeZone(), request,
                      [&](std::uint64_t bound) { return random.below(bound); });
  }
  SeededRandom random{7};
  const std::int64_t now = utc("2026-11-25T12:00:30Z");
};

TEST_F(Plans, FollowOnEachOtherWithoutAHole) {
  std::int64_t through = now, at = now;
  std::vector<std::int64_t> seen;
  for (int i = 0; i < 10; ++i) {
    const Plan next = plan("*/7 * * * *", through, at);
    EXPECT_EQ(next.missed, 0U);
    EXPECT_LE(next.ticks.size(), 16U);
    EXPECT_GT(next.again_ms, at);
    EXPECT_LE(next.again_ms, next.through_ms);
    for (const PlannedTick& tick : next.ticks) seen.push_back(tick.instant_ms);
    through = next.through_ms;
    at = next.again_ms;
  }
  std::vector<std::int64_t> direct;
  const auto cadence = Cadence::parse("*/7 * * * *");
  std::int64_t last = now;
  while (const auto next = cadence->next_ms(last, through, TimeZone())) {
    last = *next;
    direct.push_back(last);
  }
  EXPECT_EQ(seen, direct);
}

TEST_F(Plans, ReachADayAheadAndNoFurther) {
  const Plan yearly = plan("@yearly", now, now);
  EXPECT_TRUE(yearly.ticks.empty());
  EXPECT_EQ(yearly.through_ms, now + 24 * kHour);
  EXPECT_EQ(yearly.again_ms, now + 23 * kHour);
}

TEST_F(Plans, OfThePastOnlyTheLastIsKept) {
  const Plan late = plan("0 * * * *", now - 5 * kHour, now);
  ASSERT_FALSE(late.ticks.empty());
  EXPECT_EQ(late.ticks[0].instant_ms, utc("2026-11-25T12:00:00Z"));
  EXPECT_EQ(late.ticks[1].instant_ms, utc("2026-11-25T13:00:00Z"));
  EXPECT_EQ(late.missed, 4U);
  // Very many: still the last one.
  for (const char* text : {"* * * * *", "@every 1s", "30 4 * * *", "0 0 1 1 *"}) {
    const Plan years = plan(text, utc("1990-01-01"), now);
    const auto cadence = Cadence::parse(text);
    EXPECT_EQ(cadence->next_ms(years.ticks[0].instant_ms, now, TimeZone()), std::nullopt) << text;
    EXPECT_LE(years.ticks[0].instant_ms, now);
  }
}

TEST_F(Plans, JitterNeverReachesTheNextTick) {
  for (int i = 0; i < 50; ++i) {
    const Plan jittered = plan("*/10 * * * *", now, now, 3 * kHour);
    for (std::size_t at = 0; at < jittered.ticks.size(); ++at) {
      EXPECT_GE(jittered.ticks[at].due_ms, jittered.ticks[at].instant_ms);
      EXPECT_LT(jittered.ticks[at].due_ms, jittered.ticks[at].instant_ms + 600'000);
    }
  }
  const Plan small = plan("@every 1h", now, now, 1000);
  for (const PlannedTick& tick : small.ticks) EXPECT_LE(tick.due_ms, tick.instant_ms + 1000);
}

}  // namespace
}  // namespace ez::orchestration
