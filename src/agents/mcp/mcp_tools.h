// The MCP servers of one attempt as tools of its model: mcp__<server>__<tool>.
//
// A server is started when the attempt begins and ended before `verify` runs; when the model goes on after a
// failed check, it is started again with the first call. A server that ends by itself is answered to the
// model and started again, kMcpRestarts times. Threads: the attempt's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agents/attempt.h"
#include "agents/llm/tool_box.h"
#include "agents/mcp/mcp_client.h"
#include "agents/web_port.h"

namespace ez::agents {

class McpTools {
 public:
  McpTools(Attempt& attempt, WebPort& web) : attempt_(attempt), web_(web) {}
  ~McpTools() { close(); }
  McpTools(const McpTools&) = delete;
  McpTools& operator=(const McpTools&) = delete;

  // Starts the servers and adds their tools. This object outlives the box. REQUEST_INVALID, MCP_FAILED,
  // TASK_CANCELLED.
  [[nodiscard]] Status add_to(ToolBox& box, const Value& servers);
  // Ends all servers; blocks until nothing of them is alive.
  void close();

 private:
  struct Server {
    McpServer spec;
    std::unique_ptr<McpClient> client;  // null: not running
    int restarts = 0;
  };
  [[nodiscard]] Status start(Server& server);
  [[nodiscard]] ToolAnswer call(Server& server, const McpTool& tool, const Value& arguments);

  Attempt& attempt_;
  WebPort& web_;
  std::vector<std::unique_ptr<Server>> servers_;
};

}  // namespace ez::agents
