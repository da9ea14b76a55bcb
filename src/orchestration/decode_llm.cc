// The keys of a task that only an agent which asks a model has a use for.
#include <array>
#include <string>

#include "base/json.h"
#include "base/json_schema.h"
#include "orchestration/decoder.h"
#include "orchestration/text.h"

namespace ez::orchestration {

void read_output_schema(Decoder& decoder, const Fields& fields, Task& task) {
  const auto node = fields.get("output_schema");
  if (!node) return;
  static constexpr std::string_view kExample = "Write `output_schema: {type: object, properties: {…}}`.";
  if (!fields.get("prompt")) {
    decoder.error(*fields.key("output_schema"), "`output_schema` is for tasks with a `prompt`",
                  "A `run` writes its output to $EZ_OUTPUT; check it there.");
    return;
  }
  if (decoder.tree.kind(*node) != SourceTree::Kind::kMap) {
    decoder.error(*node, "`output_schema` must be a map", std::string(kExample));
    return;
  }
  Value schema = decoder.tree.to_value(*node);
  if (to_json(schema).size() > kMaxOutputSchemaBytes) {
    decoder.error(*node, "`output_schema` has more than " + std::to_string(kMaxOutputSchemaBytes) + " bytes");
    return;
  }
  if (const auto compiled = JsonSchema::compile(schema); !compiled.ok()) {
    decoder.error(*node, "`output_schema`: " + compiled.error().message(), std::string(kExample));
    return;
  }
  task.output_schema = std::move(schema);
}

namespace {

constexpr std::array<std::string_view, 6> kMcpKeys{"command", "env", "url", "headers", "tools", "timeout"};
constexpr std::size_t kMaxMcpServers = 16;
constexpr std::size_t kMaxMcpItems = 100;

// A list of scalars as texts.
Value texts(Decoder& decoder, const Fields& fields, std::string_view key, std::string_view example) {
  Value::List out;
  for (const NodeId node : fields.read_list(key, kMaxMcpItems, example)) {
    const std::string_view text = decoder.tree.is_scalar(node) ? decoder.tree.text(node) : std::string_view();
    if (text.empty() || text.size() > 4'096 || text.find('\0') != std::string_view::npos) {
      decoder.error(node, "an item of " + quoted(key) + " must be a text",
                    "Write `" + std::string(example) + "`.");
    } else {
      out.emplace_back(text);
    }
  }
  return out;
}

// A map of scalars as texts.
Value pairs(Decoder& decoder, const Fields& fields, std::string_view key, bool headers) {
  Value::Map out;
  const auto node = fields.get(key);
  if (!node) return out;
  const SourceTree& tree = decoder.tree;
  if (tree.kind(*node) != SourceTree::Kind::kMap || tree.size(*node) / 2 > kMaxMcpItems) {
    decoder.error(*node,
                  quoted(key) + " must be a map of at most " + std::to_string(kMaxMcpItems) + " texts");
    return out;
  }
  for (std::size_t i = 0; i < tree.size(*node); i += 2) {
    const NodeId name = tree.child(*node, i);
    const NodeId value = tree.child(*node, i + 1);
    const std::string_view text = tree.text(name);
    const bool good_name = headers ? !text.empty() && text.find_first_of(" :\r\n\t") == std::string_view::npos
                                   : is_identifier(text);
    const bool good_value = tree.is_scalar(value) && tree.text(value).find_first_of(std::string_view(
                                                         "\r\n\0", 3)) == std::string_view::npos;
    if (!good_name || !good_value) {
      decoder.error(good_name ? value : name,
                    "an entry of " + quoted(key) + " must be a name with a text of one line");
    } else {
      out.emplace_back(std::string(text), Value(tree.text(value)));
    }
  }
  return out;
}

Value read_server(Decoder& decoder, NodeId node, const std::string& name) {
  const Fields fields(decoder, node, "an MCP server", kMcpKeys);
  Value server{Value::Map{}};
  const bool has_command = fields.get("command").has_value();
  const bool has_url = fields.get("url").has_value();
  if (has_command == has_url) {
    decoder.error(node, "the MCP server " + quoted(name) + " needs either `command` or `url`",
                  "Write `command: [node, server.js]` or `url: http://…`.");
    return server;
  }
  if (has_command) {
    server.set("command", texts(decoder, fields, "command", "command: [node, server.js]"));
    server.set("env", pairs(decoder, fields, "env", false));
  } else {
    std::string url;
    fields.read_text("url", url, 2'000);
    if (!url.starts_with("http://")) {
      decoder.error(*fields.get("url"), "`url` cannot be " + quoted(url),
                    "Only http:// addresses can be reached; put a proxy in front of others.");
    }
    server.set("url", url);
    server.set("headers", pairs(decoder, fields, "headers", true));
  }
  for (const std::string_view other : {has_command ? "headers" : "env"}) {
    if (const auto key = fields.key(other))
      decoder.error(*key, quoted(other) + " has no meaning for this kind of MCP server", "Remove it.");
  }
  if (fields.get("tools")) server.set("tools", texts(decoder, fields, "tools", "tools: [echo]"));
  std::int64_t timeout_ms = 60'000;
  fields.read_duration("timeout", timeout_ms, 1, false);
  server.set("timeout_ms", timeout_ms);
  return server;
}

}  // namespace

void read_mcp(Decoder& decoder, const Fields& fields, Task& task) {
  const auto node = fields.get("mcp");
  if (!node) return;
  static constexpr std::string_view kExample = "Write `mcp: {docs: {command: [node, server.js]}}`.";
  const SourceTree& tree = decoder.tree;
  if (!fields.get("prompt")) {
    decoder.error(*fields.key("mcp"), "`mcp` is for tasks with a `prompt`", "Remove it.");
    return;
  }
  if (tree.kind(*node) != SourceTree::Kind::kMap || tree.size(*node) / 2 > kMaxMcpServers) {
    decoder.error(*node, "`mcp` must be a map of at most " + std::to_string(kMaxMcpServers) + " servers",
                  std::string(kExample));
    return;
  }
  Value::Map servers;
  for (std::size_t i = 0; i < tree.size(*node); i += 2) {
    const NodeId key = tree.child(*node, i);
    const NodeId value = tree.child(*node, i + 1);
    const std::string name(tree.text(key));
    if (!is_name(name) || name.size() > 30) {
      decoder.error(key, "an MCP server cannot be named " + quoted(name),
                    "At most 30 letters, digits and `-`.");
    } else if (tree.kind(value) != SourceTree::Kind::kMap) {
      decoder.error(value, "the MCP server " + quoted(name) + " must be a map", std::string(kExample));
    } else {
      servers.emplace_back(name, read_server(decoder, value, name));
    }
  }
  if (!servers.empty()) task.mcp = Value(std::move(servers));
}

}  // namespace ez::orchestration
