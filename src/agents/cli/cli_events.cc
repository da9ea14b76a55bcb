#include "agents/cli/cli_events.h"

#include <algorithm>

#include "agents/llm/tool_box.h"
#include "base/check.h"
#include "base/json.h"

namespace ez::agents {
namespace {

constexpr std::size_t kMaxShownGarbage = 4 * 1024;  // of a line that is no event
constexpr std::size_t kMaxShownInput = 300;         // of a call's input
constexpr JsonLimits kEventLimits{kMaxEventBytes, 64, 200'000};

class TextEvents final : public CliEvents {
 public:
  using CliEvents::CliEvents;
  void line(std::string_view text, bool cut) override {
    transcript_.add("output", Value::Map{{"text", std::string(text)}, {"cut", cut}});
    show(text);
    said_.append(text.substr(0, kMaxReportText)).push_back('\n');
    // The end is what counts.
    if (said_.size() > 2 * kMaxReportText) said_.erase(0, said_.size() - kMaxReportText);
  }
  void end() override {
    if (said_.size() > kMaxReportText) said_.erase(0, said_.size() - kMaxReportText);
    say(said_);
  }
  [[nodiscard]] bool ends_by_exit() const override { return true; }

 private:
  std::string said_;
};

}  // namespace

void CliUsage::add(const CliUsage& other) {
  input_tokens += other.input_tokens;
  cache_read_tokens += other.cache_read_tokens;
  cache_write_tokens += other.cache_write_tokens;
  output_tokens += other.output_tokens;
  if (other.cost_microusd) cost_microusd = cost_microusd.value_or(0) + *other.cost_microusd;
}

void CliEvents::show(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  if (text.empty()) return;
  log_.text(text);
  log_.end_line();
}

void CliEvents::show_call(std::string_view name, const Value* input) {
  std::string text = "> " + std::string(name);
  if (input != nullptr)
    text += " " + shortened(input->is_string() ? input->as_string() : to_json(*input), kMaxShownInput);
  log_.note(text);
}

void CliEvents::say(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  report_.text = shortened(std::string(text), kMaxReportText);
}

void JsonCliEvents::line(std::string_view text, bool cut) {
  if (text.find_first_not_of(" \t") == std::string_view::npos) return;
  auto parsed =
      cut ? Result<Value>(Error(Code::PayloadTooLarge, "a line too long")) : parse_json(text, kEventLimits);
  if (!parsed.ok() || !parsed->is_map()) {
    ++unreadable_;
    transcript_.add("output",
                    Value::Map{{"text", shortened(std::string(text), kMaxReportText)}, {"cut", cut}});
    show(shortened(std::string(text), kMaxShownGarbage));
    return;
  }
  transcript_.add("event", Value::Map{{"event", *parsed}});
  event(parsed->string_or("type", ""), *parsed);
}

std::unique_ptr<CliEvents> cli_events(std::string_view events, AttemptLog& log, Transcript& transcript) {
  if (events == "claude-code") return claude_events(log, transcript);
  if (events == "codex") return codex_events(log, transcript);
  if (events == "gemini-cli") return gemini_events(log, transcript);
  EZ_CHECK(events == "text", "agent types know no other form of events");
  return std::make_unique<TextEvents>(log, transcript);
}

std::int64_t count_of(const Value* map, std::string_view key) {
  if (map == nullptr || !map->is_map()) return 0;
  constexpr std::int64_t kMost = 1'000'000'000'000;  // sums of them fit
  return std::clamp<std::int64_t>(map->int_or(key, 0), 0, kMost);
}

const Value* map_of(const Value* map, std::string_view key) {
  const Value* found = map == nullptr || !map->is_map() ? nullptr : map->find(key);
  return found != nullptr && found->is_map() ? found : nullptr;
}

const Value* list_of(const Value* map, std::string_view key) {
  const Value* found = map == nullptr || !map->is_map() ? nullptr : map->find(key);
  return found != nullptr && found->is_list() ? found : nullptr;
}

void LineCutter::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find('\n'), bytes.size());
    const std::size_t room = kMaxEventBytes - std::min(kMaxEventBytes, line_.size());
    line_.append(bytes.substr(0, std::min(end, room)));
    cut_ = cut_ || end > room;
    if (end == bytes.size()) return;
    give();
    bytes.remove_prefix(end + 1);
  }
}

void LineCutter::end() {
  if (!line_.empty() || cut_) give();
}

void LineCutter::give() {
  if (!line_.empty() && line_.back() == '\r') line_.pop_back();
  if (!secret_.empty()) {
    constexpr std::string_view kInstead = "[key]";
    for (std::size_t at = line_.find(secret_); at != std::string::npos; at = line_.find(secret_, at))
      line_.replace(at, secret_.size(), kInstead);
  }
  on_line_(line_, cut_);
  line_.clear();
  cut_ = false;
}

}  // namespace ez::agents
