// POST /v1/chat/completions: reading the request. Writing it: chat_request_render.cc.
#include <limits>

#include "base/json.h"
#include "models/dialect/codec.h"

namespace ez::models {

namespace {

constexpr std::int64_t kMaxTokens = 1'000'000'000;

Part opaque(const Value& block, std::string name) {
  Part part;
  part.kind = PartKind::kOpaque;
  part.name = std::move(name);
  part.raw = block;
  return part;
}

Part parse_part(ReadContext& context, const Value& value, const Path& path) {
  Fields fields(context, value, path);
  Part part;
  const std::string type = fields.need_text("type");
  if (type == "text") {
    part.text = fields.text("text");
  } else if (type == "refusal") {
    part.kind = PartKind::kRefusal;
    part.text = fields.text("refusal");
  } else if (type == "image_url") {
    part.kind = PartKind::kImage;
    const Value* image = fields.any("image_url");
    if (image != nullptr && image->is_string()) {  // some clients
      read_image_url(image->as_string(), part);
    } else if (image == nullptr) {
      context.fail(path.at("image_url"), "an object is wanted");
    } else {
      const Path at = path.at("image_url");
      Fields inner(context, *image, at);
      read_image_url(inner.need_text("url"), part);
      part.detail = inner.text("detail");
    }
  } else if (type == "file") {
    part.kind = PartKind::kDocument;
    const Value* file = fields.map("file");
    const Path at = path.at("file");
    if (file == nullptr) {
      context.fail(at, "an object is wanted");
      return part;
    }
    Fields inner(context, *file, at);
    part.name = inner.text("filename");
    const std::string id = inner.text("file_id");
    if (!id.empty()) {
      part.url = "file:" + id;
    } else {
      read_image_url(inner.text("file_data"), part);
      if (part.data.empty()) {  // bare base64
        part.data = std::exchange(part.url, {});
        part.media_type = "application/pdf";
      }
    }
  } else {
    return opaque(value, type);  // input_audio
  }
  part.extras = fields.rest();
  return part;
}

void parse_content(ReadContext& context, const Value* content, const Path& path, std::vector<Part>& out) {
  if (content == nullptr) return;
  if (content->is_string()) {
    Part part;
    part.text = content->as_string();
    out.push_back(std::move(part));
    return;
  }
  if (!content->is_list()) {
    context.fail(path, "a string or a list of parts is wanted");
    return;
  }
  const Value::List& parts = content->as_list();
  for (std::size_t i = 0; i < parts.size() && !context.failed(); ++i) {
    out.push_back(parse_part(context, parts[i], path.at(i)));
  }
}

void parse_tool_calls(ReadContext& context, const Value* list, const Path& path, std::vector<Part>& out) {
  if (list == nullptr) return;
  for (std::size_t i = 0; i < list->as_list().size() && !context.failed(); ++i) {
    const Path at = path.at(i);
    Fields fields(context, list->as_list()[i], at);
    Part part;
    part.kind = PartKind::kToolCall;
    part.id = fields.need_text("id");
    const std::string type = fields.text("type");
    part.custom = type == "custom";
    const std::string_view member = part.custom ? "custom" : "function";
    const Value* call = fields.map(member);
    const Path call_path = at.at(member);
    if (call == nullptr) {
      context.fail(call_path, "an object is wanted");
      return;
    }
    Fields inner(context, *call, call_path);
    part.name = inner.need_text("name");
    part.arguments = inner.text(part.custom ? "input" : "arguments");
    part.extras = fields.rest();
    out.push_back(std::move(part));
  }
}

// One message of the wire: a system text goes to `out.system` as long as no turn has begun.
void parse_message(ReadContext& context, const Value& value, const Path& path, ChatRequest& out) {
  Fields fields(context, value, path);
  Message message;
  const std::string role = fields.need_text("role");
  if (role == "system" || role == "developer") {
    message.role = Role::kSystem;
    parse_content(context, fields.any("content"), path.at("content"), message.parts);
    if (out.messages.empty()) {
      Value extras = fields.rest();
      if (role == "developer") extras.set("role", role);
      for (Part& part : message.parts) {
        if (!extras.is_null() && part.extras.is_null()) part.extras = extras;
        out.system.push_back(std::move(part));
      }
      return;
    }
    message.extras = fields.rest();
    if (role == "developer") message.extras.set("role", role);
  } else if (role == "user") {
    parse_content(context, fields.any("content"), path.at("content"), message.parts);
    message.extras = fields.rest();
  } else if (role == "assistant") {
    message.role = Role::kAssistant;
    // DeepSeek, Kimi, vLLM: "reasoning_content"; OpenRouter: "reasoning".
    std::string thinking = fields.text("reasoning_content");
    const Value* reasoning = fields.any("reasoning");
    if (thinking.empty() && reasoning != nullptr && reasoning->is_string()) thinking = reasoning->as_string();
    if (!thinking.empty()) {
      Part part;
      part.kind = PartKind::kThinking;
      part.text = std::move(thinking);
      message.parts.push_back(std::move(part));
    }
    parse_content(context, fields.any("content"), path.at("content"), message.parts);
    const std::string refusal = fields.text("refusal");
    if (!refusal.empty()) {
      Part part;
      part.kind = PartKind::kRefusal;
      part.text = refusal;
      message.parts.push_back(std::move(part));
    }
    parse_tool_calls(context, fields.list("tool_calls"), path.at("tool_calls"), message.parts);
    message.extras = fields.rest();
  } else if (role == "tool") {
    Part part;
    part.kind = PartKind::kToolResult;
    part.id = fields.need_text("tool_call_id");
    parse_content(context, fields.any("content"), path.at("content"), part.content);
    part.extras = fields.rest();
    message.parts.push_back(std::move(part));
  } else {
    if (role != "function")
      context.fail(path.at("role"), "system, developer, user, assistant or tool is wanted");
    message.parts.push_back(opaque(value, "message of role function"));
  }
  out.messages.push_back(std::move(message));
}

void parse_tools(ReadContext& context, const Value* list, const Path& path, ChatRequest& out) {
  if (list == nullptr) return;
  for (std::size_t i = 0; i < list->as_list().size() && !context.failed(); ++i) {
    const Value& value = list->as_list()[i];
    const Path at = path.at(i);
    Fields fields(context, value, at);
    Tool tool;
    const std::string type = fields.need_text("type");
    if (type != "function" && type != "custom") {
      tool.kind = ToolKind::kHosted;
      tool.name = type;
      tool.raw = value;
      out.tools.push_back(std::move(tool));
      continue;
    }
    const Value* body = fields.map(type);
    const Path body_path = at.at(type);
    if (body == nullptr) {
      context.fail(body_path, "an object is wanted");
      return;
    }
    Fields inner(context, *body, body_path);
    tool.kind = type == "custom" ? ToolKind::kCustom : ToolKind::kFunction;
    tool.name = inner.need_text("name");
    tool.description = inner.text("description");
    if (const Value* schema = inner.map("parameters")) tool.schema = *schema;
    tool.strict = inner.boolean("strict");
    tool.extras = inner.rest();
    out.tools.push_back(std::move(tool));
  }
}

void parse_tool_choice(ReadContext& context, const Value* value, const Path& path, ChatRequest& out) {
  if (value == nullptr) return;
  ToolChoice choice;
  if (value->is_string()) {
    const std::string& word = value->as_string();
    choice.kind = word == "none"                        ? ToolChoiceKind::kNone
                  : word == "required" || word == "any" ? ToolChoiceKind::kRequired
                                                        : ToolChoiceKind::kAuto;
    if (word != "none" && word != "auto" && choice.kind == ToolChoiceKind::kAuto) {
      context.fail(path, "none, auto, required or an object is wanted");
    }
    out.tool_choice = choice;
    return;
  }
  Fields fields(context, *value, path);
  const std::string type = fields.need_text("type");
  const Value* named = type == "function" || type == "custom" ? fields.map(type) : nullptr;
  if (named == nullptr) {
    out.extras.set("tool_choice", *value);  // allowed_tools
    return;
  }
  choice.kind = ToolChoiceKind::kNamed;
  choice.name = named->string_or("name", "");
  if (choice.name.empty()) context.fail(path, "the name of a tool is wanted");
  out.tool_choice = choice;
}

void parse_format(ReadContext& context, const Value* value, const Path& path, ChatRequest& out) {
  if (value == nullptr) return;
  Fields fields(context, *value, path);
  const std::string type = fields.need_text("type");
  ResponseFormat format;
  if (type == "json_object") {
    format.kind = FormatKind::kJsonObject;
  } else if (type == "json_schema") {
    format.kind = FormatKind::kJsonSchema;
    const Value* body = fields.map("json_schema");
    const Path at = path.at("json_schema");
    if (body == nullptr) {
      context.fail(at, "an object is wanted");
      return;
    }
    Fields inner(context, *body, at);
    format.name = inner.text("name");
    format.description = inner.text("description");
    if (const Value* schema = inner.map("schema")) format.schema = *schema;
    format.strict = inner.boolean("strict");
  } else if (type != "text") {
    out.extras.set("response_format", *value);
    return;
  }
  out.format = std::move(format);
}

void parse_stop(ReadContext& context, const Value* value, const Path& path, ChatRequest& out) {
  if (value == nullptr) return;
  if (value->is_string()) {
    out.stop.push_back(value->as_string());
    return;
  }
  if (!value->is_list()) {
    context.fail(path, "a string or a list of strings is wanted");
    return;
  }
  for (std::size_t i = 0; i < value->as_list().size(); ++i) {
    const Value& stop = value->as_list()[i];
    if (!stop.is_string()) {
      context.fail(path.at(i), "a string is wanted");
      return;
    }
    out.stop.push_back(stop.as_string());
  }
}

}  // namespace

void parse_chat_request(ReadContext& context, const Value& body, ChatRequest& out) {
  const Path root;
  Fields fields(context, body, root);
  out.model = fields.need_text("model");
  const Path messages_path = root.at("messages");
  if (const Value* messages = fields.need_list("messages")) {
    out.messages.reserve(messages->as_list().size());
    for (std::size_t i = 0; i < messages->as_list().size() && !context.failed(); ++i) {
      parse_message(context, messages->as_list()[i], messages_path.at(i), out);
    }
  }
  parse_tools(context, fields.list("tools"), root.at("tools"), out);
  const Value* choice = fields.any("tool_choice");
  const Value* format = fields.map("response_format");
  out.parallel_tools = fields.boolean("parallel_tool_calls");
  out.max_tokens = fields.integer("max_completion_tokens", 1, kMaxTokens);
  const std::optional<std::int64_t> older = fields.integer("max_tokens", 1, kMaxTokens);
  if (!out.max_tokens) out.max_tokens = older;
  out.temperature = fields.number("temperature");
  out.top_p = fields.number("top_p");
  out.top_k = fields.integer("top_k", -1, std::numeric_limits<std::int64_t>::max());
  out.seed = fields.integer("seed", std::numeric_limits<std::int64_t>::min(),
                            std::numeric_limits<std::int64_t>::max());
  out.frequency_penalty = fields.number("frequency_penalty");
  out.presence_penalty = fields.number("presence_penalty");
  parse_stop(context, fields.any("stop"), root.at("stop"), out);
  const std::string effort = fields.text("reasoning_effort");
  if (!effort.empty()) {
    out.thinking.emplace();
    out.thinking->enabled = effort != "none";
    out.thinking->effort = effort;
  }
  out.answers = fields.integer("n", 1, 128).value_or(1);
  out.stream = fields.boolean("stream").value_or(false);
  const Value* stream_options = fields.map("stream_options");
  out.user = fields.text("user");
  out.extras = fields.rest();
  if (stream_options != nullptr) {
    out.stream_usage = stream_options->bool_or("include_usage", false);
    Value rest = *stream_options;
    if (rest.as_map().size() > (rest.find("include_usage") == nullptr ? 0U : 1U)) {
      out.extras.set("stream_options", std::move(rest));
    }
  }
  parse_tool_choice(context, choice, root.at("tool_choice"), out);
  parse_format(context, format, root.at("response_format"), out);
}

}  // namespace ez::models
