#include "models/config/ready_made.h"

namespace ez::models {
namespace {

ReadyMade make(std::string name, std::string base_url, std::vector<Dialect> dialects,
               std::vector<std::string> models, std::vector<std::string> key_names,
               const UpstreamTraits& traits = {}) {
  ReadyMade made;
  made.provider.name = std::move(name);
  made.provider.base_url = std::move(base_url);
  made.provider.dialects = std::move(dialects);
  made.provider.models = std::move(models);
  made.provider.traits = traits;
  made.key_names = std::move(key_names);
  return made;
}

std::vector<ReadyMade> make_all() {
  using enum Dialect;
  UpstreamTraits deepseek;
  deepseek.max_completion_tokens = false;
  deepseek.reasoning_content = true;
  deepseek.json_schema = false;
  UpstreamTraits mistral;
  mistral.max_completion_tokens = false;
  mistral.short_tool_ids = true;
  mistral.stream_usage = false;  // its last chunk has the figures unasked
  UpstreamTraits older;
  older.max_completion_tokens = false;
  UpstreamTraits kimi = older;
  kimi.reasoning_content = true;
  return {
      make("anthropic", "https://api.anthropic.com/v1", {kAnthropicMessages}, {"claude-*"},
           {"CLAUDE_API_KEY", "ANTHROPIC_API_KEY"}),
      make("openai", "https://api.openai.com/v1", {kOpenAiChat, kOpenAiResponses},
           {"gpt-*", "o1*", "o3*", "o4*", "chatgpt-*", "codex-*", "text-embedding-*"}, {"OPENAI_API_KEY"}),
      make("deepseek", "https://api.deepseek.com/v1", {kOpenAiChat}, {"deepseek-*"}, {"DEEPSEEK_API_KEY"},
           deepseek),
      make("mistral", "https://api.mistral.ai/v1", {kOpenAiChat},
           {"mistral-*", "magistral-*", "ministral-*", "codestral-*", "devstral-*", "pixtral-*",
            "open-mistral-*", "open-mixtral-*"},
           {"MISTRAL_API_KEY"}, mistral),
      make("openrouter", "https://openrouter.ai/api/v1", {kOpenAiChat}, {}, {"OPENROUTER_API_KEY"}, older),
      make("gemini", "https://generativelanguage.googleapis.com/v1beta/openai", {kOpenAiChat}, {"gemini-*"},
           {"GEMINI_API_KEY", "GOOGLE_API_KEY"}, older),
      make("kimi", "https://api.moonshot.ai/v1", {kOpenAiChat}, {"kimi-*", "moonshot-*"},
           {"KIMI_API_KEY", "MOONSHOT_API_KEY"}, kimi),
  };
}

}  // namespace

const std::vector<ReadyMade>& ready_made() {
  static const std::vector<ReadyMade> all = make_all();
  return all;
}

}  // namespace ez::models
