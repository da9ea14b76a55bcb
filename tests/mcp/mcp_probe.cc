// The MCP client as a program, for the conformance suite: connects to the server of its last argument, lists
// the tools, and calls those that its scenarios are about. Prints what it saw; status 0 when all went well.
#include <iostream>

#include "agents/mcp/mcp_client.h"
#include "agents/mcp/mcp_http.h"
#include "app/web_over_http.h"

namespace ez {
namespace {

Status probe(const std::string& url) {
  const auto web = app::web_over_http("mcp-probe", 4);
  agents::McpServer server;
  server.name = "probed";
  server.url = url;
  agents::McpClient client(std::make_unique<agents::McpHttp>(*web, server), server, "1");
  EZ_TRY(client.connect(nullptr));
  std::cout << "revision " << client.version() << "\n";
  std::vector<std::string> refused;
  EZ_ASSIGN(const std::vector<agents::McpTool> tools, client.list_tools(nullptr, refused));
  for (const agents::McpTool& tool : tools) {
    std::cout << "tool " << tool.name << "\n";
    if (tool.name != "add_numbers" && tool.name != "test_reconnection") continue;
    EZ_ASSIGN(const agents::McpResult result,
              client.call_tool(tool, Value(Value::Map{{"a", 5}, {"b", 3}}), nullptr));
    std::cout << result.text << "\n";
  }
  client.close();
  return {};
}

}  // namespace
}  // namespace ez

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const ez::Status done = ez::probe(argv[argc - 1]);
  if (!done.ok()) std::cerr << done.error().to_string() << "\n";
  return done.ok() ? 0 : 1;
}
