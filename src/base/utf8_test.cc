#include "base/utf8.h"

#include <gtest/gtest.h>

namespace ez {
namespace {

TEST(Utf8, EveryScalarValueReadsBack) {
  for (std::uint32_t code_point = 0; code_point <= kMaxCodePoint; ++code_point) {
    if (is_surrogate(code_point)) continue;
    std::string text;
    append_utf8(text, code_point);
    ASSERT_EQ(utf8_sequence_length(text), text.size()) << code_point;
    std::string_view rest = text;
    ASSERT_EQ(take_code_point(rest), code_point);
    ASSERT_TRUE(rest.empty()) << code_point;
  }
}

TEST(Utf8, RefusesWhatIsNotWellFormed) {
  for (const std::string_view bad :
       {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2\x41", "\xE0\x80\x80", "\xE0\x9F\xBF",
        "\xED\xA0\x80", "\xED\xBF\xBF", "\xE2\x82", "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xF0\x9F\x98"}) {
    EXPECT_EQ(utf8_sequence_length(bad), 0U) << testing::PrintToString(bad);
    std::string_view rest = bad;
    EXPECT_EQ(take_code_point(rest), kReplacementCharacter);
    EXPECT_EQ(rest.size(), bad.size() - 1);
  }
  EXPECT_EQ(utf8_sequence_length(""), 0U);
}

TEST(Utf8, CountsCodePoints) {
  EXPECT_EQ(count_code_points(""), 0U);
  EXPECT_EQ(count_code_points("abc"), 3U);
  EXPECT_EQ(count_code_points("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"), 4U);
  EXPECT_EQ(count_code_points("a\xFF\xC3"), 3U);
}

}  // namespace
}  // namespace ez
