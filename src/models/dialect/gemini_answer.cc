// Gemini's own dialect, of clients only: answers, whole and streamed, and errors.
//
// A stream is a sequence of objects of the form of a whole answer. The last one with content carries the
// reason of the end and the usage, as clients expect it; so each piece is held until the next one has come.
#include "base/json.h"
#include "models/dialect/codec.h"
#include "models/dialect/sse.h"
#include "models/dialect/stream_readers.h"

namespace ez::models {

namespace {

std::string_view stop_to_gemini(StopReason reason) {
  switch (reason) {
    case StopReason::kMaxTokens:
    case StopReason::kContextWindow:
      return "MAX_TOKENS";
    case StopReason::kRefusal:
      return "SAFETY";
    case StopReason::kUnknown:
      return "OTHER";
    default:
      return "STOP";
  }
}

Value gemini_usage(const Usage& usage) {
  const std::int64_t thoughts = std::min(usage.reasoning_tokens, usage.output_tokens);
  const std::int64_t input = usage.total_input();
  Value out;
  out.set("promptTokenCount", input);
  out.set("candidatesTokenCount", usage.output_tokens - thoughts);
  if (thoughts > 0) out.set("thoughtsTokenCount", thoughts);
  if (usage.cache_read_tokens > 0) out.set("cachedContentTokenCount", usage.cache_read_tokens);
  Usage all = usage;
  all.input_tokens = input;
  all.cache_read_tokens = usage.output_tokens;  // total_input() saturates
  all.cache_write_tokens = 0;
  out.set("totalTokenCount", all.total_input());
  return out;
}

Value text_part(const std::string& text, bool thought) {
  Value part;
  part.set("text", text);
  if (thought) part.set("thought", true);
  return part;
}

Value call_part(const std::string& id, const std::string& name, const std::string& arguments) {
  Value call;
  if (!id.empty()) call.set("id", id);
  call.set("name", name);
  call.set("args", arguments_value(arguments));
  Value part;
  part.set("functionCall", std::move(call));
  return part;
}

// A whole answer, or a piece of one: without reason and usage when there is no `end`.
struct GeminiEnd {
  StopReason reason = StopReason::kUnknown;
  Usage usage;
};
Value gemini_object(Value::List parts, const GeminiEnd* end, std::string_view model, std::string_view id) {
  Value content;
  content.set("parts", Value(std::move(parts)));
  content.set("role", "model");
  Value candidate;
  candidate.set("content", std::move(content));
  if (end != nullptr) candidate.set("finishReason", stop_to_gemini(end->reason));
  candidate.set("index", 0);
  Value out;
  out.set("candidates", Value(Value::List{candidate}));
  if (end != nullptr) out.set("usageMetadata", gemini_usage(end->usage));
  out.set("modelVersion", model);
  out.set("responseId", id);
  return out;
}

class GeminiWriter final : public StreamWriter {
 public:
  GeminiWriter(Echo echo, std::string seed) : echo_(std::move(echo)), seed_(std::move(seed)) {}

  void write(const ChatEvent& event, std::string& out) override {
    if (ended_) return;
    switch (event.kind) {
      case EventKind::kStart:
        id_ = event.id.empty() ? seed_ : event.id;
        model_ = echo_.model.empty() ? event.model : echo_.model;
        break;
      case EventKind::kBlockStart:
        part_ = event.part;
        arguments_.clear();
        break;
      case EventKind::kTextDelta:
        hold(text_part(event.text, false), out);
        break;
      case EventKind::kThinkingDelta:
        hold(text_part(event.text, true), out);
        break;
      case EventKind::kArgumentsDelta:
        arguments_ += event.text;
        break;
      case EventKind::kBlockStop:
        if (part_.kind == PartKind::kToolCall) hold(call_part(part_.id, part_.name, arguments_), out);
        break;
      case EventKind::kSignatureDelta:
        break;  // a seal of another vendor's
      case EventKind::kPing:
        keep_alive(out);
        break;
      case EventKind::kFinish: {
        const GeminiEnd end{event.stop_reason, event.usage};
        if (held_.is_null()) held_ = text_part("", false);
        flush(&end, out);
        ended_ = true;
        break;
      }
      case EventKind::kError: {
        flush(nullptr, out);
        Value data;
        data.set("error", error_object(Dialect::kGemini, event.error.value_or(ProviderError{})));
        append_sse(out, {}, to_json(data));
        ended_ = true;
        break;
      }
    }
  }

  void keep_alive(std::string& out) override {
    if (!ended_) out += ": keep-alive\n\n";
  }

 private:
  void hold(Value part, std::string& out) {
    flush(nullptr, out);
    held_ = std::move(part);
  }
  void flush(const GeminiEnd* end, std::string& out) {
    if (held_.is_null()) return;
    append_sse(out, {}, to_json(gemini_object({std::exchange(held_, Value())}, end, model_, id_)));
  }

  const Echo echo_;
  const std::string seed_;
  std::string id_, model_, arguments_;
  Part part_;
  Value held_;
  bool ended_ = false;
};

}  // namespace

Value render_gemini_answer(const ChatAnswer& answer, const Echo& echo, std::string_view seed) {
  Value::List parts;
  for (const Part& part : answer.parts) {
    switch (part.kind) {
      case PartKind::kText:
      case PartKind::kRefusal:
        parts.push_back(text_part(part.text, false));
        break;
      case PartKind::kThinking:
        if (!part.text.empty()) parts.push_back(text_part(part.text, true));
        break;
      case PartKind::kToolCall:
        parts.push_back(call_part(part.id, part.name, part.arguments));
        break;
      default:
        break;
    }
  }
  const GeminiEnd end{answer.stop_reason, answer.usage};
  return gemini_object(std::move(parts), &end, echo.model.empty() ? answer.model : echo.model,
                       answer.id.empty() ? seed : std::string_view(answer.id));
}

bool read_gemini_usage(const Value* object, Usage& usage) {
  if (object == nullptr || !object->is_map()) return false;
  const auto input = count_of(object->find("promptTokenCount"));
  const auto output = count_of(object->find("candidatesTokenCount"));
  if (!input || !output) return false;
  const std::int64_t cached = count_of(object->find("cachedContentTokenCount")).value_or(0);
  const std::int64_t thoughts = count_of(object->find("thoughtsTokenCount")).value_or(0);
  usage = {};
  usage.cache_read_tokens = std::min(cached, *input);
  usage.input_tokens = *input - usage.cache_read_tokens;
  usage.reasoning_tokens = thoughts;
  Usage sum;
  sum.input_tokens = *output;
  sum.cache_read_tokens = thoughts;
  usage.output_tokens = sum.total_input();  // saturates
  return true;
}

std::string_view gemini_status(int http_status) {
  switch (http_status) {
    case 400:
    case 413:
      return "INVALID_ARGUMENT";
    case 401:
      return "UNAUTHENTICATED";
    case 403:
      return "PERMISSION_DENIED";
    case 404:
      return "NOT_FOUND";
    case 402:
    case 429:
      return "RESOURCE_EXHAUSTED";
    case 503:
      return "UNAVAILABLE";
    case 504:
      return "DEADLINE_EXCEEDED";
    default:
      return "INTERNAL";
  }
}

std::unique_ptr<StreamWriter> make_gemini_writer(Echo echo, std::string seed) {
  return std::make_unique<GeminiWriter>(std::move(echo), std::move(seed));
}

}  // namespace ez::models
