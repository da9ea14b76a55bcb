#include "orchestration/agent_types.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "orchestration/agent_types_cli.h"

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

TEST(AgentTypes, ThoseOfTheHouse) {
  const AgentTypes& types = builtin_agent_types();
  std::vector<std::string> llm;
  std::vector<std::string> cli;
  for (const AgentType& type : types.types) {
    (type.runner == "cli" ? cli : llm).push_back(type.name);
    EXPECT_FALSE(type.models.empty());
    EXPECT_FALSE(type.speciality.empty());
    EXPECT_EQ(type.system_prompt.empty(), type.runner == "cli");
    EXPECT_EQ(type.cli.command.empty(), type.runner != "cli");
    if (type.runner != "cli") continue;
    EXPECT_TRUE(mentions(type.cli, "{gateway}")) << type.name;
    EXPECT_TRUE(mentions(type.cli, "{key}")) << type.name;
    EXPECT_TRUE(mentions(type.cli, "{model}")) << type.name;
  }
  EXPECT_THAT(llm, ElementsAre("claude", "deepseek", "gemini", "gpt", "mistral"));
  EXPECT_THAT(cli, ElementsAre("aider", "claude-code", "codex", "gemini-cli"));
  EXPECT_THAT(types.cli_prompt, HasSubstr("Do not commit"));
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
  EXPECT_EQ(parsed.types->types.size(), builtin_agent_types().types.size() + 1);
  EXPECT_EQ(parsed.types->system_prompt, builtin_agent_types().system_prompt);
}

TEST(AgentTypes, ACommandLineAgentOfYourOwn) {
  const ParsedAgentTypes parsed = parse_agent_types(
      "version: 1\n"
      "types:\n"
      "  mine:\n"
      "    runner: cli\n"
      "    cli:\n"
      "      command: [mine, --task, '{prompt_file}']\n"
      "      env: {URL: '{gateway}/v1', KEY: '{key}', LEVEL: 3}\n"
      "      files: {.mine/config.json: '{\"model\": \"fixed\", \"of\": {\"a\": 1}}'}\n"
      "      silence: 2m\n"
      "  codex: {models: [m1], cli: {env: {EXTRA: x}, linger: 1s}}\n",
      builtin_agent_types());
  ASSERT_TRUE(parsed.types.has_value()) << parsed.diagnostics[0].to_string();
  const CliAgent& mine = parsed.types->find("mine")->cli;
  EXPECT_THAT(mine.command, ElementsAre("mine", "--task", "{prompt_file}"));
  EXPECT_EQ(mine.env[2], std::pair(std::string("LEVEL"), std::string("3")));
  EXPECT_EQ(mine.events, "text");
  EXPECT_EQ(mine.silence_ms, 120'000);
  EXPECT_TRUE(parsed.types->find("mine")->models.empty());  // its command names none
  // Over one of the house: what is not named stays.
  const CliAgent& codex = parsed.types->find("codex")->cli;
  const CliAgent& before = builtin_agent_types().find("codex")->cli;
  EXPECT_EQ(codex.command, before.command);
  EXPECT_EQ(codex.events, "codex");
  EXPECT_EQ(codex.env.size(), before.env.size() + 1);
  EXPECT_EQ(codex.linger_ms, 1'000);
}

TEST(AgentTypes, PlaceholdersAreNamesInBraces) {
  const auto value_of = [](std::string_view name) { return "<" + std::string(name) + ">"; };
  EXPECT_EQ(fill_placeholders("{model}/{max_turns}", value_of), "<model>/<max_turns>");
  EXPECT_EQ(fill_placeholders("{\"a\": {model}, {}, {A}, {", value_of), "{\"a\": <model>, {}, {A}, {");
  EXPECT_EQ(fill_placeholders("", value_of), "");
}

TEST(AgentTypes, MistakesOfCommandLineAgents) {
  const auto of_cli = [](const std::string& cli) {
    return complaints("version: 1\ntypes:\n  mine: {runner: cli, models: [m], cli: {" + cli + "}}\n");
  };
  EXPECT_THAT(of_cli("command: [x]"), ElementsAre(HasSubstr("nothing tells the agent its task")));
  EXPECT_THAT(of_cli("command: [x, '{promt}']"),
              ElementsAre(HasSubstr("no placeholder {promt} (did you mean")));
  EXPECT_THAT(of_cli("command: [x, '{prompt}', '{key}']"), ElementsAre(HasSubstr("{key} cannot stand in")));
  EXPECT_THAT(of_cli("command: [x, '{prompt_file}'], env: {A: '{prompt}'}"),
              ElementsAre(HasSubstr("{prompt} can stand in the command only")));
  EXPECT_THAT(of_cli("command: ['{prompt}']"), ElementsAre(HasSubstr("does not begin with a program")));
  EXPECT_THAT(of_cli("command: []"), ElementsAre(HasSubstr("does not begin with a program")));
  EXPECT_THAT(of_cli("command: [x, '{prompt}'], env: {1A: x}"),
              ElementsAre(HasSubstr("`1A` is not a variable")));
  for (const std::string path : {"/etc/x", "../x", "a//b", "."}) {
    EXPECT_THAT(of_cli("command: [x, '{prompt}'], files: {'" + path + "': x}"),
                ElementsAre(HasSubstr("is not a path below the agent's home")));
  }
  for (const std::string glob : {"*", "src", ".*", ".a/b", "."}) {
    EXPECT_THAT(of_cli("command: [x, '{prompt}'], leaves: ['" + glob + "']"),
                ElementsAre(HasSubstr("is not a pattern of names that begin with a dot")));
  }
  EXPECT_THAT(of_cli("command: [x, '{prompt}'], events: xml"), ElementsAre(HasSubstr("xml")));
  EXPECT_THAT(of_cli("command: [x, '{prompt}'], stdin: x"), ElementsAre(HasSubstr("unknown key `stdin`")));
  EXPECT_THAT(complaints("version: 1\ntypes:\n  mine: {runner: cli}\n"),
              ElementsAre(HasSubstr("the type `mine` has no `cli`")));
  EXPECT_THAT(
      complaints("version: 1\ntypes:\n  mine: {runner: cli, cli: {command: [x, '{prompt}', '{model}']}}\n"),
      ElementsAre(HasSubstr("has no `models`, but its command names {model}")));
  EXPECT_THAT(complaints("version: 1\ntypes:\n  claude: {cli: {command: [x, '{prompt}']}}\n"),
              ElementsAre(HasSubstr("`cli` is for types with `runner: cli`")));
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
