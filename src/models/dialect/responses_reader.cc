// The stream of POST /v1/responses: response.created, per item response.output_item.added, deltas,
// response.output_item.done, then response.completed, response.incomplete or response.failed.
#include "models/dialect/stream_readers.h"

namespace ez::models {

namespace {

class ResponsesReader final : public ReaderBase {
 public:
  explicit ResponsesReader(const StreamLimits& limits) : ReaderBase(Dialect::kOpenAiResponses, limits) {}

 protected:
  Status on_event(std::string_view name, const Value& data) override {
    const std::string_view type = data.string_or("type", name);
    if (type == "error" || type == "response.failed") {
      fail(data);
      return {};
    }
    const Value* response = data.find("response");
    if (type == "response.created" || type == "response.in_progress" || type == "response.queued") {
      if (response != nullptr && response->is_map()) begin(*response);
      return {};
    }
    if (type == "response.completed" || type == "response.incomplete") {
      if (response == nullptr || !response->is_map()) return wrong(std::string(type) + " without a response");
      return on_complete(*response);
    }
    if (!type.starts_with("response.")) return {};
    if (type == "response.output_item.added") return on_item(data);
    if (type == "response.output_item.done") return on_item_done(data);
    if (type == "response.output_text.delta") {
      return on_text(data, PartKind::kText, EventKind::kTextDelta);
    }
    if (type == "response.refusal.delta") return on_text(data, PartKind::kRefusal, EventKind::kTextDelta);
    if (type == "response.function_call_arguments.delta" || type == "response.custom_tool_call_input.delta") {
      if (!at_item(data) || !block_is_open()) return wrong("arguments for a call that is not open");
      has_arguments_ = true;
      delta(EventKind::kArgumentsDelta, data.string_or("delta", ""));
      return {};
    }
    if (type == "response.reasoning_summary_text.delta" || type == "response.reasoning_text.delta") {
      return on_thinking(data);
    }
    return {};
  }

 private:
  void begin(const Value& response) {
    start(response.string_or("id", ""), response.string_or("model", ""),
          count_of(response.find("created_at")).value_or(0));
  }

  [[nodiscard]] bool at_item(const Value& data) const {
    return started() && data.int_or("output_index", -1) == item_index_;
  }

  Status on_item(const Value& data) {
    if (!started()) return wrong("an item before response.created");
    const Value* item = data.find("item");
    if (item == nullptr || !item->is_map()) return wrong("response.output_item.added without an item");
    close_block();
    item_index_ = data.int_or("output_index", -1);
    content_index_ = -1;
    has_arguments_ = false;
    item_kind_ = item->string_or("type", "");
    if (item_kind_ != "function_call" && item_kind_ != "custom_tool_call") return {};
    Part part;
    part.kind = PartKind::kToolCall;
    part.custom = item_kind_ == "custom_tool_call";
    part.id = item->string_or("call_id", "");
    part.name = item->string_or("name", "");
    if (part.id.empty() || part.name.empty()) return wrong("a call without an id or a name");
    has_calls_ = true;
    return open_block(std::move(part));
  }

  Status on_text(const Value& data, PartKind kind, EventKind event) {
    if (!at_item(data)) return wrong("a delta for an item that is not open");
    const std::int64_t content = data.int_or("content_index", 0);
    if (!block_is_open() || open_kind() != kind || content != content_index_) {
      content_index_ = content;
      Part part;
      part.kind = kind;
      EZ_TRY(open_block(std::move(part)));
    }
    delta(event, data.string_or("delta", ""));
    return {};
  }

  Status on_thinking(const Value& data) {
    if (!at_item(data)) return wrong("a delta for an item that is not open");
    const bool is_summary = data.find("summary_index") != nullptr;
    const std::int64_t index = data.int_or(is_summary ? "summary_index" : "content_index", 0);
    if (!block_is_open()) {
      Part part;
      part.kind = PartKind::kThinking;
      EZ_TRY(open_block(std::move(part)));
    } else if (index != content_index_) {
      delta(EventKind::kThinkingDelta, "\n\n");  // paragraphs of one summary
    }
    content_index_ = index;
    delta(EventKind::kThinkingDelta, data.string_or("delta", ""));
    return {};
  }

  Status on_item_done(const Value& data) {
    if (!at_item(data)) return wrong("an item ended that is not open");
    const Value* item = data.find("item");
    if (item_kind_ == "reasoning" && item != nullptr) {
      const std::string_view sealed = item->string_or("encrypted_content", "");
      if (!sealed.empty() && !block_is_open()) {
        Part part;
        part.kind = PartKind::kThinking;
        EZ_TRY(open_block(std::move(part)));
      }
      if (!sealed.empty()) {
        delta(EventKind::kSignatureDelta, seal(Seal::kOpenAi, item->string_or("id", ""), sealed));
      }
    } else if (item != nullptr && block_is_open() && open_kind() == PartKind::kToolCall && !has_arguments_) {
      // A server that sends the arguments only whole.
      const std::string_view name = item_kind_ == "custom_tool_call" ? "input" : "arguments";
      delta(EventKind::kArgumentsDelta, item->string_or(name, ""));
    }
    close_block();
    item_index_ = -1;
    return {};
  }

  Status on_complete(const Value& response) {
    begin(response);
    if (read_openai_usage(response.find("usage"), summary_.usage)) {
      summary_.has_usage = summary_.has_input_usage = true;
    }
    const std::string_view model = response.string_or("model", "");
    if (!model.empty()) summary_.model = model;
    finish(responses_stop(response, has_calls_), {});
    return {};
  }

  std::int64_t item_index_ = -1, content_index_ = -1;
  std::string item_kind_;
  bool has_arguments_ = false, has_calls_ = false;
};

}  // namespace

std::unique_ptr<StreamReader> make_responses_reader(const StreamLimits& limits) {
  return std::make_unique<ResponsesReader>(limits);
}

}  // namespace ez::models
