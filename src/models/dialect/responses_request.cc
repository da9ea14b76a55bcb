// POST /v1/responses: reading the request. Writing it: responses_request_render.cc.
#include <utility>

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
  if (type == "input_text" || type == "output_text" || type == "text") {
    part.text = fields.text("text");
    // What an answer has, and no request needs.
    static_cast<void>(fields.any("annotations"));
    static_cast<void>(fields.any("logprobs"));
  } else if (type == "refusal") {
    part.kind = PartKind::kRefusal;
    part.text = fields.text("refusal");
  } else if (type == "input_image") {
    part.kind = PartKind::kImage;
    const std::string id = fields.text("file_id");
    if (!id.empty()) {
      part.url = "file:" + id;
    } else {
      read_image_url(fields.need_text("image_url"), part);
    }
    part.detail = fields.text("detail");
  } else if (type == "input_file") {
    part.kind = PartKind::kDocument;
    part.name = fields.text("filename");
    const std::string id = fields.text("file_id");
    const std::string url = fields.text("file_url");
    if (!id.empty()) {
      part.url = "file:" + id;
    } else if (!url.empty()) {
      part.url = url;
    } else {
      read_image_url(fields.need_text("file_data"), part);
      if (part.data.empty()) {  // bare base64
        part.data = std::exchange(part.url, {});
        part.media_type = "application/pdf";
      }
    }
  } else {
    return opaque(value, type);
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

std::string joined_texts(const Value* list) {
  std::string out;
  if (list == nullptr) return out;
  for (const Value& each : list->as_list()) {
    if (!out.empty()) out += "\n\n";
    out += each.string_or("text", "");
  }
  return out;
}

void parse_tools(ReadContext& context, const Value* list, const Path& path, ChatRequest& out) {
  if (list == nullptr) return;
  for (std::size_t i = 0; i < list->as_list().size() && !context.failed(); ++i) {
    const Value& value = list->as_list()[i];
    const Path at = path.at(i);
    Fields fields(context, value, at);
    Tool tool;
    const std::string type = fields.need_text("type");
    if (type == "function" || type == "custom") {
      tool.kind = type == "custom" ? ToolKind::kCustom : ToolKind::kFunction;
      tool.name = fields.need_text("name");
      tool.description = fields.text("description");
      if (const Value* schema = fields.map("parameters")) tool.schema = *schema;
      tool.strict = fields.boolean("strict");
      tool.extras = fields.rest();
    } else {
      tool.kind = ToolKind::kHosted;
      tool.name = type;
      tool.raw = value;
    }
    out.tools.push_back(std::move(tool));
  }
}

void parse_tool_choice(ReadContext& context, const Value* value, const Path& path, ChatRequest& out) {
  if (value == nullptr) return;
  ToolChoice choice;
  if (value->is_string()) {
    const std::string& word = value->as_string();
    if (word != "none" && word != "auto" && word != "required") {
      context.fail(path, "none, auto, required or an object is wanted");
    }
    choice.kind = word == "none"       ? ToolChoiceKind::kNone
                  : word == "required" ? ToolChoiceKind::kRequired
                                       : ToolChoiceKind::kAuto;
    out.tool_choice = choice;
    return;
  }
  Fields fields(context, *value, path);
  const std::string type = fields.need_text("type");
  if (type == "function" || type == "custom") {
    choice.kind = ToolChoiceKind::kNamed;
    choice.name = fields.need_text("name");
    out.tool_choice = choice;
  } else if (type == "allowed_tools") {
    out.extras.set("tool_choice", *value);
  } else {  // a hosted tool
    choice.kind = ToolChoiceKind::kNamed;
    choice.name = type;
    out.tool_choice = choice;
  }
}

void parse_text(ReadContext& context, const Value* value, const Path& path, ChatRequest& out) {
  if (value == nullptr) return;
  Fields fields(context, *value, path);
  const Value* body = fields.map("format");
  Value rest = fields.rest();
  if (!rest.is_null()) out.extras.set("text", std::move(rest));  // verbosity
  if (body == nullptr) return;
  const Path at = path.at("format");
  Fields inner(context, *body, at);
  const std::string type = inner.need_text("type");
  ResponseFormat format;
  if (type == "json_object") {
    format.kind = FormatKind::kJsonObject;
  } else if (type == "json_schema") {
    format.kind = FormatKind::kJsonSchema;
    format.name = inner.text("name");
    format.description = inner.text("description");
    if (const Value* schema = inner.map("schema")) format.schema = *schema;
    format.strict = inner.boolean("strict");
  } else if (type != "text") {
    context.fail(at.at("type"), "text, json_object or json_schema is wanted");
  }
  out.format = std::move(format);
}

void parse_reasoning(ReadContext& context, const Value* value, const Path& path, ChatRequest& out) {
  if (value == nullptr) return;
  Fields fields(context, *value, path);
  Thinking thinking;
  thinking.effort = fields.text("effort");
  thinking.summary = fields.text("summary");
  thinking.enabled = thinking.effort != "none";
  Value rest = fields.rest();
  if (!rest.is_null()) out.extras.set("reasoning", std::move(rest));
  out.thinking = std::move(thinking);
}

}  // namespace

Message parse_responses_item(ReadContext& context, const Value& item, const Path& path) {
  Message message;
  Fields fields(context, item, path);
  const std::string type = fields.text("type");
  if (type.empty() || type == "message") {
    const std::string role = fields.need_text("role");
    if (role == "assistant") {
      message.role = Role::kAssistant;
    } else if (role == "system" || role == "developer") {
      message.role = Role::kSystem;
    } else if (role != "user") {
      context.fail(path.at("role"), "user, assistant, system or developer is wanted");
    }
    parse_content(context, fields.any("content"), path.at("content"), message.parts);
    message.extras = fields.rest();
    if (role == "developer") message.extras.set("role", role);
    return message;
  }
  message.role = Role::kAssistant;
  Part part;
  if (type == "function_call" || type == "custom_tool_call") {
    part.kind = PartKind::kToolCall;
    part.custom = type == "custom_tool_call";
    part.id = fields.need_text("call_id");
    part.name = fields.need_text("name");
    part.arguments = fields.text(part.custom ? "input" : "arguments");
    part.extras = fields.rest();
  } else if (type == "function_call_output" || type == "custom_tool_call_output") {
    message.role = Role::kUser;
    part.kind = PartKind::kToolResult;
    part.custom = type == "custom_tool_call_output";
    part.id = fields.need_text("call_id");
    parse_content(context, fields.any("output"), path.at("output"), part.content);
    part.extras = fields.rest();
  } else if (type == "reasoning") {
    const std::string id = fields.text("id");
    part.kind = PartKind::kThinking;
    part.text = joined_texts(fields.list("summary"));
    const std::string open = joined_texts(fields.list("content"));
    if (part.text.empty()) part.text = open;
    const std::string sealed = fields.text("encrypted_content");
    if (!sealed.empty()) part.signature = seal(Seal::kOpenAi, id, sealed);
    if (unseal(part.signature).seal == Seal::kAnthropicRedacted) part.kind = PartKind::kRedactedThinking;
    part.id = id;
    part.raw = item;
  } else {
    part = opaque(item, type);
  }
  message.parts.push_back(std::move(part));
  return message;
}

void parse_responses_request(ReadContext& context, const Value& body, ChatRequest& out) {
  const Path root;
  Fields fields(context, body, root);
  out.model = fields.need_text("model");
  const std::string instructions = fields.text("instructions");
  if (!instructions.empty()) {
    Part part;
    part.text = instructions;
    out.system.push_back(std::move(part));
  }
  const Value* input = fields.any("input");
  const Path input_path = root.at("input");
  if (input != nullptr && input->is_string()) {
    Message message;
    Part part;
    part.text = input->as_string();
    message.parts.push_back(std::move(part));
    out.messages.push_back(std::move(message));
  } else if (input != nullptr && input->is_list()) {
    out.messages.reserve(input->as_list().size());
    for (std::size_t i = 0; i < input->as_list().size() && !context.failed(); ++i) {
      const Value& item = input->as_list()[i];
      if (item.string_or("type", "") == "item_reference") out.stored_context = true;
      out.messages.push_back(parse_responses_item(context, item, input_path.at(i)));
    }
  } else if (input != nullptr) {
    context.fail(input_path, "a string or a list of items is wanted");
  }
  parse_tools(context, fields.list("tools"), root.at("tools"), out);
  const Value* choice = fields.any("tool_choice");
  const Value* text = fields.map("text");
  const Value* reasoning = fields.map("reasoning");
  out.parallel_tools = fields.boolean("parallel_tool_calls");
  out.max_tokens = fields.integer("max_output_tokens", 1, kMaxTokens);
  out.temperature = fields.number("temperature");
  out.top_p = fields.number("top_p");
  out.stream = fields.boolean("stream").value_or(false);
  out.user = fields.text("user");
  out.extras = fields.rest();
  for (const std::string_view stored : {"previous_response_id", "conversation", "prompt"}) {
    const Value* value = body.find(stored);
    if (value != nullptr && !value->is_null()) out.stored_context = true;
  }
  parse_tool_choice(context, choice, root.at("tool_choice"), out);
  parse_text(context, text, root.at("text"), out);
  parse_reasoning(context, reasoning, root.at("reasoning"), out);
}

}  // namespace ez::models
