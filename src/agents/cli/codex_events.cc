// Codex: `codex exec --json`. A turn ends with turn.completed or turn.failed; an `error` before that is news
// of something that is tried again. Its input tokens include those of the cache. It names no money.
#include <algorithm>

#include "agents/cli/cli_events.h"

namespace ez::agents {
namespace {

class CodexEvents final : public JsonCliEvents {
 public:
  using JsonCliEvents::JsonCliEvents;

 private:
  void event(std::string_view type, const Value& event) override {
    if (type == "turn.started") {
      report_.ended = false;
    } else if (type == "item.started" || type == "item.completed") {
      if (const Value* item = map_of(&event, "item")) this->item(*item, type == "item.completed");
    } else if (type == "turn.completed") {
      report_.ended = true;
      report_.failed = false;
      usage(map_of(&event, "usage"));
    } else if (type == "turn.failed") {
      report_.ended = true;
      report_.failed = true;
      report_.reason = "turn.failed";
      const Value* error = map_of(&event, "error");
      say(error == nullptr ? "" : error->string_or("message", ""));
    } else if (type == "error") {
      log_.note("Codex: " + std::string(event.string_or("message", "")));
    } else if (type == "thread.started") {
      log_.note("Codex, thread " + std::string(event.string_or("thread_id", "?")));
    }
  }

  void item(const Value& item, bool completed) {
    const std::string_view type = item.string_or("type", "");
    if (type == "agent_message" && completed) {
      show(item.string_or("text", ""));
      say(item.string_or("text", ""));
    } else if (type == "command_execution") {
      if (!completed) return show_call("run", item.find("command"));
      show(item.string_or("aggregated_output", ""));
      if (const std::int64_t status = item.int_or("exit_code", 0); status != 0)
        log_.note("  that ended with status " + std::to_string(status));
    } else if (type == "file_change" && completed) {
      show_call("change", item.find("changes"));
    } else if (type == "mcp_tool_call" && !completed) {
      show_call(item.string_or("tool", "?"), item.find("arguments"));
    } else if (type == "error" && completed) {
      log_.note("Codex: " + std::string(item.string_or("message", "")));
    }
  }

  void usage(const Value* figures) {
    if (figures == nullptr) return;
    CliUsage usage;
    usage.cache_read_tokens = count_of(figures, "cached_input_tokens");
    usage.input_tokens =
        std::max<std::int64_t>(0, count_of(figures, "input_tokens") - usage.cache_read_tokens);
    usage.output_tokens = count_of(figures, "output_tokens");
    report_.usage = usage;
  }
};

}  // namespace

std::unique_ptr<CliEvents> codex_events(AttemptLog& log, Transcript& transcript) {
  return std::make_unique<CodexEvents>(log, transcript);
}

}  // namespace ez::agents
