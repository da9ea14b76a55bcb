// POST /v1/messages: the request.
#include <algorithm>
#include <limits>

#include "base/json.h"
#include "models/dialect/codec.h"

namespace ez::models {

namespace {

constexpr std::int64_t kMaxTokens = 1'000'000'000;
constexpr int kMaxNesting = 3;  // a tool's result holds blocks, which hold none

void parse_source(ReadContext& context, Fields& block, Part& part) {
  const Value* source = block.map("source");
  const Path path = block.path().at("source");
  if (source == nullptr) {
    context.fail(path, "an object is wanted");
    return;
  }
  Fields fields(context, *source, path);
  const std::string type = fields.need_text("type");
  if (type == "base64") {
    part.media_type = fields.need_text("media_type");
    part.data = fields.need_text("data");
  } else if (type == "url") {
    part.url = fields.need_text("url");
  } else if (type == "file") {
    part.url = "file:" + fields.need_text("file_id");
  } else if (type == "text" && part.kind == PartKind::kDocument) {
    part.media_type = fields.text("media_type");
    part.text = fields.text("data");
  } else {
    part.kind = PartKind::kOpaque;  // "content": blocks inside a document
  }
}

void parse_content(ReadContext& context, const Value* content, const Path& path, int depth,
                   std::vector<Part>& out) {
  if (content == nullptr) return;
  if (content->is_string()) {
    Part part;
    part.text = content->as_string();
    out.push_back(std::move(part));
    return;
  }
  if (!content->is_list()) {
    context.fail(path, "a string or a list of blocks is wanted");
    return;
  }
  const Value::List& blocks = content->as_list();
  out.reserve(blocks.size());
  for (std::size_t i = 0; i < blocks.size() && !context.failed(); ++i) {
    out.push_back(parse_anthropic_block(context, blocks[i], path.at(i), depth));
  }
}

void parse_tools(ReadContext& context, const Value* list, const Path& path, ChatRequest& out) {
  if (list == nullptr) return;
  for (std::size_t i = 0; i < list->as_list().size() && !context.failed(); ++i) {
    const Value& value = list->as_list()[i];
    const Path at = path.at(i);
    Fields fields(context, value, at);
    Tool tool;
    const std::string type = fields.text("type");
    tool.name = fields.text("name");
    if (!type.empty() && type != "custom") {  // "web_search_20250305" and the like
      tool.kind = ToolKind::kHosted;
      tool.raw = value;
    } else {
      if (tool.name.empty()) context.fail(at.at("name"), "a string that is not empty is wanted");
      tool.description = fields.text("description");
      if (const Value* schema = fields.map("input_schema")) tool.schema = *schema;
      tool.strict = fields.boolean("strict");
      tool.extras = fields.rest();
    }
    out.tools.push_back(std::move(tool));
  }
}

void parse_tool_choice(ReadContext& context, const Value* value, const Path& path, ChatRequest& out) {
  if (value == nullptr) return;
  Fields fields(context, *value, path);
  const std::string type = fields.need_text("type");
  ToolChoice choice;
  if (type == "auto") {
    choice.kind = ToolChoiceKind::kAuto;
  } else if (type == "any") {
    choice.kind = ToolChoiceKind::kRequired;
  } else if (type == "none") {
    choice.kind = ToolChoiceKind::kNone;
  } else if (type == "tool") {
    choice.kind = ToolChoiceKind::kNamed;
    choice.name = fields.need_text("name");
  } else {
    context.fail(path.at("type"), "auto, any, tool or none is wanted");
  }
  out.tool_choice = choice;
  if (const auto disable = fields.boolean("disable_parallel_tool_use")) out.parallel_tools = !*disable;
}

void parse_format(ReadContext& context, const Value* value, const Path& path, ChatRequest& out) {
  if (value == nullptr) return;
  Fields fields(context, *value, path);
  if (fields.text("type") != "json_schema") return;
  ResponseFormat format;
  format.kind = FormatKind::kJsonSchema;
  if (const Value* schema = fields.map("schema")) format.schema = *schema;
  out.format = std::move(format);
}

void parse_thinking(ReadContext& context, const Value* value, const Path& path, ChatRequest& out,
                    Value& extras) {
  if (value == nullptr) return;
  Fields fields(context, *value, path);
  Thinking thinking = out.thinking.value_or(Thinking{});
  const std::string type = fields.need_text("type");
  thinking.enabled = type != "disabled";
  thinking.adaptive = type == "adaptive";
  thinking.budget_tokens = fields.integer("budget_tokens", 0, kMaxTokens).value_or(0);
  out.thinking = std::move(thinking);
  extras.set("thinking", *value);  // the same dialect gets it back as it is
}

}  // namespace

Part parse_anthropic_block(ReadContext& context, const Value& block, const Path& path, int depth) {
  Part part;
  Fields fields(context, block, path);
  const std::string type = fields.need_text("type");
  if (type == "text") {
    part.text = fields.text("text");
  } else if (type == "image") {
    part.kind = PartKind::kImage;
    parse_source(context, fields, part);
  } else if (type == "document") {
    part.kind = PartKind::kDocument;
    part.name = fields.text("title");
    parse_source(context, fields, part);
  } else if (type == "thinking") {
    part.kind = PartKind::kThinking;
    part.text = fields.text("thinking");
    const std::string signature = fields.text("signature");
    if (!signature.empty()) part.signature = seal(Seal::kAnthropic, {}, signature);
  } else if (type == "redacted_thinking") {
    part.kind = PartKind::kRedactedThinking;
    part.signature = seal(Seal::kAnthropicRedacted, {}, fields.text("data"));
  } else if (type == "tool_use") {
    part.kind = PartKind::kToolCall;
    part.id = fields.need_text("id");
    part.name = fields.need_text("name");
    if (const Value* input = fields.any("input")) part.arguments = to_json(*input);
  } else if (type == "tool_result") {
    part.kind = PartKind::kToolResult;
    part.id = fields.need_text("tool_use_id");
    part.is_error = fields.boolean("is_error").value_or(false);
    if (depth >= kMaxNesting) {
      context.fail(path, "blocks are nested too deeply");
    } else {
      parse_content(context, fields.any("content"), path.at("content"), depth + 1, part.content);
    }
  } else {
    part.kind = PartKind::kOpaque;
  }
  if (part.kind == PartKind::kOpaque) {
    part = Part{};
    part.kind = PartKind::kOpaque;
    part.name = type;
    part.raw = block;
  } else {
    part.extras = fields.rest();
  }
  return part;
}

void parse_anthropic_request(ReadContext& context, const Value& body, ChatRequest& out) {
  const Path root;
  Fields fields(context, body, root);
  out.model = fields.need_text("model");
  out.max_tokens = fields.integer("max_tokens", 1, kMaxTokens);
  parse_content(context, fields.any("system"), root.at("system"), kMaxNesting, out.system);
  const Path messages_path = root.at("messages");
  if (const Value* messages = fields.need_list("messages")) {
    out.messages.reserve(messages->as_list().size());
    for (std::size_t i = 0; i < messages->as_list().size() && !context.failed(); ++i) {
      const Path at = messages_path.at(i);
      Fields message_fields(context, messages->as_list()[i], at);
      Message message;
      const std::string role = message_fields.need_text("role");
      if (role == "assistant") {
        message.role = Role::kAssistant;
      } else if (role == "system") {
        message.role = Role::kSystem;
      } else if (role != "user") {
        context.fail(at.at("role"), "user or assistant is wanted");
      }
      const Value* content = message_fields.any("content");
      if (content == nullptr) context.fail(at.at("content"), "a string or a list of blocks is wanted");
      parse_content(context, content, at.at("content"), 1, message.parts);
      message.extras = message_fields.rest();
      out.messages.push_back(std::move(message));
    }
  }
  parse_tools(context, fields.list("tools"), root.at("tools"), out);
  parse_tool_choice(context, fields.map("tool_choice"), root.at("tool_choice"), out);
  out.temperature = fields.number("temperature");
  out.top_p = fields.number("top_p");
  out.top_k = fields.integer("top_k", 0, std::numeric_limits<std::int64_t>::max());
  if (const Value* stops = fields.list("stop_sequences")) {
    const Path path = root.at("stop_sequences");
    for (std::size_t i = 0; i < stops->as_list().size(); ++i) {
      if (!stops->as_list()[i].is_string()) {
        context.fail(path.at(i), "a string is wanted");
        break;
      }
      out.stop.push_back(stops->as_list()[i].as_string());
    }
  }
  out.stream = fields.boolean("stream").value_or(false);
  const Value* thinking = fields.map("thinking");
  const Value* output_config = fields.map("output_config");
  parse_format(context, fields.map("output_format"), root.at("output_format"), out);
  const Value* metadata = fields.map("metadata");
  out.extras = fields.rest();
  const Path thinking_path = root.at("thinking");
  parse_thinking(context, thinking, thinking_path, out, out.extras);
  if (output_config != nullptr) {
    const Path path = root.at("output_config");
    Fields config(context, *output_config, path);
    const std::string effort = config.text("effort");
    if (!effort.empty()) {
      if (!out.thinking.has_value()) out.thinking.emplace();
      out.thinking->effort = effort;
    }
    parse_format(context, config.map("format"), path.at("format"), out);
    out.extras.set("output_config", *output_config);
  }
  if (const Value* format = body.find("output_format"); format != nullptr && !format->is_null()) {
    out.extras.set("output_format", *format);
  }
  if (metadata != nullptr) {
    out.user = metadata->string_or("user_id", "");
    out.extras.set("metadata", *metadata);
  }
}

namespace {

Value source_of(const Part& part) {
  Value source;
  if (part.url.starts_with("file:")) {
    source.set("type", "file");
    source.set("file_id", part.url.substr(5));
  } else if (!part.url.empty()) {
    source.set("type", "url");
    source.set("url", part.url);
  } else if (!part.data.empty()) {
    source.set("type", "base64");
    source.set("media_type", part.media_type);
    source.set("data", part.data);
  } else {
    source.set("type", "text");
    source.set("media_type", part.media_type.empty() ? std::string("text/plain") : part.media_type);
    source.set("data", part.text);
  }
  return source;
}

class Renderer {
 public:
  Renderer(const ChatRequest& request, const UpstreamTraits& traits, Losses& losses)
      : request_(request), traits_(traits), losses_(losses), same_(request.dialect == kSelf) {}

  Value render(std::string_view model);

 private:
  static constexpr Dialect kSelf = Dialect::kAnthropicMessages;

  // Nothing: left out.
  std::optional<Value> block(const Part& part);
  Value content(const std::vector<Part>& parts, bool results_first);
  void add_messages(Value& body);
  void add_tools(Value& body);
  void add_thinking(Value& body);
  void add_format(Value& body);
  void add_sampling(Value& body);

  const ChatRequest& request_;
  const UpstreamTraits& traits_;
  Losses& losses_;
  const bool same_;
};

std::optional<Value> Renderer::block(const Part& part) {
  Value out;
  switch (part.kind) {
    case PartKind::kText:
    case PartKind::kRefusal:
      if (part.text.empty() && !same_) return std::nullopt;  // the provider refuses empty blocks
      out.set("type", "text");
      out.set("text", part.text);
      break;
    case PartKind::kImage:
    case PartKind::kDocument:
      if (!same_ && part.url.starts_with("file:")) {
        losses_.refuse("a file that another provider keeps");
        return std::nullopt;
      }
      out.set("type", part.kind == PartKind::kImage ? "image" : "document");
      out.set("source", source_of(part));
      if (part.kind == PartKind::kDocument && !part.name.empty()) out.set("title", part.name);
      break;
    case PartKind::kThinking:
    case PartKind::kRedactedThinking: {
      const Sealed sealed = unseal(part.signature);
      if (sealed.seal == Seal::kAnthropicRedacted) {
        out.set("type", "redacted_thinking");
        out.set("data", sealed.bytes);
      } else if (sealed.seal == Seal::kAnthropic || (same_ && part.signature.empty())) {
        out.set("type", "thinking");
        out.set("thinking", part.text);
        out.set("signature", sealed.bytes);
      } else {
        losses_.drop("thinking of earlier turns");
        return std::nullopt;
      }
      break;
    }
    case PartKind::kToolCall:
      out.set("type", "tool_use");
      out.set("id", safe_id("toolu_", part.id));
      out.set("name", part.name);
      if (part.custom) {
        Value input;
        input.set("input", part.arguments);
        out.set("input", std::move(input));
      } else {
        out.set("input", arguments_value(part.arguments));
      }
      break;
    case PartKind::kToolResult: {
      out.set("type", "tool_result");
      out.set("tool_use_id", safe_id("toolu_", part.id));
      if (part.is_error) out.set("is_error", true);
      Value inner = content(part.content, false);
      if (!inner.is_list() || !inner.as_list().empty()) out.set("content", std::move(inner));
      break;
    }
    case PartKind::kOpaque:
      if (same_) return part.raw;
      losses_.refuse("a part of type \"" + part.name + "\"");
      return std::nullopt;
  }
  if (same_) add_extras(out, part.extras);
  return out;
}

Value Renderer::content(const std::vector<Part>& parts, bool results_first) {
  // A plain text stays one.
  if (parts.size() == 1 && parts[0].kind == PartKind::kText && parts[0].extras.is_null() &&
      (same_ || !parts[0].text.empty())) {
    return Value(parts[0].text);
  }
  Value::List blocks;
  for (const bool results : {true, false}) {
    for (const Part& part : parts) {
      if (results_first && (part.kind == PartKind::kToolResult) != results) continue;
      if (std::optional<Value> rendered = block(part)) blocks.push_back(std::move(*rendered));
    }
    if (!results_first) break;
  }
  return Value(std::move(blocks));
}

void Renderer::add_messages(Value& body) {
  Value::List out;
  if (same_) {
    for (const Message& message : request_.messages) {
      Value entry;
      entry.set("role", message.role == Role::kAssistant ? "assistant"
                        : message.role == Role::kSystem  ? "system"
                                                         : "user");
      entry.set("content", content(message.parts, false));
      add_extras(entry, message.extras);
      out.push_back(std::move(entry));
    }
  } else {
    // Instructions in the middle of a conversation have no place here: the user says them.
    std::vector<Message> turns = request_.messages;
    for (Message& message : turns) {
      if (message.role != Role::kSystem) continue;
      message.role = Role::kUser;
      losses_.drop("the system role of a later message");
    }
    for (const Message& message : merged_turns(turns)) {
      Value inner = content(message.parts, message.role == Role::kUser);
      if (inner.is_list() && inner.as_list().empty()) continue;
      Value entry;
      entry.set("role", message.role == Role::kAssistant ? "assistant" : "user");
      entry.set("content", std::move(inner));
      out.push_back(std::move(entry));
    }
  }
  body.set("messages", Value(std::move(out)));
  if (!request_.system.empty()) {
    Value system = content(request_.system, false);
    if (!system.is_list() || !system.as_list().empty()) body.set("system", std::move(system));
  }
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
    Value entry;
    entry.set("name", tool.name);
    if (!tool.description.empty()) entry.set("description", tool.description);
    entry.set("input_schema", schema_of(tool));
    if (same_) {
      if (tool.strict) entry.set("strict", *tool.strict);
      add_extras(entry, tool.extras);
    }
    tools.push_back(std::move(entry));
  }
  const bool any = !tools.empty();
  if (any || (same_ && !request_.tools.empty())) body.set("tools", Value(std::move(tools)));
  if (!any && !same_) return;
  if (!request_.tool_choice && !request_.parallel_tools) return;
  ToolChoice choice = request_.tool_choice.value_or(ToolChoice{});
  const bool forced = choice.kind == ToolChoiceKind::kRequired || choice.kind == ToolChoiceKind::kNamed;
  if (!same_ && forced && !traits_.forced_tools) {
    losses_.drop("tool_choice");
    choice = {};
  }
  Value entry;
  switch (choice.kind) {
    case ToolChoiceKind::kAuto:
      entry.set("type", "auto");
      break;
    case ToolChoiceKind::kNone:
      entry.set("type", "none");
      break;
    case ToolChoiceKind::kRequired:
      entry.set("type", "any");
      break;
    case ToolChoiceKind::kNamed:
      entry.set("type", "tool");
      entry.set("name", choice.name);
      break;
  }
  if (request_.parallel_tools && choice.kind != ToolChoiceKind::kNone) {
    entry.set("disable_parallel_tool_use", !*request_.parallel_tools);
  }
  body.set("tool_choice", std::move(entry));
}

void Renderer::add_thinking(Value& body) {
  if (same_ || !request_.thinking.has_value()) return;
  const Thinking& thinking = *request_.thinking;
  if (!thinking.effort.empty()) {
    const std::string& effort = thinking.effort;
    if (traits_.output_effort && (effort == "low" || effort == "medium" || effort == "high")) {
      Value config;
      config.set("effort", effort);
      body.set("output_config", std::move(config));
    } else {
      losses_.drop("the effort of reasoning");
    }
  }
}

void Renderer::add_format(Value& body) {
  if (same_ || !request_.format.has_value()) return;
  const ResponseFormat& format = *request_.format;
  if (format.kind == FormatKind::kText) return;
  if (format.kind == FormatKind::kJsonSchema && traits_.json_schema) {
    Value entry;
    entry.set("type", "json_schema");
    entry.set("schema", format.schema);
    Value config = body.find("output_config") == nullptr ? Value() : *body.find("output_config");
    config.set("format", std::move(entry));
    body.set("output_config", std::move(config));
    return;
  }
  if (format.kind == FormatKind::kJsonSchema) {
    losses_.refuse("structured output by schema");
  } else {
    losses_.drop("response_format (json_object)");  // clients ask for JSON in words as well: OpenAI insists
  }
}

void Renderer::add_sampling(Value& body) {
  if (!same_ && !traits_.sampling) {
    if (request_.temperature) losses_.drop("temperature");
    if (request_.top_p) losses_.drop("top_p");
    if (request_.top_k) losses_.drop("top_k");
    return;
  }
  if (request_.temperature) {
    // OpenAI's range ends at 2, Anthropic's at 1.
    const bool beyond = !same_ && *request_.temperature > 1;
    if (beyond) losses_.drop("temperature above 1");
    body.set("temperature", beyond ? 1.0 : *request_.temperature);
  }
  if (request_.top_p) body.set("top_p", *request_.top_p);
  if (request_.top_k) body.set("top_k", *request_.top_k);
}

Value Renderer::render(std::string_view model) {
  Value body;
  body.set("model", model);
  body.set("max_tokens", request_.max_tokens.value_or(traits_.default_max_tokens));
  add_messages(body);
  add_tools(body);
  add_sampling(body);
  if (!request_.stop.empty()) {
    Value::List stops;
    for (const std::string& stop : request_.stop) stops.emplace_back(stop);
    body.set("stop_sequences", Value(std::move(stops)));
  }
  if (request_.stream) body.set("stream", true);
  add_thinking(body);
  add_format(body);
  if (!same_) {
    if (request_.seed) losses_.drop("seed");
    if (request_.frequency_penalty) losses_.drop("frequency_penalty");
    if (request_.presence_penalty) losses_.drop("presence_penalty");
    // Names of a vendor's users are not told to another vendor.
    if (!request_.user.empty()) losses_.drop("user");
    if (request_.answers != 1) losses_.refuse("n");
    if (request_.stored_context) losses_.refuse("a conversation that the provider keeps");
  }
  carry_extras(request_, kSelf, body, losses_);
  return body;
}

}  // namespace

Value render_anthropic_request(const ChatRequest& request, std::string_view model,
                               const UpstreamTraits& traits, Losses& losses) {
  return Renderer(request, traits, losses).render(model);
}

}  // namespace ez::models
