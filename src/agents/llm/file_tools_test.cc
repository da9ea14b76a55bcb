#include "agents/llm/file_tools.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "agents/test_support.h"
#include "base/json.h"

namespace ez::agents {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class FileToolsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    spill(tree_ + "/src/a.txt", "one\ntwo\nthree\n");
    spill(tree_ + "/README", "hello\n");
    spill(dir_ / "secret", "top secret\n");
    spill(tree_ + "/.git", "gitdir: elsewhere\n");
    ASSERT_EQ(::symlink((dir_ / "secret").c_str(), (tree_ + "/link").c_str()), 0);
    ASSERT_EQ(::symlink(dir_.path().c_str(), (tree_ + "/folder").c_str()), 0);
    ASSERT_EQ(::mkfifo((tree_ + "/pipe").c_str(), 0644), 0);
    FileToolLimits limits;
    limits.max_written_bytes = 10'000;
    ASSERT_TRUE(add_file_tools(box_, TreeFiles(tree_), limits, [] { return false; }).ok());
  }
  ToolAnswer run(const std::string& name, Value::Map input) {
    return box_.run({"id", name, Value(std::move(input)), ""});
  }
  std::string ok(const std::string& name, Value::Map input) {
    const ToolAnswer answer = run(name, std::move(input));
    EXPECT_FALSE(answer.is_error) << answer.text;
    EXPECT_FALSE(answer.fatal.has_value());
    return answer.text;
  }
  std::string refused(const std::string& name, Value::Map input) {
    const ToolAnswer answer = run(name, std::move(input));
    EXPECT_TRUE(answer.is_error) << answer.text;
    EXPECT_FALSE(answer.fatal.has_value());
    return answer.text;
  }
  [[nodiscard]] std::string file(const std::string& name) const { return slurp(tree_ + "/" + name); }

  TempDir dir_;
  std::string tree_ = dir_ / "tree";
  ToolBox box_;
};

TEST_F(FileToolsTest, ReadsWithLineNumbersAndInParts) {
  EXPECT_EQ(ok("read_file", {{"path", "src/a.txt"}}), "     1\tone\n     2\ttwo\n     3\tthree\n");
  EXPECT_EQ(ok("read_file", {{"path", "/workspace/src/a.txt"}, {"first_line", 2}, {"lines", 1}}),
            "     2\ttwo\n[… 1 more lines; go on with first_line 3]\n");
  EXPECT_THAT(refused("read_file", {{"path", "src/a.txt"}, {"first_line", 9}}), HasSubstr("has 3 lines"));
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += "line\n";
  spill(tree_ + "/many", many);
  const std::string part = ok("read_file", {{"path", "many"}});
  EXPECT_LT(part.size(), kMaxReadBytes + 4'000);
  EXPECT_THAT(part, HasSubstr("98000 more lines; go on with first_line 2001"));
  spill(tree_ + "/binary", std::string("a\0b", 3));
  EXPECT_THAT(refused("read_file", {{"path", "binary"}}), HasSubstr("binary"));
  spill(tree_ + "/wide", std::string(1'000'000, 'x'));
  EXPECT_LT(ok("read_file", {{"path", "wide"}}).size(), 3'000U);
}

TEST_F(FileToolsTest, NothingOutsideOfTheTreeIsReached) {
  for (const char* path :
       {"../secret", "src/../../secret", "/etc/passwd", "link", "folder/secret", "folder", "pipe", ".git",
        ".git/config", "src/.GIT/x", "src//a.txt", "", "/workspace/../etc/passwd"}) {
    const std::string text = refused("read_file", {{"path", path}});
    EXPECT_THAT(text, Not(HasSubstr("top secret"))) << path;
  }
  for (const char* path : {"../out", "/tmp/out", "link", "folder/out", ".git/hooks/post-commit", ".git",
                           "a/.git/x", "pipe", "src"}) {
    refused("write_file", {{"path", path}, {"content", "x"}});
  }
  EXPECT_EQ(slurp(dir_ / "secret"), "top secret\n");
  EXPECT_FALSE(std::ifstream(dir_ / "out").good());
  EXPECT_EQ(file(".git"), "gitdir: elsewhere\n");
  refused("edit_file", {{"path", "link"}, {"old_text", "top"}, {"new_text", "no"}});
  refused("apply_patch",
          {{"patch", "--- a/folder/secret\n+++ b/folder/secret\n@@ -1 +1 @@\n-top secret\n+x\n"}});
  refused("apply_patch", {{"patch", "--- /dev/null\n+++ b/../new\n@@ -0,0 +1 @@\n+x\n"}});
  refused("apply_patch", {{"patch", "--- /dev/null\n+++ b/.git/hooks/pre-commit\n@@ -0,0 +1 @@\n+x\n"}});
  refused("list_files", {{"folder", ".."}});
  refused("list_files", {{"folder", "folder"}});
  EXPECT_THAT(ok("search", {{"pattern", "secret"}}), HasSubstr("no match"));
}

TEST_F(FileToolsTest, ListsWithGlobs) {
  EXPECT_EQ(ok("list_files", {{"glob", "*.txt"}}), "src/a.txt\n");
  EXPECT_EQ(ok("list_files", {{"folder", "src"}}), "src/a.txt\n");
  const std::string all = ok("list_files", {});
  EXPECT_THAT(all, AllOf(HasSubstr("README\n"), HasSubstr("link (a link"), Not(HasSubstr(".git"))));
}

TEST_F(FileToolsTest, SearchesLines) {
  EXPECT_EQ(ok("search", {{"pattern", "t[hw]"}}), "src/a.txt:2: two\nsrc/a.txt:3: three\n");
  EXPECT_EQ(ok("search", {{"pattern", "HELLO"}, {"ignore_case", true}}), "README:1: hello\n");
  EXPECT_THAT(refused("search", {{"pattern", "("}}), HasSubstr("regular expression"));
  std::string many;
  for (int i = 0; i < 1'000; ++i) many += "match\n";
  spill(tree_ + "/many", many);
  EXPECT_THAT(ok("search", {{"pattern", "match"}}), HasSubstr("more matches were left out"));
}

TEST_F(FileToolsTest, EditsExactly) {
  EXPECT_THAT(ok("edit_file", {{"path", "src/a.txt"}, {"old_text", "two\n"}, {"new_text", "2\n"}}),
              HasSubstr("1 place"));
  EXPECT_EQ(file("src/a.txt"), "one\n2\nthree\n");
  EXPECT_THAT(refused("edit_file", {{"path", "src/a.txt"}, {"old_text", "two"}, {"new_text", "x"}}),
              HasSubstr("is not in src/a.txt"));
  EXPECT_THAT(refused("edit_file", {{"path", "src/a.txt"}, {"old_text", "e\n"}, {"new_text", "x"}}),
              HasSubstr("2 times"));
  ok("edit_file", {{"path", "src/a.txt"}, {"old_text", "e\n"}, {"new_text", "E\n"}, {"all", true}});
  EXPECT_EQ(file("src/a.txt"), "onE\n2\nthreE\n");
  refused("edit_file", {{"path", "src/a.txt"}, {"old_text", ""}, {"new_text", "x"}});
  refused("edit_file", {{"path", "none"}, {"old_text", "a"}, {"new_text", "x"}});
}

TEST_F(FileToolsTest, APatchIsAllOrNothing) {
  const std::string good = "--- a/README\n+++ b/README\n@@ -1 +1 @@\n-hello\n+good day\n";
  const std::string bad = "--- a/src/a.txt\n+++ b/src/a.txt\n@@ -1 +1 @@\n-ONE\n+x\n";
  EXPECT_THAT(refused("apply_patch", {{"patch", good + bad}}), HasSubstr("nothing was changed"));
  EXPECT_EQ(file("README"), "hello\n");
  ok("apply_patch", {{"patch", good + "--- /dev/null\n+++ b/deep/er/new.txt\n@@ -0,0 +1 @@\n+n\n" +
                                   "--- a/src/a.txt\n+++ /dev/null\n@@ -1,3 +0,0 @@\n-one\n-two\n-three\n"}});
  EXPECT_EQ(file("README"), "good day\n");
  EXPECT_EQ(file("deep/er/new.txt"), "n\n");
  EXPECT_FALSE(std::ifstream(tree_ + "/src/a.txt").good());
  refused("apply_patch", {{"patch", "--- /dev/null\n+++ b/README\n@@ -0,0 +1 @@\n+n\n"}});
}

TEST_F(FileToolsTest, WritesKeepTheModeAndHaveALimit) {
  ASSERT_EQ(::chmod((tree_ + "/README").c_str(), 0755), 0);
  EXPECT_THAT(ok("write_file", {{"path", "README"}, {"content", "x"}}), HasSubstr("replaced"));
  struct stat info {};
  ASSERT_EQ(::stat((tree_ + "/README").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0755U);
  EXPECT_THAT(ok("write_file", {{"path", "a/b/c"}, {"content", ""}}), HasSubstr("created a/b/c"));
  const ToolAnswer full = run("write_file", {{"path", "big"}, {"content", std::string(20'000, 'x')}});
  ASSERT_TRUE(full.fatal.has_value());
  EXPECT_EQ(full.fatal->code(), Code::DiskLimit);
  EXPECT_EQ(user_shell(tree_, "find . -name '.ez-new*'"), "");
}

TEST_F(FileToolsTest, InputsAreCheckedAgainstTheSchema) {
  EXPECT_THAT(refused("read_file", {}), HasSubstr("lacks the member \"path\""));
  EXPECT_THAT(refused("read_file", {{"path", 7}}), HasSubstr("/path: must be of type string"));
  EXPECT_THAT(refused("read_file", {{"path", "README"}, {"more", 1}}),
              HasSubstr("/more: this member is not known"));
  EXPECT_THAT(refused("shell", {}), HasSubstr("there is no tool shell; there are apply_patch"));
  EXPECT_THAT(box_.run({"id", "read_file", Value(), "1:2: bad"}).text, HasSubstr("cannot be read"));
}

TEST(ToolBox, RefusesWhatCannotBeATool) {
  ToolBox box;
  const auto run = [](const Value&) { return ToolAnswer{}; };
  EXPECT_TRUE(box.add("a", "", object_schema({}), run).ok());
  EXPECT_FALSE(box.add("a", "", object_schema({}), run).ok());
  EXPECT_FALSE(box.add("a b", "", object_schema({}), run).ok());
  EXPECT_FALSE(box.add("b", "", *parse_json(R"({"type":"what"})"), run).ok());
  EXPECT_EQ(box.size(), 1U);
}

TEST(Shortened, KeepsBothEndsAndCleansBytes) {
  EXPECT_EQ(shortened("abc", 10), "abc");
  EXPECT_EQ(shortened(std::string("a\x1b[31m\xff\0z", 9), 10), "a\xEF\xBF\xBD[31m\xEF\xBF\xBD\xEF\xBF\xBDz");
  const std::string cut = shortened(std::string(100, 'a') + std::string(100, 'b'), 30);
  EXPECT_EQ(cut, std::string(10, 'a') + "\n[… 170 bytes left out …]\n" + std::string(20, 'b'));
}

}  // namespace
}  // namespace ez::agents
