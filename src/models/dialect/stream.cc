#include "models/dialect/stream.h"

#include "base/check.h"
#include "models/dialect/codec.h"
#include "models/dialect/stream_readers.h"

namespace ez::models {

std::unique_ptr<StreamReader> StreamReader::make(Dialect upstream, const StreamLimits& limits) {
  switch (upstream) {
    case Dialect::kAnthropicMessages:
      return make_anthropic_reader(limits);
    case Dialect::kOpenAiChat:
      return make_chat_reader(limits);
    case Dialect::kGemini:
      EZ_CHECK(false, "no provider answers in Gemini's own dialect");
    case Dialect::kOpenAiResponses:
      break;
  }
  return make_responses_reader(limits);
}

std::unique_ptr<StreamWriter> StreamWriter::make(Dialect client, Echo echo, std::string seed,
                                                 std::int64_t now_s) {
  switch (client) {
    case Dialect::kAnthropicMessages:
      return make_anthropic_writer(std::move(echo), std::move(seed));
    case Dialect::kOpenAiChat:
      return make_chat_writer(std::move(echo), std::move(seed), now_s);
    case Dialect::kGemini:
      return make_gemini_writer(std::move(echo), std::move(seed));
    case Dialect::kOpenAiResponses:
      break;
  }
  return make_responses_writer(std::move(echo), std::move(seed), now_s);
}

void AnswerBuilder::add(const ChatEvent& event) {
  switch (event.kind) {
    case EventKind::kStart:
      answer_.id = event.id;
      answer_.model = event.model;
      answer_.created_s = event.created_s;
      answer_.usage = event.usage;
      break;
    case EventKind::kBlockStart:
      answer_.parts.push_back(event.part);
      break;
    case EventKind::kTextDelta:
    case EventKind::kThinkingDelta:
      if (!answer_.parts.empty()) answer_.parts.back().text += event.text;
      break;
    case EventKind::kSignatureDelta:
      if (!answer_.parts.empty()) answer_.parts.back().signature = event.text;
      break;
    case EventKind::kArgumentsDelta:
      if (!answer_.parts.empty()) answer_.parts.back().arguments += event.text;
      break;
    case EventKind::kFinish:
      answer_.stop_reason = event.stop_reason;
      answer_.stop_sequence = event.stop_sequence;
      answer_.usage = event.usage;
      answer_.has_usage = event.usage != Usage{};
      break;
    case EventKind::kBlockStop:
    case EventKind::kPing:
    case EventKind::kError:
      break;
  }
}

std::vector<ChatEvent> events_of(const ChatAnswer& answer) {
  std::vector<ChatEvent> out;
  const auto add = [&](EventKind kind) -> ChatEvent& {
    out.emplace_back();
    out.back().kind = kind;
    return out.back();
  };
  ChatEvent& start = add(EventKind::kStart);
  start.id = answer.id;
  start.model = answer.model;
  start.created_s = answer.created_s;
  start.usage = answer.usage;
  start.usage.output_tokens = start.usage.reasoning_tokens = 0;
  std::int32_t index = 0;
  for (const Part& part : answer.parts) {
    if (part.kind == PartKind::kOpaque) continue;
    Part head = part;
    head.text.clear();
    head.arguments.clear();
    head.raw = {};
    head.extras = {};
    if (part.kind == PartKind::kThinking) head.signature.clear();
    ChatEvent& begin = add(EventKind::kBlockStart);
    begin.index = index;
    begin.part = std::move(head);
    const auto delta = [&](EventKind kind, const std::string& text) {
      if (text.empty()) return;
      ChatEvent& event = add(kind);
      event.index = index;
      event.text = text;
    };
    const bool thinking = part.kind == PartKind::kThinking;
    delta(thinking ? EventKind::kThinkingDelta : EventKind::kTextDelta, part.text);
    delta(EventKind::kArgumentsDelta, part.arguments);
    if (thinking) delta(EventKind::kSignatureDelta, part.signature);
    add(EventKind::kBlockStop).index = index++;
  }
  ChatEvent& finish = add(EventKind::kFinish);
  finish.stop_reason = answer.stop_reason;
  finish.stop_sequence = answer.stop_sequence;
  finish.usage = answer.usage;
  return out;
}

}  // namespace ez::models
