#include "base/rfc3339.h"

#include <gtest/gtest.h>

#include "base/clock.h"

namespace ez {
namespace {

TEST(Rfc3339, ReadsWhatTheStandardShows) {
  EXPECT_EQ(parse_rfc3339("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_rfc3339("1985-04-12T23:20:50.52Z"), 482'196'050'520);
  EXPECT_EQ(parse_rfc3339("1996-12-19T16:39:57-08:00"), 851'042'397'000);
  EXPECT_EQ(parse_rfc3339("1990-12-31T23:59:60Z"), 662'688'000'000);
  EXPECT_EQ(parse_rfc3339("1937-01-01T12:00:27.87+00:20"), -1'041'337'172'130);
  EXPECT_EQ(parse_rfc3339("2026-11-22t16:48:00z"), parse_rfc3339("2026-11-22T16:48:00Z"));
  EXPECT_EQ(parse_rfc3339("2026-11-22T16:48:00.123987Z"), parse_rfc3339("2026-11-22T16:48:00.123Z"));
}

TEST(Rfc3339, IsTheInverseOfFormatTime) {
  for (std::int64_t ms = -5'000'000'000'000; ms < 20'000'000'000'000; ms += 86'399'999'123) {
    EXPECT_EQ(parse_rfc3339(format_time(ms)), ms) << format_time(ms);
  }
}

TEST(Rfc3339, RefusesEverythingElse) {
  for (const char* text :
       {"", "2026-11-22", "2026-11-22T16:48:00", "2026-11-22 16:48:00Z", "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z", "2026-00-10T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+1:00",
        "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+01:60", "2026-01-01T00:00:00Z ",
        "26-01-01T00:00:00Z", "2026-01-01T00:00Z", "tomorrow"}) {
    EXPECT_EQ(parse_rfc3339(text), std::nullopt) << text;
  }
  EXPECT_TRUE(parse_rfc3339("2028-02-29T00:00:00Z").has_value());
}

}  // namespace
}  // namespace ez
