// Claude Code: one JSON object a line. `result` ends a turn; it may say `success` and is_error at once, and
// there may be several, when work in the background wakes the agent again: the last one counts, and its cost
// is that of the whole session.
#include <cmath>

#include "agents/cli/cli_events.h"

namespace ez::agents {
namespace {

// Dollars as a number of either kind; nothing when it is absent or absurd.
std::optional<std::int64_t> microusd_of(const Value* map, std::string_view key) {
  const Value* found = map == nullptr || !map->is_map() ? nullptr : map->find(key);
  if (found == nullptr || !(found->is_double() || found->is_int())) return std::nullopt;
  const double dollars = found->is_int() ? static_cast<double>(found->as_int()) : found->as_double();
  if (!(dollars >= 0) || dollars > 1e6) return std::nullopt;
  return std::llround(dollars * 1e6);
}

class ClaudeEvents final : public JsonCliEvents {
 public:
  using JsonCliEvents::JsonCliEvents;

 private:
  void event(std::string_view type, const Value& event) override {
    if (type == "assistant") {
      report_.ended = false;
      blocks(event, true);
    } else if (type == "user") {
      blocks(event, false);
    } else if (type == "result") {
      result(event);
    } else if (type == "system") {
      const std::string_view subtype = event.string_or("subtype", "");
      if (subtype == "init") {
        log_.note("Claude Code " + std::string(event.string_or("claude_code_version", "?")) + " with " +
                  std::string(event.string_or("model", "?")) + ", session " +
                  std::string(event.string_or("session_id", "?")));
      } else if (subtype == "api_retry") {
        log_.note("a call of the model is tried again: " + std::string(event.string_or("error", "")));
      } else if (subtype == "compact_boundary") {
        log_.note("the conversation was compacted");
      }
    }
  }

  void blocks(const Value& event, bool assistant) {
    const Value* content = list_of(map_of(&event, "message"), "content");
    if (content == nullptr) return;
    for (const Value& block : content->as_list()) {
      if (!block.is_map()) continue;
      const std::string_view kind = block.string_or("type", "");
      if (assistant && kind == "text") {
        show(block.string_or("text", ""));
      } else if (assistant && kind == "tool_use") {
        show_call(block.string_or("name", "?"), block.find("input"));
      } else if (kind == "tool_result" && block.bool_or("is_error", false)) {
        log_.note("  that failed: " + std::string(block.string_or("content", "")));
      }
    }
  }

  void result(const Value& event) {
    report_.ended = true;
    const std::string_view subtype = event.string_or("subtype", "");
    report_.failed = event.bool_or("is_error", false) || subtype != "success";
    report_.reason = report_.failed ? std::string(subtype) : "";
    say(event.string_or("result", ""));
    if (report_.failed && report_.text.empty()) {
      const Value* errors = list_of(&event, "errors");
      if (errors != nullptr && !errors->as_list().empty() && errors->as_list()[0].is_string())
        say(errors->as_list()[0].as_string());
    }
    CliUsage usage;
    // By model it has everything that the session used; `usage` only the last turn's main conversation.
    const Value* models = map_of(&event, "modelUsage");
    if (models != nullptr && !models->as_map().empty()) {
      for (const auto& [model, figures] : models->as_map()) {
        usage.input_tokens += count_of(&figures, "inputTokens");
        usage.cache_read_tokens += count_of(&figures, "cacheReadInputTokens");
        usage.cache_write_tokens += count_of(&figures, "cacheCreationInputTokens");
        usage.output_tokens += count_of(&figures, "outputTokens");
      }
    } else {
      const Value* figures = map_of(&event, "usage");
      usage.input_tokens = count_of(figures, "input_tokens");
      usage.cache_read_tokens = count_of(figures, "cache_read_input_tokens");
      usage.cache_write_tokens = count_of(figures, "cache_creation_input_tokens");
      usage.output_tokens = count_of(figures, "output_tokens");
    }
    usage.cost_microusd = microusd_of(&event, "total_cost_usd");
    report_.usage = usage;
  }
};

}  // namespace

std::unique_ptr<CliEvents> claude_events(AttemptLog& log, Transcript& transcript) {
  return std::make_unique<ClaudeEvents>(log, transcript);
}

}  // namespace ez::agents
