// POST /v1/messages: the answer.
#include "models/dialect/codec.h"

namespace ez::models {

void parse_anthropic_answer(ReadContext& context, const Value& body, ChatAnswer& out) {
  const Path root;
  Fields fields(context, body, root);
  if (fields.need_text("type") != "message") context.fail(root.at("type"), "\"message\" is wanted");
  static_cast<void>(fields.text("role"));
  out.id = fields.text("id");
  out.model = fields.text("model");
  const Path content_path = root.at("content");
  if (const Value* content = fields.need_list("content")) {
    for (std::size_t i = 0; i < content->as_list().size() && !context.failed(); ++i) {
      out.parts.push_back(parse_anthropic_block(context, content->as_list()[i], content_path.at(i), 1));
    }
  }
  out.stop_reason = stop_from_anthropic(fields.text("stop_reason"));
  out.stop_sequence = fields.text("stop_sequence");
  out.has_usage = read_anthropic_usage(fields.any("usage"), out.usage);
  out.extras = fields.rest();
}

namespace {

// Nothing: the dialect has no block for it.
std::optional<Value> block_of(const Part& part, bool same) {
  Value out;
  switch (part.kind) {
    case PartKind::kText:
    case PartKind::kRefusal:
      if (part.text.empty() && !same) return std::nullopt;
      out.set("type", "text");
      out.set("text", part.text);
      break;
    case PartKind::kThinking:
    case PartKind::kRedactedThinking: {
      const Sealed sealed = unseal(part.signature);
      if (sealed.seal == Seal::kAnthropicRedacted) {
        out.set("type", "redacted_thinking");
        out.set("data", sealed.bytes);
        break;
      }
      out.set("type", "thinking");
      out.set("thinking", part.text);
      // A foreign seal goes as it is, with the vendor in front: the client gives it back unread.
      out.set("signature", sealed.seal == Seal::kAnthropic ? sealed.bytes : std::string_view(part.signature));
      break;
    }
    case PartKind::kToolCall:
      out.set("type", "tool_use");
      out.set("id", safe_id("toolu_", part.id));
      out.set("name", part.name);
      out.set("input", arguments_value(part.arguments));
      break;
    case PartKind::kOpaque:
      if (!same) return std::nullopt;
      return part.raw;
    default:
      return std::nullopt;
  }
  if (same) add_extras(out, part.extras);
  return out;
}

}  // namespace

Value render_anthropic_answer(const ChatAnswer& answer, const Echo& echo, std::string_view seed) {
  const bool same = answer.dialect == Dialect::kAnthropicMessages;
  Value out;
  out.set("id", own_id("msg_", answer.id, seed));
  out.set("type", "message");
  out.set("role", "assistant");
  out.set("model", echo.model.empty() ? answer.model : echo.model);
  Value::List content;
  for (const Part& part : answer.parts) {
    if (std::optional<Value> block = block_of(part, same)) content.push_back(std::move(*block));
  }
  out.set("content", Value(std::move(content)));
  out.set("stop_reason", stop_to_anthropic(answer.stop_reason));
  const bool stopped = answer.stop_reason == StopReason::kStopSequence;
  out.set("stop_sequence", stopped ? Value(answer.stop_sequence) : Value());
  out.set("usage", anthropic_usage(answer.usage));
  if (same) add_extras(out, answer.extras);
  return out;
}

}  // namespace ez::models
