// Events as the stream of POST /v1/messages.
#include "base/json.h"
#include "models/dialect/sse.h"
#include "models/dialect/stream_readers.h"

namespace ez::models {

namespace {

class AnthropicWriter final : public StreamWriter {
 public:
  AnthropicWriter(Echo echo, std::string seed) : echo_(std::move(echo)), seed_(std::move(seed)) {}

  void write(const ChatEvent& event, std::string& out) override {
    if (ended_) return;
    switch (event.kind) {
      case EventKind::kStart:
        start(event, out);
        break;
      case EventKind::kBlockStart:
        block(event, out);
        break;
      case EventKind::kTextDelta:
        delta("text_delta", "text", event, out);
        break;
      case EventKind::kThinkingDelta:
        delta("thinking_delta", "thinking", event, out);
        break;
      case EventKind::kSignatureDelta: {
        ChatEvent bare = event;
        const Sealed sealed = unseal(event.text);
        if (sealed.seal == Seal::kAnthropic) bare.text = sealed.bytes;
        delta("signature_delta", "signature", bare, out);
        break;
      }
      case EventKind::kArgumentsDelta:
        delta("input_json_delta", "partial_json", event, out);
        break;
      case EventKind::kBlockStop: {
        Value data;
        data.set("index", std::int64_t{event.index});
        send("content_block_stop", std::move(data), out);
        break;
      }
      case EventKind::kPing:
        send("ping", {}, out);
        break;
      case EventKind::kFinish:
        finish(event, out);
        break;
      case EventKind::kError: {
        Value data;
        data.set("error", error_object(Dialect::kAnthropicMessages, event.error.value_or(ProviderError{})));
        send("error", std::move(data), out);
        ended_ = true;
        break;
      }
    }
  }

  void keep_alive(std::string& out) override {
    if (!ended_) send("ping", {}, out);
  }

 private:
  static void send(std::string_view type, Value data, std::string& out) {
    data.set("type", type);
    append_sse(out, type, to_json(data));
  }

  void start(const ChatEvent& event, std::string& out) {
    Value message;
    message.set("id", own_id("msg_", event.id, seed_));
    message.set("type", "message");
    message.set("role", "assistant");
    message.set("model", echo_.model.empty() ? event.model : echo_.model);
    message.set("content", Value(Value::List{}));
    message.set("stop_reason", Value());
    message.set("stop_sequence", Value());
    message.set("usage", anthropic_usage(event.usage));
    Value data;
    data.set("message", std::move(message));
    send("message_start", std::move(data), out);
  }

  static void block(const ChatEvent& event, std::string& out) {
    Value inner;
    switch (event.part.kind) {
      case PartKind::kThinking:
        inner.set("type", "thinking");
        inner.set("thinking", "");
        inner.set("signature", "");
        break;
      case PartKind::kRedactedThinking:
        inner.set("type", "redacted_thinking");
        inner.set("data", unseal(event.part.signature).bytes);
        break;
      case PartKind::kToolCall:
        inner.set("type", "tool_use");
        inner.set("id", safe_id("toolu_", event.part.id));
        inner.set("name", event.part.name);
        inner.set("input", Value(Value::Map{}));
        break;
      default:
        inner.set("type", "text");
        inner.set("text", "");
    }
    Value data;
    data.set("index", std::int64_t{event.index});
    data.set("content_block", std::move(inner));
    send("content_block_start", std::move(data), out);
  }

  // The hot one: written by hand.
  static void delta(std::string_view type, std::string_view member, const ChatEvent& event,
                    std::string& out) {
    out += "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":";
    out += std::to_string(event.index);
    out += ",\"delta\":{\"type\":\"";
    out += type;
    out += "\",\"";
    out += member;
    out += "\":";
    append_json_string(out, event.text);
    out += "}}\n\n";
  }

  void finish(const ChatEvent& event, std::string& out) {
    Value inner;
    inner.set("stop_reason", stop_to_anthropic(event.stop_reason));
    const bool stopped = event.stop_reason == StopReason::kStopSequence;
    inner.set("stop_sequence", stopped ? Value(event.stop_sequence) : Value());
    Value data;
    data.set("delta", std::move(inner));
    data.set("usage", anthropic_usage(event.usage));
    send("message_delta", std::move(data), out);
    send("message_stop", {}, out);
    ended_ = true;
  }

  const Echo echo_;
  const std::string seed_;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<StreamWriter> make_anthropic_writer(Echo echo, std::string seed) {
  return std::make_unique<AnthropicWriter>(std::move(echo), std::move(seed));
}

}  // namespace ez::models
