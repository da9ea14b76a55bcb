#include "agents/mcp/mcp_server.h"

namespace ez::agents {
namespace {

Error wrong(const std::string& name, std::string_view what) {
  return Error(Code::RequestInvalid, "mcp." + name + " " + std::string(what));
}

Result<std::vector<std::string>> texts(const std::string& name, const Value& list, std::string_view key) {
  std::vector<std::string> out;
  if (!list.is_list()) return wrong(name, std::string(key) + " must be a list");
  for (const Value& item : list.as_list()) {
    if (!item.is_string()) return wrong(name, std::string(key) + " must be a list of texts");
    out.push_back(item.as_string());
  }
  return out;
}

Result<std::vector<std::pair<std::string, std::string>>> pairs(const std::string& name, const Value& map,
                                                               std::string_view key) {
  std::vector<std::pair<std::string, std::string>> out;
  if (!map.is_map()) return wrong(name, std::string(key) + " must be a map");
  for (const auto& [member, value] : map.as_map()) {
    if (!value.is_string()) return wrong(name, std::string(key) + " must be a map of texts");
    out.emplace_back(member, value.as_string());
  }
  return out;
}

}  // namespace

Result<std::vector<McpServer>> parse_mcp_servers(const Value& json) {
  std::vector<McpServer> servers;
  if (json.is_null()) return servers;
  if (!json.is_map()) return Error(Code::RequestInvalid, "mcp must be a map");
  if (json.as_map().size() > kMaxMcpServers) return Error(Code::RequestInvalid, "mcp has too many servers");
  for (const auto& [name, value] : json.as_map()) {
    McpServer server;
    server.name = name;
    if (const Value* command = value.find("command")) {
      EZ_ASSIGN(server.command, texts(name, *command, "command"));
    }
    if (const Value* environment = value.find("env")) {
      EZ_ASSIGN(server.environment, pairs(name, *environment, "env"));
    }
    if (const Value* headers = value.find("headers")) {
      EZ_ASSIGN(server.headers, pairs(name, *headers, "headers"));
    }
    if (const Value* tools = value.find("tools")) {
      EZ_ASSIGN(server.tools, texts(name, *tools, "tools"));
    }
    server.url = value.string_or("url", "");
    server.timeout = std::chrono::milliseconds(value.int_or("timeout_ms", server.timeout.count()));
    if (server.command.empty() == server.url.empty()) return wrong(name, "needs either command or url");
    servers.push_back(std::move(server));
  }
  return servers;
}

}  // namespace ez::agents
