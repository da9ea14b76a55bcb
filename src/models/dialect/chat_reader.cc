// The stream of POST /v1/chat/completions: chunks without a name, "[DONE]" at the end.
#include <deque>

#include "base/json.h"
#include "models/dialect/stream_readers.h"

namespace ez::models {

namespace {

class ChatReader final : public ReaderBase {
 public:
  explicit ChatReader(const StreamLimits& limits)
      : ReaderBase(Dialect::kOpenAiChat, limits), max_held_bytes_(limits.max_event_bytes) {}

 protected:
  Status on_event(std::string_view name, const Value& data) override {
    const Value* error = data.find("error");
    if ((error != nullptr && !error->is_null()) || name == "error") {
      fail(data);
      return {};
    }
    const Value* choices = data.find("choices");
    if (!started()) {
      // Azure begins with a chunk of filter results that has neither id nor choices.
      if (data.string_or("id", "").empty() &&
          (choices == nullptr || !choices->is_list() || choices->as_list().empty()))
        return {};
      start(data.string_or("id", ""), data.string_or("model", ""), data.int_or("created", 0));
    }
    // The whole call's figures, in the last chunk or (some servers) in every one: the latest counts.
    if (read_openai_usage(data.find("usage"), summary_.usage)) mark_usage();
    if (const Value* groq = data.find("x_groq"); groq != nullptr && groq->is_map()) {
      if (read_openai_usage(groq->find("usage"), summary_.usage)) mark_usage();
    }
    if (choices == nullptr || !choices->is_list()) return {};
    for (const Value& choice : choices->as_list()) {
      if (choice.int_or("index", 0) != 0) continue;  // one answer: requests for several do not cross
      if (const Value* inner = choice.find("delta"); inner != nullptr && inner->is_map()) {
        EZ_TRY(on_delta(*inner));
      }
      const std::string_view reason = choice.string_or("finish_reason", "");
      if (reason.empty()) continue;
      has_reason_ = true;
      reason_ = stop_from_chat(reason);
    }
    return {};
  }

  Status on_done() override {
    if (!started()) return wrong("[DONE] before the answer began");
    return complete();
  }

  void on_end() override {
    if (has_reason_) static_cast<void>(complete());
  }

 private:
  // A call after the first one, kept until the ones in front of it are complete.
  struct Call {
    std::int64_t index;
    Part part;  // arguments as far as they came
  };

  void mark_usage() { summary_.has_usage = summary_.has_input_usage = true; }

  Status on_delta(const Value& inner) {
    std::string_view thinking = inner.string_or("reasoning_content", "");
    if (thinking.empty()) thinking = inner.string_or("reasoning", "");
    if (!thinking.empty()) EZ_TRY(text(PartKind::kThinking, EventKind::kThinkingDelta, thinking));
    if (const Value* content = inner.find("content"); content != nullptr) {
      if (content->is_string() && !content->as_string().empty()) {
        EZ_TRY(text(PartKind::kText, EventKind::kTextDelta, content->as_string()));
      } else if (content->is_list()) {  // Mistral
        for (const Value& part : content->as_list()) {
          const std::string_view piece = part.string_or("text", "");
          if (!piece.empty()) EZ_TRY(text(PartKind::kText, EventKind::kTextDelta, piece));
        }
      }
    }
    const std::string_view refusal = inner.string_or("refusal", "");
    if (!refusal.empty()) EZ_TRY(text(PartKind::kRefusal, EventKind::kTextDelta, refusal));
    const Value* calls = inner.find("tool_calls");
    if (calls == nullptr || !calls->is_list()) return {};
    for (std::size_t i = 0; i < calls->as_list().size(); ++i) {
      EZ_TRY(on_call(calls->as_list()[i], static_cast<std::int64_t>(i)));
    }
    return {};
  }

  Status text(PartKind kind, EventKind event, std::string_view piece) {
    if (!block_is_open() || open_kind() != kind) {
      EZ_TRY(flush());
      Part part;
      part.kind = kind;
      EZ_TRY(open_block(std::move(part)));
    }
    delta(event, piece);
    return {};
  }

  Status on_call(const Value& value, std::int64_t place) {
    if (!value.is_map()) return wrong("a tool call is no object");
    const std::int64_t index = value.int_or("index", place);
    const bool custom = value.find("custom") != nullptr;  // pieces after the first have no type
    const Value* body = value.find(custom ? "custom" : "function");
    const std::string_view name = body == nullptr ? "" : body->string_or("name", "");
    std::string pieces;
    if (const Value* arguments = body == nullptr ? nullptr : body->find(custom ? "input" : "arguments")) {
      if (arguments->is_string()) {
        pieces = arguments->as_string();
      } else if (arguments->is_map()) {
        pieces = to_json(*arguments);
      }
    }
    const std::string_view id = value.string_or("id", "");
    // Servers that give every call the index 0: a new id with a name is a new call.
    const bool restarted =
        index == live_index_ && has_live_ && !id.empty() && !name.empty() && id != live_id_;
    if (has_live_ && index == live_index_ && !restarted) {
      if (block_is_open() && open_kind() == PartKind::kToolCall) {
        live_arguments_ += pieces;
        if (live_arguments_.size() > max_held_bytes_) return wrong("a tool call is too large");
        delta(EventKind::kArgumentsDelta, pieces);
        return {};
      }
      if (pieces.find_first_not_of(" \t\r\n") == std::string::npos) return {};
      return wrong("a tool call went on after its end");
    }
    for (Call& call : held_) {
      if (call.index != index || restarted) continue;
      held_bytes_ += pieces.size();
      if (held_bytes_ > max_held_bytes_) return wrong("its tool calls are too large");
      call.part.arguments += pieces;
      if (call.part.name.empty()) call.part.name = name;
      return {};
    }
    if (name.empty()) return wrong("a tool call without a name");
    Call call{index, {}};
    call.part.kind = PartKind::kToolCall;
    call.part.id = id.empty() ? "call_" + std::to_string(index) : std::string(id);
    call.part.name = name;
    call.part.custom = custom;
    call.part.arguments = std::move(pieces);
    const bool live_call = block_is_open() && open_kind() == PartKind::kToolCall;
    // The call in front may still go on, unless what came of it is whole already.
    if (held_.empty() && (!live_call || restarted || parse_json(live_arguments_).ok())) {
      return begin(std::move(call));
    }
    held_bytes_ += call.part.arguments.size();
    if (held_.size() >= 1'000 || held_bytes_ > max_held_bytes_) return wrong("its tool calls are too large");
    held_.push_back(std::move(call));
    return {};
  }

  Status begin(Call call) {
    has_live_ = true;
    live_index_ = call.index;
    live_id_ = call.part.id;
    live_arguments_ = std::exchange(call.part.arguments, {});
    EZ_TRY(open_block(std::move(call.part)));
    delta(EventKind::kArgumentsDelta, live_arguments_);
    return {};
  }

  Status flush() {
    while (!held_.empty()) {
      Call call = std::move(held_.front());
      held_.pop_front();
      EZ_TRY(begin(std::move(call)));
    }
    held_bytes_ = 0;
    return {};
  }

  Status complete() {
    EZ_TRY(flush());
    close_block();
    // Some servers say "stop" after tool calls.
    if (has_live_ && (reason_ == StopReason::kEndTurn || !has_reason_)) reason_ = StopReason::kToolUse;
    finish(reason_, {});
    return {};
  }

  const std::size_t max_held_bytes_;
  std::deque<Call> held_;
  std::size_t held_bytes_ = 0;
  std::int64_t live_index_ = -1;
  std::string live_id_, live_arguments_;
  StopReason reason_ = StopReason::kUnknown;
  bool has_live_ = false, has_reason_ = false;
};

}  // namespace

std::unique_ptr<StreamReader> make_chat_reader(const StreamLimits& limits) {
  return std::make_unique<ChatReader>(limits);
}

}  // namespace ez::models
