// POST /v1beta/models/{model}:generateContent and :streamGenerateContent, Gemini's own dialect: reading the
// request. Of clients only; `model` and `stream` stand in the address there and were put into the body.
//
// Calls and results belong together by id, and where a client gives none, by name and order.
#include <limits>

#include "base/json.h"
#include "models/dialect/codec.h"

namespace ez::models {

namespace {

constexpr std::int64_t kMaxGeminiTokens = 1'000'000'000;

// Both spellings of a member are in use: the API is described in camel case, its gRPC form is not.
const Value* either_of(const Value& value, std::string_view key, std::string_view other) {
  const Value* found = value.find(key);
  if (found == nullptr || found->is_null()) found = value.find(other);
  return found != nullptr && !found->is_null() ? found : nullptr;
}

// A schema as JSON Schema: Gemini's own form writes its types in capitals.
Value plain_schema(const Value& schema, int depth = 0) {
  if (depth > 60) return schema;
  if (schema.is_list()) {
    Value::List out;
    for (const Value& each : schema.as_list()) out.push_back(plain_schema(each, depth + 1));
    return Value(std::move(out));
  }
  if (!schema.is_map()) return schema;
  Value out(Value::Map{});
  for (const auto& [key, value] : schema.as_map()) {
    if (key == "type" && value.is_string()) {
      std::string type = value.as_string();
      for (char& c : type) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      out.set(key, type);
    } else {
      out.set(key, plain_schema(value, depth + 1));
    }
  }
  return out;
}

class GeminiParser {
 public:
  GeminiParser(ReadContext& context, ChatRequest& out) : context_(context), out_(out) {}

  void parse(const Value& body) {
    const Path root;
    Fields fields(context_, body, root);
    out_.model = fields.need_text("model");
    out_.stream = fields.boolean("stream").value_or(false);
    const Value* system = fields.any("systemInstruction");
    if (system == nullptr) system = fields.any("system_instruction");
    const Path system_path = root.at("systemInstruction");
    if (system != nullptr) read_system(*system, system_path);
    const Path contents_path = root.at("contents");
    if (const Value* contents = fields.need_list("contents")) {
      for (std::size_t i = 0; i < contents->as_list().size() && !context_.failed(); ++i)
        read_content(contents->as_list()[i], contents_path.at(i));
    }
    read_tools(fields.list("tools"), root.at("tools"));
    read_tool_config(fields.map("toolConfig"), root.at("toolConfig"));
    read_generation(fields.map("generationConfig"), root.at("generationConfig"));
    out_.extras = fields.rest();
  }

 private:
  void read_system(const Value& value, const Path& path) {
    if (value.is_string()) return add_system(value.as_string());
    Fields fields(context_, value, path);
    static_cast<void>(fields.text("role"));
    const Path parts_path = path.at("parts");
    const Value* parts = fields.any("parts");
    if (parts == nullptr || !parts->is_list()) return context_.fail(parts_path, "a list is wanted");
    for (const Value& part : parts->as_list()) add_system(std::string(part.string_or("text", "")));
  }

  void add_system(const std::string& text) {
    if (text.empty()) return;
    Part part;
    part.text = text;
    out_.system.push_back(std::move(part));
  }

  void read_content(const Value& value, const Path& path) {
    Fields fields(context_, value, path);
    const std::string role = fields.text("role");
    if (!role.empty() && role != "user" && role != "model" && role != "function")
      return context_.fail(path.at("role"), "user or model is wanted");
    Message message;
    message.role = role == "model" ? Role::kAssistant : Role::kUser;
    const Path parts_path = path.at("parts");
    if (const Value* parts = fields.need_list("parts")) {
      for (std::size_t i = 0; i < parts->as_list().size() && !context_.failed(); ++i)
        read_part(parts->as_list()[i], parts_path.at(i), message);
    }
    if (!message.parts.empty()) out_.messages.push_back(std::move(message));
  }

  void read_part(const Value& value, const Path& path, Message& message) {
    if (!value.is_map()) return context_.fail(path, "an object is wanted");
    Part part;
    if (const Value* call = either_of(value, "functionCall", "function_call")) {
      Fields fields(context_, *call, path);
      part.kind = PartKind::kToolCall;
      part.name = fields.need_text("name");
      part.id = fields.text("id");
      if (part.id.empty()) part.id = "call_" + std::to_string(++made_ids_);
      if (const Value* arguments = fields.map("args")) part.arguments = to_json(*arguments);
      open_.push_back({part.id, part.name});
    } else if (const Value* response = either_of(value, "functionResponse", "function_response")) {
      if (!read_response(*response, path, part)) return;
    } else if (const Value* data = either_of(value, "inlineData", "inline_data")) {
      if (!read_data(*data, path, part)) return;
    } else if (const Value* file = either_of(value, "fileData", "file_data")) {
      part.url = file->string_or("fileUri", file->string_or("file_uri", ""));
      part.media_type = file->string_or("mimeType", file->string_or("mime_type", ""));
      part.kind = part.media_type.starts_with("image/") ? PartKind::kImage : PartKind::kDocument;
      if (part.url.empty()) return context_.fail(path.at("fileData"), "fileUri is wanted");
    } else if (const Value* text = value.find("text"); text != nullptr && text->is_string()) {
      if (text->as_string().empty()) return;
      part.text = text->as_string();
      // Without its seal, which nobody else could read, it goes no further than this.
      if (value.bool_or("thought", false)) part.kind = PartKind::kThinking;
    } else if (value.find("thoughtSignature") != nullptr && value.as_map().size() == 1) {
      return;
    } else {
      part.kind = PartKind::kOpaque;
      part.name = value.as_map().empty() ? "empty" : value.as_map().front().first;
      part.raw = value;
    }
    message.parts.push_back(std::move(part));
  }

  bool read_data(const Value& value, const Path& path, Part& part) {
    part.media_type = value.string_or("mimeType", value.string_or("mime_type", ""));
    part.data = value.string_or("data", "");
    part.kind = part.media_type.starts_with("image/") ? PartKind::kImage : PartKind::kDocument;
    if (!part.media_type.empty() && !part.data.empty()) return true;
    context_.fail(path.at("inlineData"), "mimeType and data are wanted");
    return false;
  }

  bool read_response(const Value& value, const Path& path, Part& part) {
    Fields fields(context_, value, path);
    part.kind = PartKind::kToolResult;
    const std::string name = fields.text("name");
    const std::string id = fields.text("id");
    const auto take = [&](auto&& fits) {
      for (std::size_t i = 0; i < open_.size(); ++i) {
        if (!fits(open_[i])) continue;
        part.id = open_[i].id;
        open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
        return true;
      }
      return false;
    };
    if (!take([&](const OpenCall& call) { return !id.empty() && call.id == id; }) &&
        !take([&](const OpenCall& call) { return call.name == name; })) {
      context_.fail(path.at("functionResponse"), "there is no call that it could be the response of");
      return false;
    }
    Part text;
    if (const Value* response = fields.map("response")) {
      const Value* output = response->find("output");
      const Value* error = response->find("error");
      const bool single = response->as_map().size() == 1;
      if (single && output != nullptr && output->is_string()) {
        text.text = output->as_string();
      } else if (single && error != nullptr) {
        part.is_error = true;
        text.text = error->is_string() ? error->as_string() : to_json(*error);
      } else {
        text.text = to_json(*response);
      }
    }
    part.content.push_back(std::move(text));
    const Path parts_path = path.at("parts");
    if (const Value* parts = fields.list("parts")) {
      for (std::size_t i = 0; i < parts->as_list().size(); ++i) {
        const Path at = parts_path.at(i);
        const Value* data = either_of(parts->as_list()[i], "inlineData", "inline_data");
        Part more;
        if (data == nullptr) {
          context_.fail(at, "inlineData is wanted");
          return false;
        }
        if (!read_data(*data, at, more)) return false;
        part.content.push_back(std::move(more));
      }
    }
    return true;
  }

  void read_tools(const Value* list, const Path& path) {
    if (list == nullptr) return;
    for (std::size_t i = 0; i < list->as_list().size() && !context_.failed(); ++i) {
      const Value& entry = list->as_list()[i];
      const Path at = path.at(i);
      if (!entry.is_map()) return context_.fail(at, "an object is wanted");
      for (const auto& [key, value] : entry.as_map()) {
        if (key == "functionDeclarations" || key == "function_declarations") {
          if (!value.is_list()) return context_.fail(at.at("functionDeclarations"), "a list is wanted");
          const Path declarations = at.at("functionDeclarations");
          for (std::size_t n = 0; n < value.as_list().size() && !context_.failed(); ++n)
            read_declaration(value.as_list()[n], declarations.at(n));
        } else if (!value.is_null()) {
          Tool tool;
          tool.kind = ToolKind::kHosted;
          tool.name = key;
          tool.raw = entry;
          out_.tools.push_back(std::move(tool));
        }
      }
    }
  }

  void read_declaration(const Value& value, const Path& path) {
    Fields fields(context_, value, path);
    Tool tool;
    tool.name = fields.need_text("name");
    tool.description = fields.text("description");
    const Value* schema = fields.map("parametersJsonSchema");
    const Value* own = fields.map("parameters");
    if (schema != nullptr) {
      tool.schema = *schema;
    } else if (own != nullptr) {
      tool.schema = plain_schema(*own);
    }
    out_.tools.push_back(std::move(tool));
  }

  void read_tool_config(const Value* value, const Path& path) {
    if (value == nullptr) return;
    const Value* config = value->find("functionCallingConfig");
    if (config == nullptr || !config->is_map()) return;
    const std::string_view mode = config->string_or("mode", "AUTO");
    ToolChoice choice;
    if (mode == "NONE") {
      choice.kind = ToolChoiceKind::kNone;
    } else if (mode == "ANY") {
      choice.kind = ToolChoiceKind::kRequired;
      const Value* names = config->find("allowedFunctionNames");
      if (names != nullptr && names->is_list() && names->as_list().size() == 1 &&
          names->as_list()[0].is_string()) {
        choice.kind = ToolChoiceKind::kNamed;
        choice.name = names->as_list()[0].as_string();
      }
    } else if (mode != "AUTO" && mode != "VALIDATED" && mode != "MODE_UNSPECIFIED") {
      return context_.fail(path, "AUTO, ANY, NONE or VALIDATED is wanted");
    }
    out_.tool_choice = choice;
  }

  void read_generation(const Value* value, const Path& path) {
    if (value == nullptr) return;
    Fields fields(context_, *value, path);
    out_.temperature = fields.number("temperature");
    out_.top_p = fields.number("topP");
    if (const auto top_k = fields.number("topK"); top_k && *top_k >= 0 && *top_k < 1e9)
      out_.top_k = static_cast<std::int64_t>(*top_k);
    out_.max_tokens = fields.integer("maxOutputTokens", 1, kMaxGeminiTokens);
    out_.seed = fields.integer("seed", std::numeric_limits<std::int64_t>::min(),
                               std::numeric_limits<std::int64_t>::max());
    out_.presence_penalty = fields.number("presencePenalty");
    out_.frequency_penalty = fields.number("frequencyPenalty");
    out_.answers = fields.integer("candidateCount", 1, 128).value_or(1);
    if (const Value* stops = fields.list("stopSequences")) {
      for (const Value& stop : stops->as_list()) {
        if (stop.is_string()) out_.stop.push_back(stop.as_string());
      }
    }
    read_format(fields);
    const Value* thinking = fields.map("thinkingConfig");
    const Path thinking_path = path.at("thinkingConfig");
    if (thinking != nullptr) read_thinking(*thinking, thinking_path);
    const Value rest = fields.rest();
    if (rest.is_map()) out_.extras.set("generationConfig", rest);
  }

  void read_format(Fields& fields) {
    const std::string type = fields.text("responseMimeType");
    const Value* schema = fields.map("responseJsonSchema");
    const Value* own = fields.map("responseSchema");
    if (type != "application/json") return;
    ResponseFormat format;
    format.kind = FormatKind::kJsonObject;
    if (schema != nullptr || own != nullptr) {
      format.kind = FormatKind::kJsonSchema;
      format.name = "answer";
      format.schema = schema != nullptr ? *schema : plain_schema(*own);
    }
    out_.format = std::move(format);
  }

  void read_thinking(const Value& value, const Path& path) {
    Fields fields(context_, value, path);
    static_cast<void>(fields.boolean("includeThoughts"));
    const auto budget = fields.integer("thinkingBudget", -1, kMaxGeminiTokens);
    std::string level = fields.text("thinkingLevel");
    for (char& c : level) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (!budget && level.empty()) return;
    Thinking thinking;
    thinking.enabled = !budget || *budget != 0;
    thinking.adaptive = budget && *budget < 0;
    if (budget && *budget > 0) thinking.budget_tokens = *budget;
    if (level == "minimal" || level == "low" || level == "medium" || level == "high") thinking.effort = level;
    out_.thinking = thinking;
  }

  struct OpenCall {
    std::string id, name;
  };
  ReadContext& context_;
  ChatRequest& out_;
  std::vector<OpenCall> open_;
  int made_ids_ = 0;
};

}  // namespace

void parse_gemini_request(ReadContext& context, const Value& body, ChatRequest& out) {
  GeminiParser(context, out).parse(body);
}

}  // namespace ez::models
