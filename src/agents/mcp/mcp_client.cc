#include "agents/mcp/mcp_client.h"

#include <algorithm>
#include <set>

#include "agents/llm/tool_box.h"
#include "base/json.h"

namespace ez::agents {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view kOlder[] = {"2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"};
constexpr std::int64_t kUnknownVersion = -32022;
constexpr int kMaxPages = 50;
constexpr std::size_t kMaxHeaderDepth = 16;
constexpr std::size_t kMaxHeaders = 32;

bool is_older(std::string_view version) {
  return std::find(std::begin(kOlder), std::end(kOlder), version) != std::end(kOlder);
}

bool is_token(const std::string& text) {
  return !text.empty() && text.size() <= 100 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

std::string base64(std::string_view bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j)
      bits = bits << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j)
      out += j <= bytes.size() - i ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

using Headers = std::vector<std::pair<std::vector<std::string>, std::string>>;

// Walks members of `properties` only; an annotation anywhere else makes the tool invalid.
class HeaderReader {
 public:
  Result<Headers> read(const Value& schema) {
    EZ_TRY(walk(schema, {}, true));
    return std::move(headers_);
  }

 private:
  Status walk(const Value& schema, const std::vector<std::string>& path, bool reachable) {
    if (path.size() > kMaxHeaderDepth) return {};
    if (schema.is_list()) {
      for (const Value& item : schema.as_list()) EZ_TRY(walk(item, path, false));
      return {};
    }
    if (!schema.is_map()) return {};
    if (const Value* name = schema.find("x-mcp-header")) EZ_TRY(take(*name, schema, path, reachable));
    for (const auto& [key, inner] : schema.as_map()) {
      if (key == "properties" && inner.is_map()) {
        for (const auto& [member, of] : inner.as_map()) {
          std::vector<std::string> deeper = path;
          deeper.push_back(member);
          EZ_TRY(walk(of, deeper, reachable));
        }
      } else if (key != "default" && key != "examples" && key != "const" && key != "enum") {
        EZ_TRY(walk(inner, path, false));
      }
    }
    return {};
  }

  Status take(const Value& name, const Value& schema, const std::vector<std::string>& path, bool reachable) {
    const auto wrong = [](const std::string& why) {
      return Error(Code::InvalidArgument, "x-mcp-header " + why);
    };
    if (!name.is_string() || !is_token(name.as_string())) return wrong("is not a name of a header");
    if (!reachable || path.empty()) return wrong(name.as_string() + " is not on a plain member");
    const std::string_view type = schema.string_or("type", "");
    if (type != "string" && type != "integer" && type != "boolean")
      return wrong(name.as_string() + " is not on a string, integer or boolean");
    if (!names_.insert(lower(name.as_string())).second) return wrong(name.as_string() + " is there twice");
    if (headers_.size() >= kMaxHeaders) return wrong("is there too often");
    headers_.emplace_back(path, name.as_string());
    return {};
  }

  Headers headers_;
  std::set<std::string> names_;
};

// One block of a tool's result, as text.
std::string block_text(const Value& block) {
  const std::string_view type = block.string_or("type", "");
  if (type == "text") return std::string(block.string_or("text", ""));
  if (type == "resource_link") return "[resource " + std::string(block.string_or("uri", "")) + "]";
  if (type == "resource") {
    const Value* resource = block.find("resource");
    if (resource == nullptr) return "[resource]";
    if (const Value* text = resource->find("text"); text != nullptr && text->is_string())
      return text->as_string();
    return "[resource " + std::string(resource->string_or("uri", "")) + ", binary]";
  }
  return "[" + std::string(type) + " " + std::string(block.string_or("mimeType", "")) + ", " +
         std::to_string(block.string_or("data", "").size() * 3 / 4) + " bytes]";
}

// What is told outside of this folder.
Error outside(const Error& error) {
  const bool internal = error.code() == kMcpTimedOut || error.code() == kMcpRefused;
  return internal ? Error(Code::McpFailed, error.message()) : error;
}

}  // namespace

Result<Headers> mcp_headers(const Value& schema) { return HeaderReader().read(schema); }

std::string mcp_header_value(const std::string& text) {
  const bool plain = std::all_of(text.begin(), text.end(),
                                 [](unsigned char c) { return (c >= 0x20 && c <= 0x7e) || c == '\t'; });
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  const bool padded = !text.empty() && (blank(text.front()) || blank(text.back()));
  const bool marked = text.starts_with("=?base64?") && text.ends_with("?=");
  return plain && !padded && !marked ? text : "=?base64?" + base64(text) + "?=";
}

Value McpClient::client_info() const { return Value::Map{{"name", "ez"}, {"version", ez_version_}}; }

Result<Value> McpClient::request(const std::string& method, Value params, milliseconds timeout,
                                 const CancelToken* cancel, const McpTool* tool, Value* error) {
  McpCall call;
  if (stateless_) {
    params.set("_meta", Value::Map{{"io.modelcontextprotocol/protocolVersion", version_},
                                   {"io.modelcontextprotocol/clientInfo", client_info()},
                                   {"io.modelcontextprotocol/clientCapabilities", Value::Map{}}});
    call.headers = {{"MCP-Protocol-Version", version_}, {"Mcp-Method", method}};
    if (tool != nullptr) {
      call.headers.emplace_back("Mcp-Name", mcp_header_value(tool->name));
      for (const auto& [path, name] : tool->headers) {
        const Value* value = params.find("arguments");
        for (const std::string& member : path) value = value != nullptr ? value->find(member) : nullptr;
        if (value == nullptr || value->is_null()) continue;
        call.headers.emplace_back(
            "Mcp-Param-" + name, mcp_header_value(value->is_string() ? value->as_string() : to_json(*value)));
      }
    }
  } else if (initialized_) {
    call.headers = {{"MCP-Protocol-Version", version_}};
  }
  call.message =
      Value::Map{{"jsonrpc", "2.0"}, {"id", next_id_++}, {"method", method}, {"params", std::move(params)}};
  call.timeout = timeout;
  call.cancel = cancel;
  if (to_json(call.message).size() > kMaxMcpMessage)
    return Error(Code::InvalidArgument, "the arguments are too large for an MCP message");
  EZ_ASSIGN(const Value response, transport_->call(call));
  if (const Value* failure = response.find("error")) {
    if (error != nullptr) *error = *failure;
    return Error(Code::McpFailed, "the MCP server " + server_.name + " answered " + method + " with error " +
                                      std::to_string(failure->int_or("code", 0)) + ": " +
                                      shortened(failure->string_or("message", ""), 1'000));
  }
  const Value* result = response.find("result");
  if (result == nullptr || !result->is_map())
    return Error(Code::McpFailed,
                 "the MCP server " + server_.name + " answered " + method + " without a result");
  return *result;
}

Status McpClient::connect(const CancelToken* cancel) {
  const Status found = discover(cancel);
  return found.ok() ? found : Status(outside(found.error()));
}

Status McpClient::discover(const CancelToken* cancel) {
  Value error;
  const auto found = request("server/discover", Value(Value::Map{}),
                             transport_->is_http() ? kMcpStart : kMcpProbe, cancel, nullptr, &error);
  if (found.ok()) {
    // An older server may answer what it does not know with an empty result.
    const Value* versions = found->find("supportedVersions");
    if (versions != nullptr && versions->is_list()) {
      for (const Value& version : versions->as_list()) {
        if (version == Value(kMcpVersion)) return {};
      }
    }
    return initialize(cancel);
  }
  const Code code = found.error().code();
  if (code == Code::TaskCancelled) return found.error();
  const bool answered = !error.is_null() || code == kMcpRefused;
  // Over stdio an old server may stay silent; over HTTP silence is a broken server.
  const bool silent = code == kMcpTimedOut && !transport_->is_http();
  if (!answered && !silent) return found.error();
  const std::int64_t number = error.int_or("code", 0);
  if (number == kUnknownVersion) {
    const Value* data = error.find("data");
    const Value* supported = data != nullptr ? data->find("supported") : nullptr;
    bool older = false;
    if (supported != nullptr && supported->is_list()) {
      for (const Value& version : supported->as_list())
        older = older || (version.is_string() && is_older(version.as_string()));
    }
    if (!older) return found.error();
  }
  return initialize(cancel);
}

Status McpClient::initialize(const CancelToken* cancel) {
  stateless_ = false;
  version_ = kMcpLegacyVersion;
  EZ_ASSIGN(const Value result, request("initialize",
                                        Value(Value::Map{{"protocolVersion", version_},
                                                         {"capabilities", Value::Map{}},
                                                         {"clientInfo", client_info()}}),
                                        kMcpStart, cancel));
  version_ = result.string_or("protocolVersion", "");
  if (!is_older(version_)) {
    return Error(Code::McpFailed, "the MCP server " + server_.name + " speaks the unknown revision " +
                                      shortened(version_, 100));
  }
  initialized_ = true;
  McpCall call;
  call.message = Value::Map{{"jsonrpc", "2.0"}, {"method", "notifications/initialized"}};
  call.headers = {{"MCP-Protocol-Version", version_}};
  call.timeout = milliseconds(10'000);
  call.cancel = cancel;
  return transport_->notify(call);
}

Result<std::vector<McpTool>> McpClient::list_tools(const CancelToken* cancel,
                                                   std::vector<std::string>& refused) {
  std::vector<McpTool> tools;
  std::set<std::string> names;
  std::string cursor;
  for (int page = 0; page < kMaxPages; ++page) {
    Value params{Value::Map{}};
    if (!cursor.empty()) params.set("cursor", cursor);
    auto answer = request("tools/list", std::move(params), kMcpStart, cancel);
    if (!answer.ok()) return outside(answer.error());
    const Value result = std::move(*answer);
    const Value* list = result.find("tools");
    if (list == nullptr || !list->is_list())
      return Error(Code::McpFailed, "the MCP server " + server_.name + " lists no tools");
    for (const Value& item : list->as_list()) {
      McpTool tool;
      tool.name = item.string_or("name", "");
      const auto refuse = [&](const std::string& why) {
        refused.push_back(shortened(tool.name, 100) + ": " + why);
      };
      if (tool.name.empty() || tool.name.size() > 200 || !names.insert(tool.name).second) {
        refuse("a name that is empty, too long or there twice");
        continue;
      }
      if (tools.size() >= kMaxMcpTools) {
        refuse("more than " + std::to_string(kMaxMcpTools) + " tools");
        continue;
      }
      tool.description =
          shortened(item.string_or("description", item.string_or("title", "")), kMaxMcpDescription);
      const Value* schema = item.find("inputSchema");
      tool.input_schema =
          schema != nullptr && schema->is_map() ? *schema : Value(Value::Map{{"type", "object"}});
      if (tool.input_schema.string_or("type", "object") != "object" ||
          to_json(tool.input_schema).size() > kMaxMcpSchema) {
        refuse("its input is no object, or the schema is too large");
        continue;
      }
      auto headers = mcp_headers(tool.input_schema);
      if (!headers.ok()) {
        if (transport_->is_http() && stateless_) {
          refuse(headers.error().message());
          continue;
        }
      } else {
        tool.headers = std::move(*headers);
      }
      tools.push_back(std::move(tool));
    }
    cursor = result.string_or("nextCursor", "");
    if (cursor.empty() || cursor.size() > 4'096) break;
  }
  return tools;
}

Result<McpResult> McpClient::call_tool(const McpTool& tool, const Value& arguments,
                                       const CancelToken* cancel) {
  auto answer = request("tools/call", Value(Value::Map{{"name", tool.name}, {"arguments", arguments}}),
                        server_.timeout, cancel, &tool);
  if (!answer.ok()) return outside(answer.error());
  const Value result = std::move(*answer);
  const std::string_view kind = result.string_or("resultType", "complete");
  McpResult out;
  if (kind == "input_required") {
    out.is_error = true;
    out.text = "the tool asks for the input of a person, which is not to be had here";
    return out;
  }
  if (kind != "complete")
    return Error(Code::McpFailed, "the MCP server " + server_.name +
                                      " gave an unknown kind of result: " + shortened(kind, 100));
  out.is_error = result.bool_or("isError", false);
  if (const Value* content = result.find("content"); content != nullptr && content->is_list()) {
    for (const Value& block : content->as_list()) {
      if (!out.text.empty()) out.text += "\n";
      out.text += block_text(block);
    }
  }
  if (out.text.empty()) {
    if (const Value* structured = result.find("structuredContent")) out.text = to_json(*structured);
  }
  return out;
}

}  // namespace ez::agents
