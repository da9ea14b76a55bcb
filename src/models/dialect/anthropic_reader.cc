// The stream of POST /v1/messages: message_start, per block content_block_start, content_block_delta …,
// content_block_stop, then message_delta and message_stop; ping and error anywhere.
#include "models/dialect/stream_readers.h"

namespace ez::models {

namespace {

class AnthropicReader final : public ReaderBase {
 public:
  explicit AnthropicReader(const StreamLimits& limits) : ReaderBase(Dialect::kAnthropicMessages, limits) {}

 protected:
  Status on_event(std::string_view name, const Value& data) override {
    const std::string_view type = data.string_or("type", name);
    if (type == "message_start") return on_start(data);
    if (type == "ping") {
      ping();
      return {};
    }
    if (type == "error") {
      fail(data);
      return {};
    }
    const bool known = type == "content_block_start" || type == "content_block_delta" ||
                       type == "content_block_stop" || type == "message_delta" || type == "message_stop";
    if (!known) return {};  // the API says: new kinds may come, ignore them
    if (!started()) return wrong(std::string(type) + " before message_start");
    if (type == "content_block_start") return on_block(data);
    if (type == "content_block_delta") return on_delta(data);
    if (type == "content_block_stop") {
      close_block();
      upstream_index_ = -1;
      return {};
    }
    if (type == "message_delta") {
      on_message_delta(data);
      return {};
    }
    finish(reason_, stop_sequence_);
    return {};
  }

  void on_end() override {
    // Everything was said; only the last event, which says nothing, is missing.
    if (has_reason_) finish(reason_, stop_sequence_);
  }

 private:
  Status on_start(const Value& data) {
    if (started()) return wrong("message_start came twice");
    const Value* message = data.find("message");
    if (message == nullptr || !message->is_map()) return wrong("message_start without a message");
    if (read_anthropic_usage(message->find("usage"), summary_.usage)) summary_.has_input_usage = true;
    start(message->string_or("id", ""), message->string_or("model", ""), 0);
    return {};
  }

  Status on_block(const Value& data) {
    if (block_is_open() || upstream_index_ >= 0) return wrong("a block began inside another");
    const Value* block = data.find("content_block");
    upstream_index_ = data.int_or("index", -1);
    if (block == nullptr || !block->is_map() || upstream_index_ < 0) {
      return wrong("content_block_start without a block");
    }
    ReadContext context{Code::ProviderAnswerInvalid, std::nullopt};
    const Path path;
    Part part = parse_anthropic_block(context, *block, path, 1);
    if (context.error.has_value()) return wrong(context.error->message());
    if (part.kind == PartKind::kOpaque) return {};  // its deltas find no open block
    part.extras = {};
    const std::string text = std::exchange(part.text, {});
    std::string arguments = std::exchange(part.arguments, {});
    if (arguments == "{}") arguments.clear();  // what the input looks like before its deltas
    std::string signature;
    if (part.kind == PartKind::kThinking) signature = std::exchange(part.signature, {});
    const bool thinking = part.kind == PartKind::kThinking;
    EZ_TRY(open_block(std::move(part)));
    delta(thinking ? EventKind::kThinkingDelta : EventKind::kTextDelta, text);
    delta(EventKind::kArgumentsDelta, arguments);
    delta(EventKind::kSignatureDelta, signature);
    return {};
  }

  Status on_delta(const Value& data) {
    const Value* inner = data.find("delta");
    if (inner == nullptr || !inner->is_map()) return wrong("content_block_delta without a delta");
    if (data.int_or("index", -1) != upstream_index_) return wrong("a delta for a block that is not open");
    if (!block_is_open()) return {};
    const std::string_view type = inner->string_or("type", "");
    const PartKind kind = open_kind();
    if (type == "text_delta" && kind == PartKind::kText) {
      delta(EventKind::kTextDelta, inner->string_or("text", ""));
    } else if (type == "thinking_delta" && kind == PartKind::kThinking) {
      delta(EventKind::kThinkingDelta, inner->string_or("thinking", ""));
    } else if (type == "signature_delta" && kind == PartKind::kThinking) {
      const std::string_view signature = inner->string_or("signature", "");
      if (!signature.empty()) delta(EventKind::kSignatureDelta, seal(Seal::kAnthropic, {}, signature));
    } else if (type == "input_json_delta" && kind == PartKind::kToolCall) {
      delta(EventKind::kArgumentsDelta, inner->string_or("partial_json", ""));
    } else if (type == "text_delta" || type == "thinking_delta" || type == "input_json_delta") {
      return wrong(std::string(type) + " for a block of another kind");
    }
    return {};
  }

  void on_message_delta(const Value& data) {
    if (read_anthropic_usage(data.find("usage"), summary_.usage)) summary_.has_usage = true;
    const Value* inner = data.find("delta");
    if (inner == nullptr) return;
    const std::string_view reason = inner->string_or("stop_reason", "");
    if (reason.empty()) return;
    has_reason_ = true;
    reason_ = stop_from_anthropic(reason);
    stop_sequence_ = inner->string_or("stop_sequence", "");
  }

  std::int64_t upstream_index_ = -1;
  StopReason reason_ = StopReason::kUnknown;
  std::string stop_sequence_;
  bool has_reason_ = false;
};

}  // namespace

std::unique_ptr<StreamReader> make_anthropic_reader(const StreamLimits& limits) {
  return std::make_unique<AnthropicReader>(limits);
}

}  // namespace ez::models
