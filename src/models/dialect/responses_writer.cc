// Events as the stream of POST /v1/responses.
#include <algorithm>

#include "base/json.h"
#include "models/dialect/sse.h"
#include "models/dialect/stream_readers.h"

namespace ez::models {

namespace {

class ResponsesWriter final : public StreamWriter {
 public:
  ResponsesWriter(Echo echo, std::string seed, std::int64_t now_s)
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
        text(event.text, out);
        break;
      case EventKind::kThinkingDelta:
        thinking(event.text, out);
        break;
      case EventKind::kSignatureDelta:
        part_.signature = event.text;
        break;
      case EventKind::kArgumentsDelta:
        arguments(event.text, out);
        break;
      case EventKind::kBlockStop:
        stop_block(out);
        break;
      case EventKind::kPing:
        keep_alive(out);
        break;
      case EventKind::kFinish:
        finish(event, out);
        break;
      case EventKind::kError:
        error(event.error.value_or(ProviderError{}), out);
        break;
    }
  }

  void keep_alive(std::string& out) override {
    if (!ended_) out += ": keep-alive\n\n";
  }

 private:
  void send(std::string_view type, Value data, std::string& out) {
    data.set("type", type);
    data.set("sequence_number", sequence_++);
    append_sse(out, type, to_json(data));
  }

  void send_response(std::string_view type, std::string& out) {
    Value data;
    data.set("response", response_);
    send(type, std::move(data), out);
  }

  void start(const ChatEvent& event, std::string& out) {
    id_ = own_id("resp_", event.id, seed_);
    response_ = responses_object(echo_, id_, echo_.model.empty() ? event.model : echo_.model,
                                 event.created_s > 0 ? event.created_s : now_s_);
    send_response("response.created", out);
    send_response("response.in_progress", out);
  }

  [[nodiscard]] std::string item_id() const { return id_.substr(5) + "_" + std::to_string(items_.size()); }

  // Where an event belongs to: {"item_id", "output_index", …}.
  [[nodiscard]] Value place(bool content) const {
    Value data;
    data.set("item_id", item_name_);
    data.set("output_index", static_cast<std::int64_t>(items_.size()));
    if (content) data.set("content_index", 0);
    return data;
  }

  void send_item(std::string_view type, Value item, std::string& out) {
    Value data;
    data.set("output_index", static_cast<std::int64_t>(items_.size()));
    data.set("item", std::move(item));
    send(type, std::move(data), out);
  }

  void block(const ChatEvent& event, std::string& out) {
    part_ = event.part;
    const std::vector<std::string>& names = echo_.custom_tools;
    custom_ = part_.kind == PartKind::kToolCall &&
              (part_.custom || std::find(names.begin(), names.end(), part_.name) != names.end());
    unwrap_ = custom_ && !part_.custom;
    summary_open_ = false;
    // The item as it looks before its deltas.
    Part empty = part_;
    empty.custom = custom_;
    Value item = responses_item(empty, echo_, item_id());
    item_name_ = item.string_or("id", "");
    if (item.find("status") != nullptr) item.set("status", "in_progress");
    if (part_.kind == PartKind::kToolCall) item.set(custom_ ? "input" : "arguments", "");
    const bool message = part_.kind == PartKind::kText || part_.kind == PartKind::kRefusal;
    Value content = message ? item.find("content")->as_list().front() : Value();
    if (message) item.set("content", Value(Value::List{}));
    send_item("response.output_item.added", std::move(item), out);
    if (!message) return;
    Value data = place(true);
    data.set("part", std::move(content));
    send("response.content_part.added", std::move(data), out);
  }

  void text(std::string_view piece, std::string& out) {
    const bool refusal = part_.kind == PartKind::kRefusal;
    part_.text += piece;
    Value data = place(true);
    data.set("delta", piece);
    if (!refusal) data.set("logprobs", Value(Value::List{}));
    send(refusal ? "response.refusal.delta" : "response.output_text.delta", std::move(data), out);
  }

  [[nodiscard]] Value summary_place() const {
    Value data = place(false);
    data.set("summary_index", 0);
    return data;
  }

  [[nodiscard]] Value summary_part() const {
    Value part;
    part.set("type", "summary_text");
    part.set("text", part_.text);
    return part;
  }

  void thinking(std::string_view piece, std::string& out) {
    if (!summary_open_) {
      summary_open_ = true;
      Value data = summary_place();
      data.set("part", summary_part());
      send("response.reasoning_summary_part.added", std::move(data), out);
    }
    part_.text += piece;
    Value data = summary_place();
    data.set("delta", piece);
    send("response.reasoning_summary_text.delta", std::move(data), out);
  }

  void arguments(std::string_view piece, std::string& out) {
    part_.arguments += piece;
    if (!unwrap_) send_arguments(piece, out);
  }

  void send_arguments(std::string_view piece, std::string& out) {
    Value data = place(false);
    data.set("delta", piece);
    send(custom_ ? "response.custom_tool_call_input.delta" : "response.function_call_arguments.delta",
         std::move(data), out);
  }

  void stop_block(std::string& out) {
    if (part_.kind == PartKind::kToolCall) {
      if (unwrap_) {
        part_.arguments = custom_input(part_.arguments);
        send_arguments(part_.arguments, out);
      } else if (part_.arguments.empty() && !custom_) {
        part_.arguments = "{}";
        send_arguments(part_.arguments, out);
      }
      part_.custom = custom_;
      Value data = place(false);
      data.set(custom_ ? "input" : "arguments", part_.arguments);
      if (!custom_) data.set("name", part_.name);
      send(custom_ ? "response.custom_tool_call_input.done" : "response.function_call_arguments.done",
           std::move(data), out);
    } else if (part_.kind == PartKind::kThinking && summary_open_) {
      Value data = summary_place();
      data.set("text", part_.text);
      send("response.reasoning_summary_text.done", std::move(data), out);
      data = summary_place();
      data.set("part", summary_part());
      send("response.reasoning_summary_part.done", std::move(data), out);
    }
    // The seal may name the item otherwise than its beginning did: it came later.
    Value item = responses_item(part_, echo_, item_id());
    item.set("id", item_name_);
    if (part_.kind == PartKind::kThinking && unseal(part_.signature).seal == Seal::kOpenAi) {
      item.set("encrypted_content", part_.signature);
    }
    if (part_.kind == PartKind::kText || part_.kind == PartKind::kRefusal) {
      const bool refusal = part_.kind == PartKind::kRefusal;
      Value data = place(true);
      data.set(refusal ? "refusal" : "text", part_.text);
      if (!refusal) data.set("logprobs", Value(Value::List{}));
      send(refusal ? "response.refusal.done" : "response.output_text.done", std::move(data), out);
      data = place(true);
      data.set("part", item.find("content")->as_list().front());
      send("response.content_part.done", std::move(data), out);
    }
    send_item("response.output_item.done", item, out);
    items_.push_back(std::move(item));
  }

  void finish(const ChatEvent& event, std::string& out) {
    finish_responses_object(response_, event.stop_reason, event.usage, std::move(items_));
    const bool completed = response_.string_or("status", "") == "completed";
    send_response(completed ? "response.completed" : "response.incomplete", out);
    ended_ = true;
  }

  void error(const ProviderError& error, std::string& out) {
    const Value words = error_object(Dialect::kOpenAiResponses, error);
    if (response_.is_null()) {
      Value data;
      data.set("code", *words.find("code"));
      data.set("message", *words.find("message"));
      data.set("param", *words.find("param"));
      send("error", std::move(data), out);
    } else {
      Value inner;
      const std::string_view code = words.string_or("code", "server_error");
      inner.set("code", code);
      inner.set("message", *words.find("message"));
      response_.set("status", "failed");
      response_.set("error", std::move(inner));
      response_.set("output", Value(std::move(items_)));
      send_response("response.failed", out);
    }
    ended_ = true;
  }

  const Echo echo_;
  const std::string seed_;
  const std::int64_t now_s_;
  std::string id_, item_name_;
  Value response_;
  Value::List items_;
  Part part_;
  std::int64_t sequence_ = 0;
  bool custom_ = false, unwrap_ = false, summary_open_ = false, ended_ = false;
};

}  // namespace

std::unique_ptr<StreamWriter> make_responses_writer(Echo echo, std::string seed, std::int64_t now_s) {
  return std::make_unique<ResponsesWriter>(std::move(echo), std::move(seed), now_s);
}

}  // namespace ez::models
