#include "orchestration/shell_place.h"

#include <gtest/gtest.h>

namespace ez::orchestration {
namespace {

// @ stands for an insert.
std::string place_of(std::string_view script) {
  std::string text;
  for (const char c : script) {
    if (c == '@') {
      text += "${{ 1 }}";
    } else {
      text.push_back(c);
    }
  }
  const auto parsed = Template::parse(text);
  EXPECT_TRUE(parsed.ok());
  const auto found = find_unsafe_insert(*parsed);
  return found ? std::string(found->place) : "";
}

TEST(ShellPlace, WordsAreSafe) {
  for (const std::string_view script : {
           "@",
           "cd @",
           "echo \"Hello, \"@\"!\"",
           "a='x'@'y'",
           "x=@; y=@",
           "$(cat @)",
           "echo \"$(cat @)\"",
           "echo \"$(echo \"a\" @)\"",
           "it\\'s @",
           "echo \\\" @",
           "${x#y} @",
           "$# @",
           "echo a#b @",
           "((a=1)) @",
           "x=$((1 << 2)) @",
           "cat <<< @",
           "cat <<EOF\ntext\nEOF\n@",
           "cat <<-'E F'\n\ttext\n\tE F\n@",
           "# don't\n@",
           "echo `date` @",
           "for f in *; do echo $f; done; @",
           "case x in a) ;; esac; @",
           "printf '%s\\n' @ > \"$EZ_ARTIFACTS/x\"",
           "a=$'it\\'s' @",
           "cat <<A <<B\nA\nB\n@",
       }) {
    EXPECT_EQ(place_of(script), "") << script;
  }
}

TEST(ShellPlace, WhereTheShellReadsAgainIsNot) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"echo \"@\"", "double quotes"},
      {"echo \"it's @\"", "double quotes"},
      {"echo \"a\"b\"@\"", "double quotes"},
      {"echo \"\\\"@\"", "double quotes"},
      {"echo \"$(echo a) @\"", "double quotes"},
      {"echo \"$(echo \"@\")\"", "double quotes"},
      {"echo '@'", "single quotes"},
      {"a='b\\'; c='@'", "single quotes"},
      {"a=$'it\\'s @'", "single quotes"},
      {"echo `cat @`", "backquotes"},
      {"echo \"`cat @`\"", "backquotes"},
      {"cat <<EOF\n@\nEOF", "a here-document"},
      {"cat <<'EOF'\nx\n@\nEOF", "a here-document"},
      {"cat << EOF | wc\nx @\nEOF", "a here-document"},
      {"cat <<A <<B\nA\n@\nB\n", "a here-document"},
      {"# @", "a comment"},
      {"true # it @", "a comment"},
      {"echo @ '@'", "single quotes"},
  };
  for (const auto& [script, place] : cases) EXPECT_EQ(place_of(script), place) << script;
}

}  // namespace
}  // namespace ez::orchestration
