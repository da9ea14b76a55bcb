#include "cli/text.h"

#include <gtest/gtest.h>

#include "base/clock.h"

namespace ez::cli {
namespace {

TEST(Text, DurationsHaveTwoPartsAtMost) {
  EXPECT_EQ(duration_text(-5), "0ms");
  EXPECT_EQ(duration_text(850), "850ms");
  EXPECT_EQ(duration_text(3'250), "3.2s");
  EXPECT_EQ(duration_text(59'999), "59s");
  EXPECT_EQ(duration_text(65'000), "1m05s");
  EXPECT_EQ(duration_text(7'380'000), "2h03m");
  EXPECT_EQ(duration_text(273'600'000), "3d04h");
}

TEST(Text, MoneyAndSizes) {
  EXPECT_EQ(money_text(0), "$0.00");
  EXPECT_EQ(money_text(4'200), "$0.0042");
  EXPECT_EQ(money_text(12'340'000), "$12.34");
  EXPECT_EQ(size_text(17), "17 B");
  EXPECT_EQ(size_text(1434), "1.4 KiB");
  EXPECT_EQ(size_text(3ULL << 30), "3.0 GiB");
}

TEST(Text, TimesReadBack) {
  const std::int64_t now_ms = 1'795'366'080'123;
  EXPECT_EQ(parse_time(format_time(now_ms)), now_ms);
  EXPECT_EQ(parse_time("yesterday"), 0);
  EXPECT_EQ(clock_text(3'723'000), "01:02:03");
}

TEST(Text, ControlCharactersNeverReachTheTerminal) {
  EXPECT_EQ(printable("a\x1b[2Jb\nc\td\x7f"), "a?[2Jb c d?");
  EXPECT_EQ(printable("caf\xc3\xa9 \xc2\x9b"
                      "31m \xe2\x80\xae"),
            "caf\xc3\xa9 ?31m ?");
}

TEST(Text, ClippingCountsCharactersNotBytes) {
  EXPECT_EQ(clipped("héllo", 5), "héllo");
  EXPECT_EQ(clipped("héllo", 4), "hél…");
  EXPECT_EQ(clipped("héllo", 0), "");
  EXPECT_EQ(padded("hé", 4), "hé  ");
}

TEST(Text, TablesHaveNoBlanksAtLineEnds) {
  EXPECT_EQ(table_text({{"RUN", "STATE"}, {"r1", "running"}, {"r100", ""}}),
            "RUN   STATE\nr1    running\nr100\n");
}

}  // namespace
}  // namespace ez::cli
