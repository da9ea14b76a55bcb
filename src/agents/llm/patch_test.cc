#include "agents/llm/patch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ez::agents {
namespace {

using ::testing::HasSubstr;

std::string apply(const std::string& text, const std::string& hunks) {
  auto parsed = parse_patch("--- a/f\n+++ b/f\n" + hunks);
  if (!parsed.ok()) return "PARSE: " + parsed.error().message();
  auto out = apply_hunks(text, (*parsed)[0].hunks);
  return out.ok() ? *out : "APPLY: " + out.error().message();
}

TEST(Patch, ChangesWhatItNames) {
  EXPECT_EQ(apply("1\n2\n3\n4\n", "@@ -2,2 +2,3 @@\n 2\n-3\n+three\n+and more\n"),
            "1\n2\nthree\nand more\n4\n");
  EXPECT_EQ(apply("1\n2\n3\n", "@@ -1 +1 @@\n-1\n+one\n@@ -3 +3 @@ title\n-3\n+three\n"), "one\n2\nthree\n");
  EXPECT_EQ(apply("", "@@ -0,0 +1,2 @@\n+a\n+b\n"), "a\nb\n");
  EXPECT_EQ(apply("a\nb\n", "@@ -2,0 +3,1 @@\n+c\n"), "a\nb\nc\n");
  EXPECT_EQ(apply("a\n\nb\n", "@@ -1,3 +1,3 @@\n a\n\n-b\n+c\n"), "a\n\nc\n");
}

TEST(Patch, KnowsTheEndOfAFileWithoutALineEnd) {
  EXPECT_EQ(apply("a\nb", "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n"), "a\nc\n");
  EXPECT_EQ(apply("a\nb\n", "@@ -2 +2 @@\n-b\n+b\n\\ No newline at end of file\n"), "a\nb");
  EXPECT_THAT(apply("a\nb", "@@ -2 +2 @@\n-b\n+c\n"), HasSubstr("not in the file"));
}

TEST(Patch, FindsAMovedHunkOnlyWhenItIsTheOnlyPlace) {
  EXPECT_EQ(apply("0\n1\n2\n3\n", "@@ -1,2 +1,2 @@\n 2\n-3\n+three\n"), "0\n1\n2\nthree\n");
  EXPECT_THAT(apply("x\na\nx\na\n", "@@ -4 +4 @@\n-x\n+y\n"), HasSubstr("at several places"));
  EXPECT_THAT(apply("a\n", "@@ -1 +1 @@\n-A\n+b\n"), HasSubstr("hunk 1 does not fit"));
  EXPECT_THAT(apply("\ta\n", "@@ -1 +1 @@\n-    a\n+b\n"), HasSubstr("does not fit"));
}

TEST(Patch, RefusesWhatIsNotAUnifiedDiff) {
  EXPECT_THAT(apply("a\n", "@@ -1,2 +1 @@\n-a\n+b\n"),
              HasSubstr("line 3 of the patch: the hunk says 2 old and 1"));
  EXPECT_THAT(apply("a\n", "@@ 1 @@\n-a\n+b\n"), HasSubstr("a hunk begins with"));
  EXPECT_THAT(apply("a\n", "@@ -99999999999999999999 +1 @@\n-a\n+b\n"), HasSubstr("a hunk begins with"));
  EXPECT_THAT(apply("a\n", ""), HasSubstr("has no hunk"));
  for (const char* patch : {"", "hello\n", "@@ -1 +1 @@\n-a\n+b\n", "--- a/f\n@@ -1 +1 @@\n-a\n+b\n",
                            "--- /dev/null\n+++ /dev/null\n", "--- a/f\n+++ b/g\n@@ -1 +1 @@\n-a\n+b\n",
                            "rename from a\nrename to b\n", "Binary files a/x and b/x differ\n", "--- a/f"}) {
    EXPECT_FALSE(parse_patch(patch).ok()) << patch;
  }
}

TEST(Patch, TakesSeveralFilesInGitsForm) {
  const auto parsed = parse_patch(
      "Here it is:\ndiff --git a/x b/x\nindex 1..2 100644\n--- a/x\t2026-01-01\n+++ b/x\n@@ -1 +1 "
      "@@\n-a\n+b\n"
      "diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+n\n"
      "--- a/old\n+++ /dev/null\n@@ -1 +0,0 @@\n-o\n");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message();
  ASSERT_EQ(parsed->size(), 3U);
  EXPECT_EQ((*parsed)[0].new_path, "x");
  EXPECT_EQ((*parsed)[1].old_path, "");
  EXPECT_EQ((*parsed)[2].new_path, "");
  EXPECT_EQ(*apply_hunks("o\n", (*parsed)[2].hunks), "");
}

}  // namespace
}  // namespace ez::agents
