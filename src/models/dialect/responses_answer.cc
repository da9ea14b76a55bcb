// POST /v1/responses: the answer.
#include <algorithm>

#include "models/dialect/codec.h"

namespace ez::models {

StopReason responses_stop(const Value& response, bool has_calls) {
  if (response.string_or("status", "completed") == "incomplete") {
    const Value* details = response.find("incomplete_details");
    const std::string_view reason = details == nullptr ? "" : details->string_or("reason", "");
    return reason == "content_filter" ? StopReason::kRefusal : StopReason::kMaxTokens;
  }
  return has_calls ? StopReason::kToolUse : StopReason::kEndTurn;
}

void parse_responses_answer(ReadContext& context, const Value& body, ChatAnswer& out) {
  const Path root;
  Fields fields(context, body, root);
  out.id = fields.text("id");
  out.model = fields.text("model");
  if (const std::optional<std::int64_t> created = count_of(fields.any("created_at")))
    out.created_s = *created;
  out.has_usage = read_openai_usage(fields.any("usage"), out.usage);
  const Path output_path = root.at("output");
  const Value* output = fields.need_list("output");
  if (output == nullptr) return;
  const Value* failure = body.find("error");
  if (body.string_or("status", "") == "failed" && failure != nullptr) {
    context.fail(root.at("error"), failure->string_or("message", "the response failed"));
  }
  bool calls = false;
  for (std::size_t i = 0; i < output->as_list().size() && !context.failed(); ++i) {
    Message item = parse_responses_item(context, output->as_list()[i], output_path.at(i));
    for (Part& part : item.parts) {
      calls = calls || part.kind == PartKind::kToolCall;
      out.parts.push_back(std::move(part));
    }
  }
  out.stop_reason = responses_stop(body, calls);
  static_cast<void>(fields.any("status"));
  out.extras = fields.rest();
}

Value responses_item(const Part& part, const Echo& echo, const std::string& item_id) {
  Value out;
  switch (part.kind) {
    case PartKind::kText:
    case PartKind::kRefusal: {
      const bool refusal = part.kind == PartKind::kRefusal;
      Value content;
      content.set("type", refusal ? "refusal" : "output_text");
      content.set(refusal ? "refusal" : "text", part.text);
      if (!refusal) {
        content.set("annotations", Value(Value::List{}));
        content.set("logprobs", Value(Value::List{}));
      }
      out.set("type", "message");
      out.set("id", "msg_" + item_id);
      out.set("role", "assistant");
      out.set("content", Value(Value::List{content}));
      break;
    }
    case PartKind::kToolCall: {
      const bool custom = part.custom || std::find(echo.custom_tools.begin(), echo.custom_tools.end(),
                                                   part.name) != echo.custom_tools.end();
      out.set("type", custom ? "custom_tool_call" : "function_call");
      out.set("id", (custom ? "ctc_" : "fc_") + item_id);
      out.set("call_id", part.id);
      out.set("name", part.name);
      if (!custom) {
        out.set("arguments", part.arguments.empty() ? std::string("{}") : part.arguments);
      } else {
        out.set("input", part.custom ? part.arguments : custom_input(part.arguments));
      }
      break;
    }
    case PartKind::kThinking:
    case PartKind::kRedactedThinking: {
      const Sealed sealed = unseal(part.signature);
      out.set("type", "reasoning");
      const bool own = sealed.seal == Seal::kOpenAi && !sealed.id.empty();
      out.set("id", own ? std::string(sealed.id) : "rs_" + item_id);
      Value::List summary;
      if (!part.text.empty()) {
        Value entry;
        entry.set("type", "summary_text");
        entry.set("text", part.text);
        summary.push_back(std::move(entry));
      }
      out.set("summary", Value(std::move(summary)));
      if (!part.signature.empty()) {
        // A foreign seal goes as it is, with the vendor in front: the client gives it back unread.
        const std::string_view bytes = sealed.seal == Seal::kOpenAi ? sealed.bytes : part.signature;
        out.set("encrypted_content", bytes);
      }
      return out;
    }
    default:
      return part.raw;
  }
  out.set("status", "completed");
  return out;
}

Value responses_object(const Echo& echo, std::string_view id, std::string_view model,
                       std::int64_t created_s) {
  Value out;
  out.set("id", id);
  out.set("object", "response");
  out.set("created_at", created_s);
  out.set("model", model);
  out.set("status", "in_progress");
  out.set("error", Value());
  out.set("incomplete_details", Value());
  out.set("output", Value(Value::List{}));
  out.set("usage", Value());
  add_extras(out, echo.response);
  return out;
}

void finish_responses_object(Value& response, StopReason reason, const Usage& usage, Value::List output) {
  const bool filtered = reason == StopReason::kRefusal;
  const bool cut = reason == StopReason::kMaxTokens || reason == StopReason::kContextWindow;
  response.set("status", filtered || cut ? "incomplete" : "completed");
  if (filtered || cut) {
    Value details;
    details.set("reason", filtered ? "content_filter" : "max_output_tokens");
    response.set("incomplete_details", std::move(details));
  }
  response.set("output", Value(std::move(output)));
  response.set("usage", responses_usage(usage));
}

Value render_responses_answer(const ChatAnswer& answer, const Echo& echo, std::string_view seed,
                              std::int64_t now_s) {
  const std::string id = own_id("resp_", answer.id, seed);
  Value out = responses_object(echo, id, echo.model.empty() ? answer.model : echo.model,
                               answer.created_s > 0 ? answer.created_s : now_s);
  Value::List items;
  for (const Part& part : answer.parts) {
    if (part.kind == PartKind::kOpaque && answer.dialect != Dialect::kOpenAiResponses) continue;
    items.push_back(responses_item(part, echo, id.substr(5) + "_" + std::to_string(items.size())));
  }
  finish_responses_object(out, answer.stop_reason, answer.usage, std::move(items));
  return out;
}

}  // namespace ez::models
