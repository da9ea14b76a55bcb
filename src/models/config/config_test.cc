#include "models/config/config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "models/config/glob.h"

namespace ez::models {
namespace {

using Variables = std::map<std::string, std::string>;

Result<ModelsConfig> load(const std::string& yaml, const Variables& variables = {},
                          LoadOptions options = {}) {
  return load_models(yaml, options, [&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional<std::string>(found->second);
  });
}

std::string why(const std::string& yaml) {
  const auto loaded = load(yaml);
  return loaded.ok() ? "" : std::string(loaded.error().name()) + " " + loaded.error().message();
}

std::string first(const Result<std::vector<Target>>& targets) {
  return targets.ok() ? targets->front().provider + ":" + targets->front().model
                      : std::string(targets.error().name());
}

TEST(ModelsConfig, KeysComeFromTheNamesThatUsersKnow) {
  const auto config = load("", {{"CLAUDE_API_KEY", "sk-a"},
                                {"CLAUDE_API_KEY_2", " sk-b\n"},
                                {"ANTHROPIC_API_KEY", "sk-a"},
                                {"DEEPSEEK_API_KEYS", "d1, d2;d3"},
                                {"OPENAI_API_KEY", ""}});
  ASSERT_TRUE(config.ok()) << config.error().to_string();
  ASSERT_EQ(config->providers.size(), 2U) << "a provider without a key does not take part";
  const Provider* anthropic = config->find("anthropic");
  ASSERT_NE(anthropic, nullptr);
  ASSERT_EQ(anthropic->keys.size(), 2U) << "the same key twice is one key";
  EXPECT_EQ(anthropic->keys[1].label, "anthropic-2");
  EXPECT_EQ(anthropic->keys[1].secret, "sk-b");
  EXPECT_EQ(config->find("deepseek")->keys.size(), 3U);
  EXPECT_EQ(config->find("openai"), nullptr);
}

TEST(ModelsConfig, NamesLeadToProviders) {
  const auto config = load(R"(
providers:
  local: {base_url: "http://127.0.0.1:1/v1/", models: ["qwen*"], free: true}
models:
  fast: {targets: [anthropic/claude-haiku-4-5, local/qwen3, openai/gpt-5]}
)",
                           {{"CLAUDE_API_KEY", "sk-a"}, {"OPENROUTER_API_KEY", "or"}});
  ASSERT_TRUE(config.ok()) << config.error().to_string();
  EXPECT_EQ(first(config->resolve("claude-sonnet-4-5")), "anthropic:claude-sonnet-4-5");
  EXPECT_EQ(first(config->resolve("openrouter/vendor/model")), "openrouter:vendor/model");
  EXPECT_EQ(first(config->resolve("qwen3:8b")), "local:qwen3:8b");
  EXPECT_EQ(first(config->resolve("gpt-5")), "MODEL_NOT_FOUND");
  EXPECT_EQ(first(config->resolve("anthropic/")), "MODEL_NOT_FOUND");
  const auto fast = config->resolve("fast");
  ASSERT_TRUE(fast.ok());
  EXPECT_EQ(fast->size(), 2U) << "a target whose provider has no key is left out";
  EXPECT_EQ(config->find("local")->base_url, "http://127.0.0.1:1/v1");
}

TEST(ModelsConfig, WhatAgentsMayUse) {
  const auto config = load("agents: {claude: [\"claude-*\", fast], \"*\": [\"gpt-*\"]}");
  ASSERT_TRUE(config.ok()) << config.error().to_string();
  EXPECT_TRUE(config->allow("claude", {}, "claude-x").ok());
  EXPECT_TRUE(config->allow("claude", {}, "fast").ok());
  EXPECT_FALSE(config->allow("claude", {}, "gpt-5").ok());
  EXPECT_TRUE(config->allow("other", {}, "gpt-5").ok());
  EXPECT_FALSE(config->allow("claude", {"claude-haiku-*"}, "claude-opus").ok());
  EXPECT_EQ(config->allow("claude", {}, "x").error().code(), Code::ModelNotAllowed);
  EXPECT_TRUE(load("")->allow("any", {}, "any").ok());
}

TEST(ModelsConfig, MistakesNameTheirPlace) {
  EXPECT_EQ(why("providers: {local: {url: x}}"),
            "MODELS_CONFIG_INVALID providers.local.base_url: must begin with http:// or https://");
  EXPECT_EQ(why("providers: {local: {base_url: \"http://x\", fre: true}}"),
            "MODELS_CONFIG_INVALID providers.local.fre: is no field here");
  EXPECT_EQ(
      why("models: {a: {targets: [nobody/x]}}"),
      "MODELS_CONFIG_INVALID models.a.targets: must be of the form PROVIDER/MODEL, with a known provider: "
      "nobody/x");
  EXPECT_EQ(why("max_attempts: 0"),
            "MODELS_CONFIG_INVALID max_attempts: must be a whole number from 1 to 16");
  EXPECT_EQ(why("providers: {openai: {keys: [{env: A, file: b}]}}"),
            "MODELS_CONFIG_INVALID providers.openai.keys[0]: give one of env, file and value");
  EXPECT_EQ(why("providers: {openai: {keys: [{value: \"two words\"}]}}"),
            "MODELS_CONFIG_INVALID providers.openai.keys: a key has characters that no key has");
  EXPECT_EQ(why("providers: {openai: {dialects: [soap]}}").substr(0, 54),
            "MODELS_CONFIG_INVALID providers.openai.dialects: there");
  EXPECT_NE(why("providers: [").find("line "), std::string::npos);
  EXPECT_EQ(why("nonsense: 1"), "MODELS_CONFIG_INVALID nonsense: is no field here");
  EXPECT_NE(why("prices: absent.json"), "");
}

TEST(ModelsConfig, ARecordingNeedsNoKeys) {
  LoadOptions options;
  options.cassette_file = "/x/cassette.jsonl";
  options.cassette_mode = "strict";
  const auto config = load("", {}, options);
  ASSERT_TRUE(config.ok()) << config.error().to_string();
  EXPECT_EQ(config->cassette_mode, CassetteMode::kStrict);
  EXPECT_NE(config->find("anthropic"), nullptr);
  options.cassette_mode = "loud";
  EXPECT_EQ(load("", {}, options).error().code(), Code::InvalidArgument);
}

TEST(ModelsConfig, TheVariablesOfKeysAreKnown) {
  const auto names = key_variables(ready_made_key_names());
  for (const char* name : {"CLAUDE_API_KEY", "CLAUDE_API_KEY_2", "DEEPSEEK_API_KEYS", "GEMINI_API_KEY_64"}) {
    EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
  }
}

TEST(ModelsConfig, Globs) {
  EXPECT_TRUE(matches_glob("claude-*", "claude-"));
  EXPECT_TRUE(matches_glob("*-4?5*", "claude-opus-4-5-2025"));
  EXPECT_FALSE(matches_glob("claude-*", "xclaude-1"));
  EXPECT_FALSE(matches_glob("a?c", "ac"));
  EXPECT_TRUE(matches_glob("*a*a*a*", std::string(1000, 'a')));
  EXPECT_FALSE(matches_glob("*a*a*a*b", std::string(1000, 'a')));
}

TEST(ModelsConfig, HedgingIsOffUnlessItIsAskedFor) {
  EXPECT_EQ(load("")->hedge_after.count(), 0);
  const auto config = load("hedge: {after: 1500ms, max_share: 0.25}");
  ASSERT_TRUE(config.ok()) << config.error().to_string();
  EXPECT_EQ(config->hedge_after.count(), 1'500);
  EXPECT_EQ(config->hedge_max_permille, 250);
  EXPECT_EQ(load("hedge: {after: 2s}")->hedge_max_permille, 100);
  EXPECT_EQ(load("hedge: {after: 2s, max_share: 1}")->hedge_max_permille, 1'000);
  EXPECT_EQ(why("hedge: {max_share: 1}"), "MODELS_CONFIG_INVALID hedge.after: is missing");
  EXPECT_EQ(why("hedge: {after: 0s}"),
            "MODELS_CONFIG_INVALID hedge.after: must be a duration of at most a day, for example 30s");
  for (const char* share : {"0", "1.5", "-1", "half", "0.0001", ".nan"}) {
    EXPECT_EQ(why(std::string("hedge: {after: 2s, max_share: ") + share + "}"),
              "MODELS_CONFIG_INVALID hedge.max_share: must be a number from 0.001 to 1")
        << share;
  }
  EXPECT_EQ(why("hedge: {after: 2s, share: 1}").find("MODELS_CONFIG_INVALID hedge"), 0U);
}

}  // namespace
}  // namespace ez::models
