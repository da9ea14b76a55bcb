// Gemini CLI: `gemini -o stream-json`. Its words come in pieces; `result` is the last event. Its input tokens
// include those of the cache. It names no money.
#include <algorithm>

#include "agents/cli/cli_events.h"

namespace ez::agents {
namespace {

class GeminiEvents final : public JsonCliEvents {
 public:
  using JsonCliEvents::JsonCliEvents;

 private:
  void event(std::string_view type, const Value& event) override {
    if (type == "message") {
      if (event.string_or("role", "") != "assistant") return;
      const std::string_view piece = event.string_or("content", "");
      log_.text(piece);
      if (said_.size() < kMaxReportText) said_ += piece;
      return;
    }
    log_.end_line();
    if (type == "init") {
      log_.note("Gemini CLI with " + std::string(event.string_or("model", "?")) + ", session " +
                std::string(event.string_or("session_id", "?")));
    } else if (type == "tool_use") {
      said_.clear();
      show_call(event.string_or("tool_name", "?"), event.find("parameters"));
    } else if (type == "tool_result") {
      const Value* error = map_of(&event, "error");
      if (event.string_or("status", "") == "error")
        log_.note("  that failed: " + std::string(error == nullptr ? "" : error->string_or("message", "")));
    } else if (type == "error") {
      log_.note("Gemini CLI: " + std::string(event.string_or("message", "")));
    } else if (type == "result") {
      result(event);
    }
  }

  void result(const Value& event) {
    report_.ended = true;
    report_.failed = event.string_or("status", "") != "success";
    say(said_);
    if (report_.failed) {
      const Value* error = map_of(&event, "error");
      report_.reason = error == nullptr ? "error" : std::string(error->string_or("type", "error"));
      say(error == nullptr ? "" : error->string_or("message", ""));
    }
    const Value* figures = map_of(&event, "stats");
    if (figures == nullptr) return;
    CliUsage usage;
    usage.cache_read_tokens = count_of(figures, "cached");
    usage.input_tokens =
        std::max<std::int64_t>(0, count_of(figures, "input_tokens") - usage.cache_read_tokens);
    // Its output leaves out what was thought; the total has it.
    const std::int64_t rest = count_of(figures, "total_tokens") - count_of(figures, "input_tokens");
    usage.output_tokens = std::max(count_of(figures, "output_tokens"), rest);
    report_.usage = usage;
  }

  std::string said_;
};

}  // namespace

std::unique_ptr<CliEvents> gemini_events(AttemptLog& log, Transcript& transcript) {
  return std::make_unique<GeminiEvents>(log, transcript);
}

}  // namespace ez::agents
