#include <gtest/gtest.h>

#include "base/json.h"
#include "orchestration/parse.h"

namespace ez::orchestration {
namespace {

const Workflow& sample() {
  static const ParsedWorkflow parsed = parse_workflow(R"(name: sample
inputs:
  text: {type: string, default: none}
  count: {type: int, default: 5}
  ratio: {type: number, default: 0.5}
  flag: {type: bool, default: false}
  names: {type: list, default: []}
  table: {type: map, default: {}}
  repo: {type: git}
tasks:
  - {id: a, run: make}
)");
  EXPECT_TRUE(parsed.ok());
  return *parsed.workflow;
}

std::string bound(std::string_view given) {
  const auto out = bind_inputs(sample(), *parse_json(given));
  return out.ok() ? to_json(*out) : std::string(out.error().name()) + ": " + out.error().message();
}

TEST(BindInputs, FillsInFallbacks) {
  EXPECT_EQ(bound(R"({"repo":"/srv/a"})"),
            R"({"count":5,"flag":false,"names":[],"ratio":0.5,"repo":"/srv/a","table":{},"text":"none"})");
}

TEST(BindInputs, TextsOfTheCommandLineBecomeWhatIsDeclared) {
  EXPECT_EQ(bound(R"({"repo":"r","count":"-7","ratio":"2.5","flag":"true",)"
                  R"("names":"[1,2]","table":"{\"a\":1}","text":"5"})"),
            R"({"count":-7,"flag":true,"names":[1,2],"ratio":2.5,"repo":"r","table":{"a":1},"text":"5"})");
  EXPECT_EQ(bound(R"({"repo":"r","count":7.0})").substr(0, 10), R"({"count":7)");
}

TEST(BindInputs, NamesTheInputThatIsWrong) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"({})", "INPUT_INVALID: the input `repo` is missing"},
      {R"({"repo":null})", "INPUT_INVALID: the input `repo` is missing"},
      {R"({"repo":""})", "INPUT_INVALID: the input `repo` must be of the type git, not ``"},
      {R"({"repo":"r","cuont":1})",
       "INPUT_INVALID: the workflow `sample` has no input `cuont` (did you mean `count`?)"},
      {R"({"repo":"r","count":"5x"})", "INPUT_INVALID: the input `count` must be of the type int, not `5x`"},
      {R"({"repo":"r","count":1.5})",
       "INPUT_INVALID: the input `count` must be of the type int, not a value of the type double"},
      {R"({"repo":"r","flag":"yes"})", "INPUT_INVALID: the input `flag` must be of the type bool, not `yes`"},
      {R"({"repo":"r","ratio":"inf"})",
       "INPUT_INVALID: the input `ratio` must be of the type number, not `inf`"},
      {R"({"repo":"r","names":"{}"})", "INPUT_INVALID: the input `names` must be of the type list, not `{}`"},
      {R"({"repo":"r","text":5})",
       "INPUT_INVALID: the input `text` must be of the type string, not a value of the type int"},
      {R"([1])", "INPUT_INVALID: the inputs must be a map of names and values"},
  };
  for (const auto& [given, expected] : cases) EXPECT_EQ(bound(given), expected) << given;
}

TEST(BindInputs, IsBounded) {
  Value given;
  given.set("repo", Value("r"));
  given.set("text", Value(std::string(2'000'000, 'x')));
  const auto out = bind_inputs(sample(), given);
  ASSERT_FALSE(out.ok());
  EXPECT_EQ(out.error().code(), Code::InputInvalid);
}

TEST(BindInputs, NullMeansNoInputs) {
  const ParsedWorkflow parsed = parse_workflow("name: x\ntasks: [{id: a, run: make}]\n");
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(to_json(*bind_inputs(*parsed.workflow, Value())), "{}");
}

}  // namespace
}  // namespace ez::orchestration
