// POST /v1/chat/completions: writing the request.
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
  static constexpr Dialect kSelf = Dialect::kOpenAiChat;

  std::string tool_id(const std::string& id) const {
    return traits_.short_tool_ids ? short_tool_id(id) : same_ ? id : safe_id("call_", id);
  }
  std::optional<Value> part(const Part& part);
  // A string when there is only text, otherwise parts. Null when there is nothing.
  Value content(const std::vector<const Part*>& parts);
  Value system_entry(const std::vector<const Part*>& parts);
  void add_system(Value::List& out);
  void add_user(const Message& message, Value::List& out);
  void add_assistant(const Message& message, Value::List& out);
  void add_result(const Part& result, Value::List& out, std::vector<Part>& pictures);
  void add_tools(Value& body);
  void add_format(Value& body);
  void add_sampling(Value& body);
  void add_thinking(Value& body);

  const ChatRequest& request_;
  const UpstreamTraits& traits_;
  Losses& losses_;
  const bool same_;
};

std::optional<Value> Renderer::part(const Part& part) {
  Value out;
  switch (part.kind) {
    case PartKind::kText:
      out.set("type", "text");
      out.set("text", part.text);
      break;
    case PartKind::kRefusal:
      out.set("type", "refusal");
      out.set("refusal", part.text);
      break;
    case PartKind::kImage: {
      if (part.url.starts_with("file:")) {
        losses_.refuse("an image that another provider keeps");
        return std::nullopt;
      }
      Value url;
      url.set("url", image_url(part));
      if (!part.detail.empty()) url.set("detail", part.detail);
      out.set("type", "image_url");
      out.set("image_url", std::move(url));
      break;
    }
    case PartKind::kDocument: {
      if (!part.text.empty() && part.data.empty()) {
        out.set("type", "text");
        out.set("text", part.text);
        break;
      }
      Value file;
      if (part.url.starts_with("file:") && request_.dialect != Dialect::kAnthropicMessages) {
        file.set("file_id", part.url.substr(5));
      } else if (!part.url.empty()) {
        losses_.refuse("a document by its address");
        return std::nullopt;
      } else {
        file.set("file_data", image_url(part));
        file.set("filename", part.name.empty() ? std::string("document.pdf") : part.name);
      }
      out.set("type", "file");
      out.set("file", std::move(file));
      break;
    }
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

Value Renderer::content(const std::vector<const Part*>& parts) {
  if (parts.empty()) return {};
  bool only_text = true;
  for (const Part* each : parts) {
    only_text = only_text && each->kind == PartKind::kText && (!same_ || each->extras.is_null());
  }
  if (only_text && (parts.size() == 1 || !same_)) {
    std::string text;
    for (const Part* each : parts) {
      if (!text.empty() && !each->text.empty()) text += "\n\n";
      text += each->text;
    }
    return Value(std::move(text));
  }
  Value::List out;
  for (const Part* each : parts) {
    if (std::optional<Value> rendered = part(*each)) out.push_back(std::move(*rendered));
  }
  return Value(std::move(out));
}

Value Renderer::system_entry(const std::vector<const Part*>& parts) {
  Value entry;
  entry.set("role", traits_.developer_role ? "developer" : "system");
  entry.set("content", content(parts));
  return entry;
}

void Renderer::add_system(Value::List& out) {
  if (!same_) {
    std::vector<const Part*> parts;
    for (const Part& each : request_.system) {
      if (each.kind == PartKind::kText && !each.text.empty()) parts.push_back(&each);
    }
    if (!parts.empty()) out.push_back(system_entry(parts));
    return;
  }
  for (const Part& each : request_.system) {
    Part plain = each;
    plain.extras = {};
    Value entry = system_entry({&plain});
    if (each.extras.is_map() && each.extras.find("role") != nullptr) entry.set("role", "developer");
    add_extras(entry, each.extras);
    out.push_back(std::move(entry));
  }
}

void Renderer::add_result(const Part& result, Value::List& out, std::vector<Part>& pictures) {
  std::vector<const Part*> texts;
  std::size_t others = 0;
  for (const Part& each : result.content) {
    if (each.kind == PartKind::kText || same_) {
      texts.push_back(&each);
    } else {
      ++others;
      pictures.push_back(each);
    }
  }
  Value entry;
  entry.set("role", "tool");
  entry.set("tool_call_id", tool_id(result.id));
  Value text = content(texts);
  if (text.is_null()) text = Value(others == 0 ? "" : "The result is in the next message.");
  if (result.is_error && !same_ && text.is_string()) text = Value("Error: " + text.as_string());
  entry.set("content", std::move(text));
  if (same_) add_extras(entry, result.extras);
  out.push_back(std::move(entry));
}

// Results first, each a message of its own, because the answers to calls have to follow them at once. What a
// result shows besides text goes into the user's message, the only one that takes images.
void Renderer::add_user(const Message& message, Value::List& out) {
  std::vector<const Part*> rest;
  std::vector<Part> pictures;
  for (const Part& each : message.parts) {
    if (each.kind == PartKind::kToolResult) {
      add_result(each, out, pictures);
    } else if (each.kind == PartKind::kOpaque && same_ && each.raw.find("role") != nullptr) {
      out.push_back(each.raw);
    } else {
      rest.push_back(&each);
    }
  }
  for (const Part& picture : pictures) rest.push_back(&picture);
  const bool had_other = rest.size() > pictures.size() || !pictures.empty();
  if (!had_other && !message.parts.empty()) return;
  Value entry;
  entry.set("role", "user");
  Value inner = content(rest);
  entry.set("content", inner.is_null() ? Value("") : std::move(inner));
  if (same_) add_extras(entry, message.extras);
  out.push_back(std::move(entry));
}

void Renderer::add_assistant(const Message& message, Value::List& out) {
  std::vector<const Part*> texts;
  std::string thinking, refusal;
  Value::List calls;
  for (const Part& each : message.parts) {
    switch (each.kind) {
      case PartKind::kThinking:
        thinking += each.text;
        break;
      case PartKind::kRedactedThinking:
        losses_.drop("thinking of earlier turns");
        break;
      case PartKind::kRefusal:
        refusal += each.text;
        break;
      case PartKind::kToolCall: {
        Value call, body;
        body.set("name", each.name);
        if (each.custom) {
          body.set("input", each.arguments);
        } else {
          body.set("arguments", each.arguments.empty() ? std::string("{}") : each.arguments);
        }
        const std::string_view type = each.custom ? "custom" : "function";
        call.set("id", tool_id(each.id));
        call.set("type", type);
        call.set(type, std::move(body));
        if (same_) add_extras(call, each.extras);
        calls.push_back(std::move(call));
        break;
      }
      default:
        texts.push_back(&each);
    }
  }
  Value entry;
  entry.set("role", "assistant");
  entry.set("content", content(texts));
  if (!refusal.empty()) entry.set("refusal", refusal);
  if (!calls.empty()) entry.set("tool_calls", Value(std::move(calls)));
  if (!thinking.empty()) {
    if (same_ || traits_.reasoning_content) {
      entry.set("reasoning_content", thinking);
    } else {
      losses_.drop("thinking of earlier turns");
    }
  }
  if (same_) add_extras(entry, message.extras);
  if (entry.find("content")->is_null() && entry.find("tool_calls") == nullptr &&
      entry.find("refusal") == nullptr && !same_) {
    return;  // there was only thinking
  }
  out.push_back(std::move(entry));
}

void Renderer::add_tools(Value& body) {
  Value::List tools;
  for (std::size_t i = 0; i < request_.tools.size(); ++i) {
    const Tool& tool = request_.tools[i];
    if (tool.kind == ToolKind::kHosted) {
      if (same_) {
        tools.push_back(tool.raw);
      } else if (request_.tool_choice && request_.tool_choice->kind == ToolChoiceKind::kNamed &&
                 request_.tool_choice->name == tool.name) {
        losses_.refuse("the forced tool \"" + tool.name + "\"");
      } else {
        losses_.drop("tools[" + std::to_string(i) + "] (" + tool.name + ")");
      }
      continue;
    }
    Value inner;
    inner.set("name", tool.name);
    if (!tool.description.empty()) inner.set("description", tool.description);
    const bool custom = tool.kind == ToolKind::kCustom && same_;
    if (!custom && (!same_ || tool.schema.is_map())) inner.set("parameters", schema_of(tool));
    if (tool.strict && !custom && request_.dialect != Dialect::kAnthropicMessages) {
      inner.set("strict", *tool.strict);
    }
    if (same_) add_extras(inner, tool.extras);
    const std::string_view type = custom ? "custom" : "function";
    Value entry;
    entry.set("type", type);
    entry.set(type, std::move(inner));
    tools.push_back(std::move(entry));
  }
  const bool any = !tools.empty();
  if (any) body.set("tools", Value(std::move(tools)));
  if (any && request_.parallel_tools) body.set("parallel_tool_calls", *request_.parallel_tools);
  if (!request_.tool_choice || (!any && !same_)) return;
  if (!same_ && !traits_.forced_tools && request_.tool_choice->kind >= ToolChoiceKind::kRequired) {
    losses_.drop("tool_choice");
    return;
  }
  switch (request_.tool_choice->kind) {
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
      bool custom = false;
      for (const Tool& tool : request_.tools) {
        custom =
            custom || (same_ && tool.kind == ToolKind::kCustom && tool.name == request_.tool_choice->name);
      }
      Value name, choice;
      name.set("name", request_.tool_choice->name);
      const std::string_view type = custom ? "custom" : "function";
      choice.set("type", type);
      choice.set(type, std::move(name));
      body.set("tool_choice", std::move(choice));
      break;
    }
  }
}

void Renderer::add_format(Value& body) {
  if (!request_.format.has_value()) return;
  const ResponseFormat& format = *request_.format;
  Value out;
  switch (format.kind) {
    case FormatKind::kText:
      if (!same_) return;
      out.set("type", "text");
      break;
    case FormatKind::kJsonObject:
      out.set("type", "json_object");
      break;
    case FormatKind::kJsonSchema: {
      if (!traits_.json_schema && !same_) {
        losses_.refuse("structured output by schema");
        return;
      }
      Value schema;
      schema.set("name", format.name.empty() ? std::string("answer") : format.name);
      if (!format.description.empty()) schema.set("description", format.description);
      if (format.schema.is_map()) schema.set("schema", format.schema);
      // Anthropic has only the strict form.
      const bool anthropic = request_.dialect == Dialect::kAnthropicMessages;
      if (format.strict || anthropic) schema.set("strict", format.strict.value_or(true));
      out.set("type", "json_schema");
      out.set("json_schema", std::move(schema));
      break;
    }
  }
  body.set("response_format", std::move(out));
}

void Renderer::add_thinking(Value& body) {
  if (!request_.thinking.has_value()) return;
  const Thinking& thinking = *request_.thinking;
  if (!thinking.effort.empty() && (same_ || traits_.reasoning_effort)) {
    body.set("reasoning_effort", thinking.effort == "max" && !same_ ? std::string("high") : thinking.effort);
  } else if (thinking.enabled && traits_.reasoning_effort) {
    // Anthropic counts tokens, OpenAI has words.
    const std::int64_t budget = thinking.budget_tokens;
    const bool few = budget > 0 && budget < 4'096, many = budget >= 16'384;
    body.set("reasoning_effort", few ? "low" : many ? "high" : "medium");
  } else if (thinking.enabled) {
    losses_.drop("thinking");
  }
}

void Renderer::add_sampling(Value& body) {
  if (request_.max_tokens) {
    body.set(traits_.max_completion_tokens ? "max_completion_tokens" : "max_tokens", *request_.max_tokens);
  }
  const bool sampling = same_ || traits_.sampling;
  if (request_.temperature && sampling) body.set("temperature", *request_.temperature);
  if (request_.top_p && sampling) body.set("top_p", *request_.top_p);
  if (request_.temperature && !sampling) losses_.drop("temperature");
  if (request_.top_p && !sampling) losses_.drop("top_p");
  if (request_.top_k) {
    if (same_) {
      body.set("top_k", *request_.top_k);
    } else {
      losses_.drop("top_k");
    }
  }
  if (request_.seed) body.set("seed", *request_.seed);
  if (request_.frequency_penalty) body.set("frequency_penalty", *request_.frequency_penalty);
  if (request_.presence_penalty) body.set("presence_penalty", *request_.presence_penalty);
  if (request_.stop.empty()) return;
  Value::List stops;
  for (const std::string& stop : request_.stop) stops.emplace_back(stop);
  body.set("stop", Value(std::move(stops)));
}

Value Renderer::render(std::string_view model) {
  Value body;
  body.set("model", model);
  Value::List messages;
  add_system(messages);
  for (const Message& message : same_ ? request_.messages : merged_turns(request_.messages)) {
    switch (message.role) {
      case Role::kUser:
        add_user(message, messages);
        break;
      case Role::kAssistant:
        add_assistant(message, messages);
        break;
      case Role::kSystem: {
        std::vector<const Part*> parts;
        for (const Part& each : message.parts) parts.push_back(&each);
        Value entry = system_entry(parts);
        if (same_ && message.extras.is_map() && message.extras.find("role") != nullptr) {
          entry.set("role", "developer");
        }
        if (same_) add_extras(entry, message.extras);
        messages.push_back(std::move(entry));
        break;
      }
    }
  }
  body.set("messages", Value(std::move(messages)));
  add_tools(body);
  add_format(body);
  add_sampling(body);
  add_thinking(body);
  if (request_.answers != 1) {
    if (same_) {
      body.set("n", request_.answers);
    } else {
      losses_.refuse("n");
    }
  }
  if (request_.stored_context) losses_.refuse("a conversation that the provider keeps");
  if (!request_.user.empty()) {
    if (request_.dialect == Dialect::kAnthropicMessages) {
      losses_.drop("user");  // names of a vendor's users are not told to another vendor
    } else {
      body.set("user", request_.user);
    }
  }
  if (request_.stream) {
    body.set("stream", true);
    Value options;
    if (same_ && request_.extras.is_map() && request_.extras.find("stream_options") != nullptr) {
      options = *request_.extras.find("stream_options");
    }
    if (traits_.stream_usage) options.set("include_usage", true);
    if (!options.is_null()) body.set("stream_options", std::move(options));
  }
  carry_extras(request_, kSelf, body, losses_);
  return body;
}

}  // namespace

Value render_chat_request(const ChatRequest& request, std::string_view model, const UpstreamTraits& traits,
                          Losses& losses) {
  return Renderer(request, traits, losses).render(model);
}

}  // namespace ez::models
