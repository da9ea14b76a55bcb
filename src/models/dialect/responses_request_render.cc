// POST /v1/responses: writing the request.
#include <utility>

#include "base/json.h"
#include "models/dialect/codec.h"

namespace ez::models {

namespace {

class Renderer {
 public:
  Renderer(const ChatRequest& request, const UpstreamTraits& traits, Losses& losses)
      : request_(request), traits_(traits), losses_(losses), same_(request.dialect == kSelf) {}

  Value render(std::string_view model);

 private:
  static constexpr Dialect kSelf = Dialect::kOpenAiResponses;

  std::string call_id(const std::string& id) const { return same_ ? id : safe_id("call_", id); }
  std::optional<Value> part(const Part& part, bool output);
  void add_items(const Message& message, Value::List& out);
  Value result_output(const Part& result);
  std::optional<Value> reasoning(const Part& part);
  void add_tools(Value& body);
  void add_text(Value& body);
  void add_reasoning(Value& body);

  const ChatRequest& request_;
  const UpstreamTraits& traits_;
  Losses& losses_;
  const bool same_;
};

std::optional<Value> Renderer::part(const Part& part, bool output) {
  Value out;
  switch (part.kind) {
    case PartKind::kText:
      if (part.text.empty() && !same_) return std::nullopt;
      out.set("type", output ? "output_text" : "input_text");
      out.set("text", part.text);
      break;
    case PartKind::kRefusal:
      out.set("type", "refusal");
      out.set("refusal", part.text);
      break;
    case PartKind::kImage:
      out.set("type", "input_image");
      if (part.url.starts_with("file:")) {
        if (request_.dialect == Dialect::kAnthropicMessages)
          losses_.refuse("an image that another provider keeps");
        out.set("file_id", part.url.substr(5));
      } else {
        out.set("image_url", image_url(part));
      }
      out.set("detail", part.detail.empty() ? std::string("auto") : part.detail);
      break;
    case PartKind::kDocument:
      if (!part.text.empty() && part.data.empty()) {
        out.set("type", "input_text");
        out.set("text", part.text);
        break;
      }
      out.set("type", "input_file");
      if (part.url.starts_with("file:")) {
        if (request_.dialect == Dialect::kAnthropicMessages)
          losses_.refuse("a document that another provider keeps");
        out.set("file_id", part.url.substr(5));
      } else if (!part.url.empty()) {
        out.set("file_url", part.url);
      } else {
        out.set("file_data", image_url(part));
        out.set("filename", part.name.empty() ? std::string("document.pdf") : part.name);
      }
      break;
    case PartKind::kOpaque:
      if (same_) return part.raw;
      losses_.refuse("a part of type \"" + part.name + "\"");
      return std::nullopt;
    default:
      return std::nullopt;
  }
  if (same_) add_extras(out, part.extras);
  return out;
}

Value Renderer::result_output(const Part& result) {
  bool only_text = true;
  std::string text;
  for (const Part& each : result.content) {
    only_text = only_text && each.kind == PartKind::kText && (!same_ || each.extras.is_null());
    if (!text.empty()) text += "\n\n";
    text += each.text;
  }
  if (only_text && (!same_ || result.content.size() <= 1)) {
    return Value(result.is_error ? "Error: " + text : text);
  }
  Value::List out;
  for (const Part& each : result.content) {
    if (std::optional<Value> rendered = part(each, false)) out.push_back(std::move(*rendered));
  }
  return Value(std::move(out));
}

std::optional<Value> Renderer::reasoning(const Part& part) {
  if (same_ && part.raw.is_map() && unseal(part.signature).seal != Seal::kAnthropic &&
      unseal(part.signature).seal != Seal::kAnthropicRedacted) {
    return part.raw;
  }
  const Sealed sealed = unseal(part.signature);
  if (sealed.seal != Seal::kOpenAi) {
    losses_.drop("thinking of earlier turns");
    return std::nullopt;
  }
  Value out;
  out.set("type", "reasoning");
  out.set("id", sealed.id);
  out.set("encrypted_content", sealed.bytes);
  Value::List summary;
  if (!part.text.empty()) {
    Value entry;
    entry.set("type", "summary_text");
    entry.set("text", part.text);
    summary.push_back(std::move(entry));
  }
  out.set("summary", Value(std::move(summary)));
  return out;
}

void Renderer::add_items(const Message& message, Value::List& out) {
  const bool output = message.role == Role::kAssistant;
  const std::string_view role = output ? "assistant" : message.role == Role::kSystem ? "system" : "user";
  Value::List parts;
  bool plain = message.parts.size() == 1;
  const auto flush = [&] {
    if (parts.empty()) return;
    Value item;
    item.set("type", "message");
    item.set("role", role);
    if (plain && parts.size() == 1 && parts[0].find("text") != nullptr && parts[0].as_map().size() == 2) {
      item.set("content", *parts[0].find("text"));
    } else {
      item.set("content", Value(std::move(parts)));
    }
    if (same_) {
      if (message.extras.is_map() && message.extras.find("role") != nullptr) item.set("role", "developer");
      add_extras(item, message.extras);
    }
    parts.clear();
    out.push_back(std::move(item));
  };
  for (const Part& each : message.parts) {
    Value item;
    switch (each.kind) {
      case PartKind::kToolCall:
        flush();
        item.set("type", each.custom ? "custom_tool_call" : "function_call");
        item.set("call_id", call_id(each.id));
        item.set("name", each.name);
        if (each.custom) {
          item.set("input", each.arguments);
        } else {
          item.set("arguments", each.arguments.empty() ? std::string("{}") : each.arguments);
        }
        if (same_) add_extras(item, each.extras);
        out.push_back(std::move(item));
        break;
      case PartKind::kToolResult:
        flush();
        item.set("type", each.custom ? "custom_tool_call_output" : "function_call_output");
        item.set("call_id", call_id(each.id));
        item.set("output", result_output(each));
        if (same_) add_extras(item, each.extras);
        out.push_back(std::move(item));
        break;
      case PartKind::kThinking:
      case PartKind::kRedactedThinking:
        flush();
        if (std::optional<Value> rendered = reasoning(each)) out.push_back(std::move(*rendered));
        break;
      case PartKind::kOpaque:
        if (same_ && !each.raw.string_or("type", "").starts_with("input_")) {
          flush();
          out.push_back(each.raw);
          break;
        }
        [[fallthrough]];
      default:
        if (std::optional<Value> rendered = part(each, output)) parts.push_back(std::move(*rendered));
    }
  }
  if (same_ && message.parts.empty()) {
    Value item;
    item.set("type", "message");
    item.set("role", role);
    item.set("content", Value(Value::List{}));
    add_extras(item, message.extras);
    out.push_back(std::move(item));
    return;
  }
  flush();
}

void Renderer::add_tools(Value& body) {
  Value::List tools;
  const ToolChoice choice = request_.tool_choice.value_or(ToolChoice{});
  const bool named = choice.kind == ToolChoiceKind::kNamed;
  std::string_view chosen_type = "function";
  for (std::size_t i = 0; i < request_.tools.size(); ++i) {
    const Tool& tool = request_.tools[i];
    const bool chosen = named && tool.name == choice.name;
    if (tool.kind == ToolKind::kHosted) {
      if (same_) {
        tools.push_back(tool.raw);
        if (chosen) chosen_type = {};
      } else if (chosen) {
        losses_.refuse("the forced tool \"" + tool.name + "\"");
      } else {
        losses_.drop("tools[" + std::to_string(i) + "] (" + tool.name + ")");
      }
      continue;
    }
    const bool custom = tool.kind == ToolKind::kCustom && same_;
    Value entry;
    entry.set("type", custom ? "custom" : "function");
    entry.set("name", tool.name);
    if (!tool.description.empty()) entry.set("description", tool.description);
    if (!custom) {
      if (!same_ || tool.schema.is_map()) entry.set("parameters", schema_of(tool));
      // The default here is strict; clients of the other dialects did not ask for that.
      const bool anthropic = request_.dialect == Dialect::kAnthropicMessages;
      if (!same_) entry.set("strict", anthropic ? false : tool.strict.value_or(false));
      if (same_ && tool.strict) entry.set("strict", *tool.strict);
    }
    if (same_) add_extras(entry, tool.extras);
    if (chosen && custom) chosen_type = "custom";
    tools.push_back(std::move(entry));
  }
  const bool any = !tools.empty();
  if (any || (same_ && !request_.tools.empty())) body.set("tools", Value(std::move(tools)));
  if ((any || same_) && request_.parallel_tools) body.set("parallel_tool_calls", *request_.parallel_tools);
  if (!request_.tool_choice || (!any && !same_)) return;
  if (!same_ && !traits_.forced_tools && choice.kind >= ToolChoiceKind::kRequired) {
    losses_.drop("tool_choice");
    return;
  }
  switch (choice.kind) {
    case ToolChoiceKind::kAuto:
      body.set("tool_choice", "auto");
      break;
    case ToolChoiceKind::kNone:
      body.set("tool_choice", "none");
      break;
    case ToolChoiceKind::kRequired:
      body.set("tool_choice", "required");
      break;
    case ToolChoiceKind::kNamed: {
      Value entry;
      if (chosen_type.empty()) {
        entry.set("type", choice.name);
      } else {
        entry.set("type", chosen_type);
        entry.set("name", choice.name);
      }
      body.set("tool_choice", std::move(entry));
      break;
    }
  }
}

void Renderer::add_text(Value& body) {
  Value text;
  if (same_ && request_.extras.is_map() && request_.extras.find("text") != nullptr) {
    text = *request_.extras.find("text");
  }
  if (request_.format.has_value() && (same_ || request_.format->kind != FormatKind::kText)) {
    const ResponseFormat& format = *request_.format;
    Value entry;
    if (format.kind == FormatKind::kJsonSchema) {
      if (!same_ && !traits_.json_schema) losses_.refuse("structured output by schema");
      entry.set("type", "json_schema");
      entry.set("name", format.name.empty() ? std::string("answer") : format.name);
      if (!format.description.empty()) entry.set("description", format.description);
      entry.set("schema", format.schema);
      const bool anthropic = request_.dialect == Dialect::kAnthropicMessages;
      if (format.strict || anthropic) entry.set("strict", format.strict.value_or(true));
    } else {
      entry.set("type", format.kind == FormatKind::kText ? "text" : "json_object");
    }
    text.set("format", std::move(entry));
  }
  if (!text.is_null()) body.set("text", std::move(text));
}

void Renderer::add_reasoning(Value& body) {
  if (!request_.thinking.has_value()) return;
  const Thinking& thinking = *request_.thinking;
  Value out;
  if (same_ && request_.extras.is_map() && request_.extras.find("reasoning") != nullptr) {
    out = *request_.extras.find("reasoning");
  }
  if (!same_ && !traits_.reasoning_effort) {
    if (thinking.enabled) losses_.drop("thinking");
    return;
  }
  if (!thinking.effort.empty()) {
    out.set("effort", thinking.effort == "max" && !same_ ? std::string("high") : thinking.effort);
  } else if (thinking.enabled && !same_) {
    const std::int64_t budget = thinking.budget_tokens;
    out.set("effort", budget > 0 && budget < 4'096 ? "low" : budget >= 16'384 ? "high" : "medium");
  }
  if (!thinking.summary.empty()) {
    out.set("summary", thinking.summary);
  } else if (thinking.enabled && request_.dialect == Dialect::kAnthropicMessages) {
    out.set("summary", "auto");  // its clients show thinking
  }
  if (!out.is_null()) body.set("reasoning", std::move(out));
  if (same_ || !thinking.enabled) return;
  // So that the thinking can be given back in the next turn without the provider keeping it.
  body.set("include", Value(Value::List{Value("reasoning.encrypted_content")}));
}

Value Renderer::render(std::string_view model) {
  Value body;
  body.set("model", model);
  std::string instructions;
  for (const Part& each : request_.system) {
    if (!instructions.empty() && !each.text.empty()) instructions += "\n\n";
    instructions += each.text;
  }
  if (!instructions.empty()) body.set("instructions", instructions);
  Value::List items;
  for (const Message& message : request_.messages) add_items(message, items);
  body.set("input", Value(std::move(items)));
  add_tools(body);
  add_text(body);
  add_reasoning(body);
  if (request_.max_tokens) body.set("max_output_tokens", *request_.max_tokens);
  const bool sampling = same_ || traits_.sampling;
  if (request_.temperature && sampling) body.set("temperature", *request_.temperature);
  if (request_.top_p && sampling) body.set("top_p", *request_.top_p);
  if (request_.temperature && !sampling) losses_.drop("temperature");
  if (request_.top_p && !sampling) losses_.drop("top_p");
  if (!same_) {
    if (request_.top_k) losses_.drop("top_k");
    if (request_.seed) losses_.drop("seed");
    if (request_.frequency_penalty) losses_.drop("frequency_penalty");
    if (request_.presence_penalty) losses_.drop("presence_penalty");
    if (!request_.stop.empty()) losses_.refuse("stop sequences");
    if (request_.answers != 1) losses_.refuse("n");
  }
  if (!request_.user.empty()) {
    if (request_.dialect == Dialect::kAnthropicMessages) {
      losses_.drop("user");  // names of a vendor's users are not told to another vendor
    } else {
      body.set("user", request_.user);
    }
  }
  if (request_.stream) body.set("stream", true);
  carry_extras(request_, kSelf, body, losses_);
  if (!same_ && body.find("store") == nullptr) body.set("store", traits_.store);
  return body;
}

}  // namespace

Value render_responses_request(const ChatRequest& request, std::string_view model,
                               const UpstreamTraits& traits, Losses& losses) {
  return Renderer(request, traits, losses).render(model);
}

}  // namespace ez::models
