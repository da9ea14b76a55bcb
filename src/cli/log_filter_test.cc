#include "cli/log_filter.h"

#include <gtest/gtest.h>

namespace ez::cli {
namespace {

TEST(LogFilter, PipesGetEveryByte) {
  LogFilter filter(false);
  const std::string bytes("a\x1b]0;t\x07\0b", 9);
  EXPECT_EQ(filter.take(bytes), bytes);
}

TEST(LogFilter, ColoursPassAndControlDoesNot) {
  LogFilter filter(true);
  EXPECT_EQ(filter.take("\x1b[1;31mred\x1b[0m\tx\n"), "\x1b[1;31mred\x1b[0m\tx\n");
  EXPECT_EQ(filter.take("\x1b[2J\x1b[Hgone\x07\x08"), "gone");
  EXPECT_EQ(filter.take("\x1b]0;title\x07"
                        "a\x1b]52;c;eA==\x1b\\b\x1bPq#\x1b\\c"),
            "abc");
  EXPECT_EQ(filter.take("\x1b[>4;2mkeys"), "keys");
}

TEST(LogFilter, SequencesMayBeSplitAnywhere) {
  const std::string text = "x\x1b[31my\x1b]0;t\x1b\\z\x1b[6n!";
  LogFilter whole(true);
  const std::string expected = whole.take(text);
  EXPECT_EQ(expected, "x\x1b[31myz!");
  LogFilter pieces(true);
  std::string out;
  for (const char c : text) out += pieces.take(std::string(1, c));
  EXPECT_EQ(out, expected);
}

}  // namespace
}  // namespace ez::cli
