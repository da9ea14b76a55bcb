#include "orchestration/agent_types.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ez::orchestration {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> complaints(const std::string& text) {
  const ParsedAgentTypes parsed = parse_agent_types(text, builtin_agent_types());
  EXPECT_EQ(parsed.types.has_value(), parsed.diagnostics.empty());
  std::vector<std::string> out;
  for (const Diagnostic& diagnostic : parsed.diagnostics) {
    EXPECT_EQ(diagnostic.code, Code::AgentTypesInvalid);
    out.push_back(diagnostic.to_string());
  }
  return out;
}

TEST(AgentTypes, TheFiveOfTheHouse) {
  const AgentTypes& types = builtin_agent_types();
  std::vector<std::string> names;
  for (const AgentType& type : types.types) {
    names.push_back(type.name);
    EXPECT_EQ(type.runner, "llm");
    EXPECT_FALSE(type.models.empty());
    EXPECT_FALSE(type.speciality.empty());
    EXPECT_FALSE(type.system_prompt.empty());
  }
  EXPECT_THAT(names, ElementsAre("claude", "deepseek", "gemini", "gpt", "mistral"));
  EXPECT_THAT(types.system_prompt, HasSubstr("finish"));
  EXPECT_EQ(types.find("exec"), nullptr);
}

TEST(AgentTypes, AFileGoesOverThemKeyByKey) {
  const ParsedAgentTypes parsed = parse_agent_types(
      "version: 1\n"
      "types:\n"
      "  claude: {models: [local/qwen3:30b], limits: {max_turns: 7}}\n"
      "  reviewer:\n"
      "    runner: llm\n"
      "    models: [m1, m2]\n"
      "    capabilities: [review]\n"
      "    limits: {command_timeout: 90s}\n",
      builtin_agent_types());
  ASSERT_TRUE(parsed.types.has_value()) << parsed.diagnostics[0].to_string();
  const AgentType& claude = *parsed.types->find("claude");
  EXPECT_THAT(claude.models, ElementsAre("local/qwen3:30b"));
  EXPECT_EQ(claude.limits.max_turns, 7U);
  EXPECT_EQ(claude.limits.context_tokens, builtin_agent_types().find("claude")->limits.context_tokens);
  EXPECT_EQ(claude.speciality, builtin_agent_types().find("claude")->speciality);
  const AgentType& reviewer = *parsed.types->find("reviewer");
  EXPECT_THAT(reviewer.models, ElementsAre("m1", "m2"));
  EXPECT_EQ(reviewer.limits.command_timeout_ms, 90'000);
  EXPECT_EQ(parsed.types->types.size(), 6U);
  EXPECT_EQ(parsed.types->system_prompt, builtin_agent_types().system_prompt);
}

TEST(AgentTypes, MistakesHaveTheirPlace) {
  EXPECT_THAT(complaints("types: {}\n"), ElementsAre(HasSubstr("1:1: the file has no `version`")));
  EXPECT_THAT(complaints("version: 2\n"), ElementsAre(HasSubstr("1:10:")));
  EXPECT_THAT(complaints("version: 1\ntypes:\n  claude: {modles: [x]}\n"),
              ElementsAre(HasSubstr("3:12: unknown key `modles`")));
  EXPECT_THAT(complaints("version: 1\ntypes:\n  new: {runner: llm}\n"),
              ElementsAre(HasSubstr("3:3: the new type `new` has no `models`")));
  EXPECT_THAT(complaints("version: 1\ntypes:\n  gpt: {runner: magic}\n"), ElementsAre(HasSubstr("3:17:")));
  EXPECT_THAT(complaints("version: 1\ntypes:\n  gpt: {models: [\"a b\"]}\n"),
              ElementsAre(HasSubstr("3:18: a model cannot be `a b`")));
  EXPECT_THAT(complaints("version: 1\ntypes:\n  exec: {models: [m]}\n"),
              ElementsAre(HasSubstr("3:3: `exec` is a type of ez itself")));
  EXPECT_THAT(
      complaints("version: 1\ntypes:\n  gpt: {limits: {context_tokens: 10000, max_output_tokens: 9000}}\n"),
      ElementsAre(HasSubstr("is more than half of")));
  EXPECT_THAT(complaints("version: 1\ntypes: [a]\n"), ElementsAre(HasSubstr("2:8: `types` must be a map")));
  EXPECT_EQ(complaints("a: [\n").size(), 1U);
  EXPECT_THAT(complaints("[]\n"), ElementsAre(HasSubstr("1:1: the file must be a map")));
}

}  // namespace
}  // namespace ez::orchestration
