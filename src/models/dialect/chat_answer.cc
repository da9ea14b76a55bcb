// POST /v1/chat/completions: the answer.
#include <algorithm>

#include "base/json.h"
#include "models/dialect/codec.h"

namespace ez::models {

void parse_chat_answer(ReadContext& context, const Value& body, ChatAnswer& out) {
  const Path root;
  Fields fields(context, body, root);
  out.id = fields.text("id");
  out.model = fields.text("model");
  out.created_s = fields.integer("created", 0, std::int64_t{1} << 40).value_or(0);
  static_cast<void>(fields.text("object"));
  const Value* choices = fields.need_list("choices");
  out.has_usage = read_openai_usage(fields.any("usage"), out.usage);
  if (choices == nullptr) return;
  const Path choices_path = root.at("choices"), first = choices_path.at(std::size_t{0});
  if (choices->as_list().empty()) {
    context.fail(choices_path, "an answer is wanted");
    return;
  }
  Fields choice(context, choices->as_list().front(), first);
  out.stop_reason = stop_from_chat(choice.text("finish_reason"));
  const Path message_path = first.at("message");
  const Value* value = choice.map("message");
  if (value == nullptr) {
    context.fail(message_path, "an object is wanted");
    return;
  }
  Fields message(context, *value, message_path);
  const auto add = [&](PartKind kind, std::string text) {
    if (text.empty()) return;
    Part part;
    part.kind = kind;
    part.text = std::move(text);
    out.parts.push_back(std::move(part));
  };
  std::string thinking = message.text("reasoning_content");
  const Value* reasoning = message.any("reasoning");
  if (thinking.empty() && reasoning != nullptr && reasoning->is_string()) thinking = reasoning->as_string();
  add(PartKind::kThinking, std::move(thinking));
  const Value* content = message.any("content");
  if (content != nullptr && content->is_list()) {  // Mistral's models that reason
    for (const Value& each : content->as_list()) {
      add(PartKind::kText, std::string(each.string_or("text", "")));
    }
  } else {
    add(PartKind::kText, message.text("content"));
  }
  add(PartKind::kRefusal, message.text("refusal"));
  const Path calls_path = message_path.at("tool_calls");
  if (const Value* calls = message.list("tool_calls")) {
    for (std::size_t i = 0; i < calls->as_list().size() && !context.failed(); ++i) {
      const Path at = calls_path.at(i);
      Fields call(context, calls->as_list()[i], at);
      Part part;
      part.kind = PartKind::kToolCall;
      part.id = call.text("id");
      part.custom = call.text("type") == "custom";
      const std::string_view member = part.custom ? "custom" : "function";
      const Value* inner_value = call.map(member);
      const Path inner_path = at.at(member);
      if (inner_value == nullptr) {
        context.fail(inner_path, "an object is wanted");
        return;
      }
      Fields inner(context, *inner_value, inner_path);
      part.name = inner.need_text("name");
      const Value* arguments = inner.any(part.custom ? "input" : "arguments");
      if (arguments != nullptr) {  // Ollama and others: an object
        part.arguments = arguments->is_string() ? arguments->as_string() : to_json(*arguments);
      }
      if (part.id.empty()) part.id = "call_" + std::to_string(i);
      out.parts.push_back(std::move(part));
    }
    // Some servers say "stop" all the same.
    if (!calls->as_list().empty() && out.stop_reason == StopReason::kEndTurn) {
      out.stop_reason = StopReason::kToolUse;
    }
  }
  out.extras = fields.rest();
}

Value render_chat_answer(const ChatAnswer& answer, const Echo& echo, std::string_view seed,
                         std::int64_t now_s) {
  std::string text, thinking, refusal;
  Value::List calls;
  for (const Part& part : answer.parts) {
    switch (part.kind) {
      case PartKind::kText:
        text += part.text;
        break;
      case PartKind::kThinking:
        thinking += part.text;
        break;
      case PartKind::kRefusal:
        refusal += part.text;
        break;
      case PartKind::kToolCall: {
        const bool custom = part.custom || std::find(echo.custom_tools.begin(), echo.custom_tools.end(),
                                                     part.name) != echo.custom_tools.end();
        Value call, inner;
        inner.set("name", part.name);
        if (!custom) {
          inner.set("arguments", part.arguments.empty() ? std::string("{}") : part.arguments);
        } else {
          inner.set("input", part.custom ? part.arguments : custom_input(part.arguments));
        }
        call.set("id", part.id);
        call.set("type", custom ? "custom" : "function");
        call.set(custom ? "custom" : "function", std::move(inner));
        calls.push_back(std::move(call));
        break;
      }
      default:
        break;
    }
  }
  Value message;
  message.set("role", "assistant");
  message.set("content", text.empty() && (!calls.empty() || !refusal.empty()) ? Value() : Value(text));
  message.set("refusal", refusal.empty() ? Value() : Value(refusal));
  if (!thinking.empty()) message.set("reasoning_content", thinking);
  if (!calls.empty()) message.set("tool_calls", Value(std::move(calls)));
  Value choice;
  choice.set("index", 0);
  choice.set("message", std::move(message));
  choice.set("logprobs", Value());
  choice.set("finish_reason", stop_to_chat(answer.stop_reason));
  Value out;
  out.set("id", own_id("chatcmpl-", answer.id, seed));
  out.set("object", "chat.completion");
  out.set("created", answer.created_s > 0 ? answer.created_s : now_s);
  out.set("model", echo.model.empty() ? answer.model : echo.model);
  out.set("choices", Value(Value::List{choice}));
  out.set("usage", chat_usage(answer.usage));
  return out;
}

}  // namespace ez::models
