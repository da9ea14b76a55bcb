// Every file of tests/bad_inputs/workflows starts with `# expect: LINE:COLUMN CODE text`: the first mistake
// that parse_workflow has to report, with a part of its message.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "orchestration/parse.h"

namespace ez::orchestration {
namespace {

TEST(BadFiles, AreAnsweredWithPlaceCodeAndMessage) {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator("tests/bad_inputs/workflows")) {
    if (entry.path().extension() != ".yaml") continue;
    ++files;
    std::ifstream file(entry.path(), std::ios::binary);
    std::stringstream bytes;
    bytes << file.rdbuf();
    const std::string source = bytes.str();
    static constexpr std::string_view kMark = "# expect: ";
    ASSERT_TRUE(source.starts_with(kMark)) << entry.path();
    std::istringstream expected(source.substr(kMark.size(), source.find('\n') - kMark.size()));
    std::string place;
    std::string code;
    std::string message;
    expected >> place >> code >> std::ws;
    std::getline(expected, message);
    ASSERT_FALSE(message.empty()) << entry.path();

    const ParsedWorkflow parsed = parse_workflow(source);
    ASSERT_FALSE(parsed.ok()) << entry.path();
    ASSERT_FALSE(parsed.diagnostics.empty()) << entry.path();
    const Diagnostic& first = parsed.diagnostics[0];
    EXPECT_EQ(std::to_string(first.line) + ":" + std::to_string(first.column), place)
        << entry.path() << " " << first.to_string();
    EXPECT_EQ(info(first.code).name, code) << entry.path();
    EXPECT_NE(first.message.find(message), std::string::npos) << entry.path() << " " << first.to_string();
  }
  EXPECT_GE(files, 90U);
}

}  // namespace
}  // namespace ez::orchestration
