// An MCP server as a task declares it (`mcp:` of a workflow task), and the limits that hold for all of them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/value.h"

namespace ez::agents {

inline constexpr std::size_t kMaxMcpServers = 16;               // of one task
inline constexpr std::size_t kMaxMcpTools = 256;                // of one server
inline constexpr std::size_t kMaxMcpMessage = 4 * 1024 * 1024;  // one JSON-RPC message, in either direction
inline constexpr std::size_t kMaxMcpDescription = 4 * 1024;     // of a tool, for the model
inline constexpr std::size_t kMaxMcpSchema = 32 * 1024;         // of a tool's input
inline constexpr std::chrono::milliseconds kMcpProbe{5'000};   // for the answer to server/discover over stdio
inline constexpr std::chrono::milliseconds kMcpStart{60'000};  // until the tools are listed
inline constexpr int kMcpRestarts = 2;  // of a server that ended by itself, in one attempt

struct McpServer {
  std::string name;
  std::vector<std::string> command;  // stdio: started in the sandbox; empty: url
  std::vector<std::pair<std::string, std::string>> environment;
  std::string url;  // streamable HTTP
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<std::string> tools;             // only these; empty: all
  std::chrono::milliseconds timeout{60'000};  // of one call
};

// The `mcp` member of a work item. REQUEST_INVALID.
[[nodiscard]] Result<std::vector<McpServer>> parse_mcp_servers(const Value& json);

}  // namespace ez::agents
