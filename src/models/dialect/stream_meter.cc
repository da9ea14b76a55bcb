// The meter of same-dialect streams: looks into the few events that have figures and only measures the
// others, so that it costs little beside the copy of the bytes.
#include <array>

#include "base/json.h"
#include "models/dialect/codec.h"
#include "models/dialect/sse.h"
#include "models/dialect/stream.h"

namespace ez::models {

namespace {

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string::npos; }

// Bytes of the JSON string that follows the first of these members in a delta.
std::int64_t delta_bytes(std::string_view data) {
  constexpr std::array<std::string_view, 8> kMembers{"text",    "thinking",          "partial_json", "delta",
                                                     "content", "reasoning_content", "arguments",    "input"};
  std::int64_t total = 0;
  std::size_t at = 0;
  while ((at = data.find("\":\"", at)) != std::string_view::npos) {
    const std::size_t name_start = data.rfind('"', at == 0 ? 0 : at - 1);
    at += 3;
    if (name_start == std::string_view::npos) continue;
    const std::string_view name = data.substr(name_start + 1, at - 3 - name_start - 1);
    std::size_t end = at;
    while (end < data.size() && data[end] != '"') end += data[end] == '\\' ? 2 : 1;
    for (const std::string_view member : kMembers) {
      if (name == member) total += static_cast<std::int64_t>(std::min(end, data.size()) - at);
    }
    at = std::min(end, data.size());
  }
  return total;
}

class Meter final : public StreamMeter {
 public:
  Meter(Dialect dialect, const StreamLimits& limits)
      : dialect_(dialect), limits_(limits), sse_(limits.max_event_bytes) {}

  void observe(std::string_view bytes) override {
    SseEvent event;
    while (!blind_) {
      const Result<bool> complete = sse_.next(bytes, event);
      if (!complete.ok()) blind_ = true;
      if (!complete.ok() || !*complete) return;
      look(event);
    }
  }

  [[nodiscard]] const StreamSummary& summary() const override { return summary_; }
  [[nodiscard]] const std::optional<ProviderError>& error() const override { return error_; }

 private:
  void look(const SseEvent& event) {
    if (event.data == "[DONE]") {
      if (dialect_ == Dialect::kOpenAiChat) summary_.finished = !summary_.failed;
      return;
    }
    if (is_delta(event)) {
      summary_.output_bytes += delta_bytes(event.data);
      return;
    }
    const Result<Value> data = parse_json(event.data, {limits_.max_event_bytes, 64, 1'000'000});
    if (!data.ok() || !data->is_map()) return;
    switch (dialect_) {
      case Dialect::kAnthropicMessages:
        anthropic(event.event, *data);
        break;
      case Dialect::kOpenAiChat:
        chat(*data);
        break;
      case Dialect::kOpenAiResponses:
        responses(event.event, *data);
        break;
      case Dialect::kGemini:
        gemini(*data);
        break;
    }
  }

  // An event that has text and nothing else, told without parsing.
  bool is_delta(const SseEvent& event) const {
    switch (dialect_) {
      case Dialect::kAnthropicMessages:
        return event.event == "content_block_delta";
      case Dialect::kOpenAiChat:
        return named_ && !contains(event.data, "\"usage\":{") && !contains(event.data, "\"usage\": {") &&
               !contains(event.data, "\"error\"") && !contains(event.data, "\"finish_reason\":\"") &&
               !contains(event.data, "\"finish_reason\": \"");
      case Dialect::kOpenAiResponses:
        return event.event.ends_with(".delta");
      case Dialect::kGemini:
        return !contains(event.data, "\"usageMetadata\"") && !contains(event.data, "\"error\"");
    }
    return false;
  }

  void set_once(std::string_view id, std::string_view model) {
    named_ = true;
    if (summary_.id.empty()) summary_.id = id;
    if (!model.empty()) summary_.model = model;
  }

  void failed(const Value& data) {
    summary_.failed = true;
    summary_.finished = false;
    error_ = parse_stream_error(dialect_, data);
  }

  void anthropic(std::string_view name, const Value& data) {
    const std::string_view type = data.string_or("type", name);
    if (type == "message_start") {
      const Value* message = data.find("message");
      if (message == nullptr) return;
      set_once(message->string_or("id", ""), message->string_or("model", ""));
      if (read_anthropic_usage(message->find("usage"), summary_.usage)) summary_.has_input_usage = true;
    } else if (type == "message_delta") {
      if (read_anthropic_usage(data.find("usage"), summary_.usage)) summary_.has_usage = true;
      const Value* delta = data.find("delta");
      const std::string_view reason = delta == nullptr ? "" : delta->string_or("stop_reason", "");
      if (!reason.empty()) summary_.stop_reason = stop_from_anthropic(reason);
    } else if (type == "message_stop") {
      summary_.finished = !summary_.failed;
    } else if (type == "content_block_delta") {
      summary_.output_bytes += delta_bytes(to_json(data));
    } else if (type == "error") {
      failed(data);
    }
  }

  void chat(const Value& data) {
    if (const Value* error = data.find("error"); error != nullptr && !error->is_null()) return failed(data);
    set_once(data.string_or("id", ""), data.string_or("model", ""));
    const Value* usage = data.find("usage");
    const Value* groq = data.find("x_groq");
    if ((usage == nullptr || usage->is_null()) && groq != nullptr) usage = groq->find("usage");
    if (read_openai_usage(usage, summary_.usage)) summary_.has_usage = summary_.has_input_usage = true;
    const Value* choices = data.find("choices");
    if (choices == nullptr || !choices->is_list()) return;
    for (const Value& choice : choices->as_list()) {
      const std::string_view reason = choice.string_or("finish_reason", "");
      if (!reason.empty()) summary_.stop_reason = stop_from_chat(reason);
      if (const Value* delta = choice.find("delta")) summary_.output_bytes += delta_bytes(to_json(*delta));
    }
    // Some servers leave "[DONE]" out; with a reason and the figures nothing is missing.
    if (summary_.stop_reason != StopReason::kUnknown && summary_.has_usage) summary_.finished = true;
  }

  void responses(std::string_view name, const Value& data) {
    const std::string_view type = data.string_or("type", name);
    if (type == "error" || type == "response.failed") return failed(data);
    if (type == "response.function_call_arguments.done" || type == "response.output_item.added") {
      has_calls_ = has_calls_ || contains(type, "arguments") || is_call(data.find("item"));
      return;
    }
    const Value* response = data.find("response");
    if (response == nullptr || !response->is_map()) {
      if (type.ends_with(".delta")) summary_.output_bytes += delta_bytes(to_json(data));
      return;
    }
    set_once(response->string_or("id", ""), response->string_or("model", ""));
    if (type != "response.completed" && type != "response.incomplete") return;
    if (read_openai_usage(response->find("usage"), summary_.usage)) {
      summary_.has_usage = summary_.has_input_usage = true;
    }
    summary_.stop_reason = responses_stop(*response, has_calls_);
    summary_.finished = !summary_.failed;
  }

  // Of recordings only: what a replay may be counted with.
  void gemini(const Value& data) {
    if (data.find("error") != nullptr) return failed(data);
    set_once(data.string_or("responseId", ""), data.string_or("modelVersion", ""));
    if (!read_gemini_usage(data.find("usageMetadata"), summary_.usage)) return;
    summary_.has_usage = summary_.has_input_usage = true;
    summary_.finished = true;
  }

  static bool is_call(const Value* item) {
    if (item == nullptr) return false;
    const std::string_view type = item->string_or("type", "");
    return type == "function_call" || type == "custom_tool_call";
  }

  const Dialect dialect_;
  const StreamLimits limits_;
  SseReader sse_;
  StreamSummary summary_;
  std::optional<ProviderError> error_;
  bool named_ = false, has_calls_ = false, blind_ = false;
};

}  // namespace

std::unique_ptr<StreamMeter> StreamMeter::make(Dialect dialect, const StreamLimits& limits) {
  return std::make_unique<Meter>(dialect, limits);
}

}  // namespace ez::models
