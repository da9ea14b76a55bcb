#include "agents/llm/message.h"

#include <algorithm>
#include <optional>

#include "base/json.h"

namespace ez::agents {
namespace {

std::string shown(std::string_view text) {
  std::string out(text.substr(0, 500));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return out;
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// What a `tool_use` input or an empty text cannot be: the API refuses empty text blocks when they come back.
bool is_empty_text(const Value& block) {
  return block.string_or("type", "") == "text" && block.string_or("text", "").empty();
}

}  // namespace

ModelUsage& ModelUsage::operator+=(const ModelUsage& other) {
  input += other.input;
  cache_write += other.cache_write;
  cache_read += other.cache_read;
  output += other.output;
  return *this;
}

Value to_value(const ModelUsage& usage) {
  return Value::Map{{"input_tokens", usage.input},
                    {"cache_creation_input_tokens", usage.cache_write},
                    {"cache_read_input_tokens", usage.cache_read},
                    {"output_tokens", usage.output}};
}

std::string ModelReply::text() const {
  std::string out;
  for (const Value& block : content) {
    if (block.string_or("type", "") == "text") out += block.string_or("text", "");
  }
  return out;
}

void ReplyAssembler::fail(Error error) {
  if (!failure_) failure_ = std::move(error);
}

bool ReplyAssembler::event(const std::string& data) {
  if (failure_ || complete_) return false;
  const auto parsed = parse_json(data);
  if (!parsed.ok()) {
    fail(Error(Code::ModelReplyInvalid,
               "an event of the model's stream is no JSON: " + parsed.error().message()));
    return false;
  }
  const std::string_view type = parsed->string_or("type", "");
  if (type == "message_start") {
    if (const Value* message = parsed->find("message")) {
      reply_.model = message->string_or("model", "");
      read_usage(message->find("usage"));
    }
  } else if (type == "content_block_start") {
    start_block(*parsed);
  } else if (type == "content_block_delta") {
    delta(*parsed);
  } else if (type == "content_block_stop") {
    const std::int64_t index = parsed->int_or("index", -1);
    if (index >= 0 && index < static_cast<std::int64_t>(blocks_.size()))
      close(blocks_[static_cast<std::size_t>(index)]);
  } else if (type == "message_delta") {
    if (const Value* change = parsed->find("delta"))
      reply_.stop_reason = change->string_or("stop_reason", reply_.stop_reason);
    read_usage(parsed->find("usage"));
  } else if (type == "message_stop") {
    complete_ = true;
  } else if (type == "error") {
    fail(model_error(0, data));
  }
  return !failure_ && !complete_;
}

// Cumulative: what a later event names replaces what an earlier one said.
void ReplyAssembler::read_usage(const Value* usage) {
  if (usage == nullptr) return;
  constexpr std::int64_t kMost = 1'000'000'000;  // sums of many turns stay far from overflow
  const auto read = [&](std::string_view key, std::int64_t& out) {
    out = std::clamp<std::int64_t>(usage->int_or(key, out), 0, kMost);
  };
  read("input_tokens", reply_.usage.input);
  read("cache_creation_input_tokens", reply_.usage.cache_write);
  read("cache_read_input_tokens", reply_.usage.cache_read);
  read("output_tokens", reply_.usage.output);
}

void ReplyAssembler::start_block(const Value& event) {
  const Value* block = event.find("content_block");
  if (event.int_or("index", -1) != static_cast<std::int64_t>(blocks_.size()) || block == nullptr ||
      !block->is_map())
    return fail(Error(Code::ModelReplyInvalid, "a content block is out of order"));
  bytes_ += to_json(*block).size();
  if (blocks_.size() >= kMaxReplyBlocks || bytes_ > kMaxReplyBytes)
    return fail(Error(Code::ModelReplyInvalid, "the reply is too large"));
  blocks_.push_back({*block, std::string(block->string_or("text", "")), "", true});
  if (on_text_ && !blocks_.back().text.empty() && block->string_or("type", "") == "text")
    on_text_(blocks_.back().text);
}

void ReplyAssembler::delta(const Value& event) {
  const std::int64_t index = event.int_or("index", -1);
  const Value* change = event.find("delta");
  if (index < 0 || index >= static_cast<std::int64_t>(blocks_.size()) || change == nullptr)
    return fail(Error(Code::ModelReplyInvalid, "a delta names no content block"));
  Block& block = blocks_[static_cast<std::size_t>(index)];
  const std::string_view type = change->string_or("type", "");
  const std::string_view piece = type == "text_delta"         ? change->string_or("text", "")
                                 : type == "input_json_delta" ? change->string_or("partial_json", "")
                                 : type == "thinking_delta"   ? change->string_or("thinking", "")
                                 : type == "signature_delta"  ? change->string_or("signature", "")
                                                              : "";
  bytes_ += piece.size();
  if (bytes_ > kMaxReplyBytes) return fail(Error(Code::ModelReplyInvalid, "the reply is too large"));
  (type == "signature_delta" ? block.signature : block.text).append(piece);
  if (type == "text_delta" && on_text_) on_text_(piece);
}

void ReplyAssembler::close(Block& block) {
  if (!block.open) return;
  block.open = false;
  const std::string_view type = block.value.string_or("type", "");
  if (type == "text") {
    block.value.set("text", block.text);
  } else if (type == "thinking") {
    block.value.set("thinking", block.text);
    if (!block.signature.empty()) block.value.set("signature", block.signature);
  } else if (type == "tool_use") {
    const Value* given = block.value.find("input");
    Value input = given != nullptr && given->is_map() ? *given : Value(Value::Map{});
    if (!block.text.empty()) {
      auto parsed = parse_json(block.text);
      if (parsed.ok() && parsed->is_map()) {
        input = std::move(*parsed);
      } else {
        reply_.bad_inputs[std::string(block.value.string_or("id", ""))] =
            parsed.ok() ? "the input is not a JSON object" : parsed.error().message();
      }
    }
    block.value.set("input", std::move(input));
  }
}

Result<ModelReply> ReplyAssembler::finish() {
  if (failure_) return *failure_;
  if (!complete_ || reply_.stop_reason.empty())
    return Error(Code::ModelStreamBroken, "the model's reply ended before it was complete");
  for (Block& block : blocks_) {
    close(block);
    if (!is_empty_text(block.value)) reply_.content.push_back(std::move(block.value));
  }
  return std::move(reply_);
}

Error model_error(int status, std::string_view body) {
  const auto parsed = parse_json(body.substr(0, 64 * 1024));
  std::string type;
  std::string text = shown(body);
  if (parsed.ok()) {
    if (const CodeInfo* own = find_code(parsed->string_or("code", "")); own != nullptr)
      return Error(own->code, shown(parsed->string_or("detail", "")), shown(parsed->string_or("hint", "")));
    if (const Value* error = parsed->find("error"); error != nullptr && error->is_map()) {
      type = error->string_or("type", "");
      text = shown(error->string_or("message", text));
    }
  }
  const std::string what =
      (status > 0 ? "the model gateway answered " + std::to_string(status) + ": " : "the model's stream: ") +
      text;
  if (status == 402 || type == "billing_error" || type == "budget_exceeded")
    return Error(Code::BudgetExceeded, what);
  if (status == 401 || status == 403 || type == "authentication_error" || type == "permission_error")
    return Error(Code::ModelKeyRefused, what);
  if (status == 404 || type == "not_found_error") return Error(Code::ModelUnknown, what);
  if (status == 429 || type == "rate_limit_error") return Error(Code::ModelRateLimited, what);
  if (status == 413 || type == "request_too_large" || contains(text, "prompt is too long") ||
      contains(text, "maximum context length"))
    return Error(Code::ModelContextFull, what);
  if (status >= 500 || type == "api_error" || type == "overloaded_error" || type == "timeout_error")
    return Error(Code::ModelUnavailable, what);
  return Error(Code::ModelRequestRefused, what);
}

}  // namespace ez::agents
