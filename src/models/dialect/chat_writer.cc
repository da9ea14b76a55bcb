// Events as the stream of POST /v1/chat/completions.
#include <algorithm>

#include "base/json.h"
#include "models/dialect/sse.h"
#include "models/dialect/stream_readers.h"

namespace ez::models {

namespace {

class ChatWriter final : public StreamWriter {
 public:
  ChatWriter(Echo echo, std::string seed, std::int64_t now_s)
      : echo_(std::move(echo)), seed_(std::move(seed)), now_s_(now_s) {}

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
        delta(kind_ == PartKind::kRefusal ? "refusal" : "content", event.text, out);
        break;
      case EventKind::kThinkingDelta:
        delta("reasoning_content", event.text, out);
        break;
      case EventKind::kArgumentsDelta:
        arguments(event.text, out);
        break;
      case EventKind::kSignatureDelta:
        break;  // the dialect has no place for it
      case EventKind::kBlockStop:
        stop_block(out);
        break;
      case EventKind::kPing:
        keep_alive(out);
        break;
      case EventKind::kFinish:
        finish(event, out);
        break;
      case EventKind::kError: {
        Value data;
        data.set("error", error_object(Dialect::kOpenAiChat, event.error.value_or(ProviderError{})));
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
  void start(const ChatEvent& event, std::string& out) {
    // What every chunk begins with.
    head_ = "{\"id\":";
    append_json_string(head_, own_id("chatcmpl-", event.id, seed_));
    head_ += ",\"object\":\"chat.completion.chunk\",\"created\":";
    head_ += std::to_string(event.created_s > 0 ? event.created_s : now_s_);
    head_ += ",\"model\":";
    append_json_string(head_, echo_.model.empty() ? event.model : echo_.model);
    chunk("{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}", {}, out);
  }

  // `delta` is a JSON text.
  void chunk(std::string_view delta, std::string_view finish_reason, std::string& out) {
    out += "data: ";
    out += head_;
    out += ",\"choices\":[{\"index\":0,\"delta\":";
    out += delta;
    out += ",\"logprobs\":null,\"finish_reason\":";
    if (finish_reason.empty()) {
      out += "null";
    } else {
      append_json_string(out, finish_reason);
    }
    out += echo_.stream_usage ? "}],\"usage\":null}\n\n" : "}]}\n\n";
  }

  void delta(std::string_view member, std::string_view text, std::string& out) {
    std::string inner = "{\"" + std::string(member) + "\":";
    append_json_string(inner, text);
    chunk(inner + "}", {}, out);
  }

  void block(const ChatEvent& event, std::string& out) {
    kind_ = event.part.kind;
    if (kind_ != PartKind::kToolCall) return;
    ++call_;
    const std::vector<std::string>& names = echo_.custom_tools;
    custom_ = event.part.custom || std::find(names.begin(), names.end(), event.part.name) != names.end();
    unwrap_ = custom_ && !event.part.custom;
    held_.clear();
    wrote_arguments_ = false;
    std::string inner = "{\"tool_calls\":[{\"index\":" + std::to_string(call_) + ",\"id\":";
    append_json_string(inner, event.part.id);
    inner += custom_ ? R"(,"type":"custom","custom":{"name":)" : R"(,"type":"function","function":{"name":)";
    append_json_string(inner, event.part.name);
    inner += custom_ ? R"(,"input":""}}]})" : R"(,"arguments":""}}]})";
    chunk(inner, {}, out);
  }

  void arguments(std::string_view text, std::string& out) {
    if (unwrap_) {
      held_ += text;  // free text inside JSON: readable only as a whole
    } else {
      write_arguments(text, out);
    }
  }

  void write_arguments(std::string_view text, std::string& out) {
    wrote_arguments_ = true;
    std::string inner = "{\"tool_calls\":[{\"index\":" + std::to_string(call_);
    inner += custom_ ? R"(,"custom":{"input":)" : R"(,"function":{"arguments":)";
    append_json_string(inner, text);
    chunk(inner + "}}]}", {}, out);
  }

  void stop_block(std::string& out) {
    if (kind_ != PartKind::kToolCall) return;
    if (unwrap_) write_arguments(custom_input(held_), out);
    // Clients parse the arguments: a call without any has an empty object.
    if (!wrote_arguments_ && !custom_) write_arguments("{}", out);
  }

  void finish(const ChatEvent& event, std::string& out) {
    chunk("{}", stop_to_chat(event.stop_reason), out);
    if (echo_.stream_usage) {
      out += "data: " + head_ + ",\"choices\":[],\"usage\":" + to_json(chat_usage(event.usage)) + "}\n\n";
    }
    append_sse(out, {}, "[DONE]");
    ended_ = true;
  }

  const Echo echo_;
  const std::string seed_;
  const std::int64_t now_s_;
  std::string head_, held_;
  PartKind kind_ = PartKind::kText;
  int call_ = -1;
  bool custom_ = false, unwrap_ = false, wrote_arguments_ = false, ended_ = false;
};

}  // namespace

std::unique_ptr<StreamWriter> make_chat_writer(Echo echo, std::string seed, std::int64_t now_s) {
  return std::make_unique<ChatWriter>(std::move(echo), std::move(seed), now_s);
}

}  // namespace ez::models
