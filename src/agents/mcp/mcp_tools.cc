#include "agents/mcp/mcp_tools.h"

#include <algorithm>

#include "agents/llm/file_tools.h"
#include "agents/mcp/mcp_http.h"
#include "agents/mcp/mcp_stdio.h"
#include "base/sha256.h"

namespace ez::agents {
namespace {

constexpr std::size_t kMaxName = 64;

// A name that every provider takes: letters, digits, "_" and "-", at most 64.
std::string tool_name(const std::string& server, const std::string& tool) {
  std::string name = "mcp__" + server + "__" + tool;
  for (char& c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    if (!plain) c = '_';
  }
  if (name.size() > kMaxName) name = name.substr(0, kMaxName - 9) + "_" + sha256_hex(name).substr(0, 8);
  return name;
}

// What a provider need not know.
Value shown_schema(const Value& schema) {
  if (schema.is_list()) {
    Value::List out;
    for (const Value& item : schema.as_list()) out.push_back(shown_schema(item));
    return out;
  }
  if (!schema.is_map()) return schema;
  Value::Map out;
  for (const auto& [key, value] : schema.as_map()) {
    if (key != "x-mcp-header" && key != "$schema") out.emplace_back(key, shown_schema(value));
  }
  return out;
}

bool wants(const McpServer& server, const std::string& tool) {
  return server.tools.empty() ||
         std::find(server.tools.begin(), server.tools.end(), tool) != server.tools.end();
}

}  // namespace

Status McpTools::start(Server& server) {
  std::unique_ptr<McpTransport> transport;
  if (server.spec.command.empty()) {
    transport = std::make_unique<McpHttp>(web_, server.spec);
  } else {
    EZ_ASSIGN(transport, McpStdio::start(attempt_, server.spec));
  }
  auto client = std::make_unique<McpClient>(std::move(transport), server.spec, "1");
  EZ_TRY(client->connect(&attempt_.cancel()));
  server.client = std::move(client);
  return {};
}

Status McpTools::add_to(ToolBox& box, const Value& json) {
  EZ_ASSIGN(std::vector<McpServer> specs, parse_mcp_servers(json));
  for (McpServer& spec : specs) {
    servers_.push_back(std::make_unique<Server>());
    Server& server = *servers_.back();
    server.spec = std::move(spec);
    EZ_TRY(start(server));
    std::vector<std::string> refused;
    EZ_ASSIGN(const std::vector<McpTool> tools, server.client->list_tools(&attempt_.cancel(), refused));
    for (const std::string& each : refused)
      attempt_.log().note("MCP server " + server.spec.name + " leaves out " + each);
    std::size_t added = 0;
    for (const McpTool& tool : tools) {
      if (!wants(server.spec, tool.name)) continue;
      const Status taken = box.add_unchecked(
          tool_name(server.spec.name, tool.name), tool.description, shown_schema(tool.input_schema),
          [this, &server, tool](const Value& input) { return call(server, tool, input); });
      if (taken.ok()) ++added;
      if (!taken.ok()) attempt_.log().note("MCP server " + server.spec.name + ": " + taken.error().message());
    }
    for (const std::string& name : server.spec.tools) {
      const auto same = [&](const McpTool& tool) { return tool.name == name; };
      if (std::none_of(tools.begin(), tools.end(), same))
        return Error(Code::McpFailed, "the MCP server " + server.spec.name + " has no tool " + name);
    }
    attempt_.log().note("MCP server " + server.spec.name + " (" + server.client->version() +
                        "): " + std::to_string(added) + " tools");
  }
  return {};
}

ToolAnswer McpTools::call(Server& server, const McpTool& tool, const Value& arguments) {
  const auto failed = [](const Error& error) {
    ToolAnswer answer = tool_error(std::string(error.name()) + ": " + error.message());
    if (error.code() == Code::TaskCancelled) answer.fatal = error;
    return answer;
  };
  if (server.client == nullptr) {
    if (Status started = start(server); !started.ok()) return failed(started.error());
  }
  auto result = server.client->call_tool(tool, arguments, &attempt_.cancel());
  if (!result.ok()) {
    if (!server.client->is_alive() && server.restarts < kMcpRestarts) {
      ++server.restarts;
      server.client->close();
      server.client.reset();  // the next call starts it again
    }
    return failed(result.error());
  }
  ToolAnswer answer{shortened(result->text, kMaxReadBytes), result->is_error, std::nullopt};
  if (answer.text.empty()) answer.text = "(no output)";
  return answer;
}

void McpTools::close() {
  for (const std::unique_ptr<Server>& server : servers_) {
    if (server->client == nullptr) continue;
    server->client->close();
    server->client.reset();
  }
}

}  // namespace ez::agents
