// The client side of the Model Context Protocol, as far as tools need it: the stateless revision 2026-07-28,
// and the older ones with their initialize handshake (2025-11-25 and before). Which one a server speaks is
// found out once, by asking server/discover.
//
// It offers nothing to servers (no sampling, no elicitation, no roots), so that a server has nobody to ask.
// Threads: one call at a time.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agents/mcp/mcp_server.h"
#include "agents/mcp/mcp_transport.h"

namespace ez::agents {

inline constexpr std::string_view kMcpVersion = "2026-07-28";
inline constexpr std::string_view kMcpLegacyVersion = "2025-11-25";

struct McpTool {
  std::string name;
  std::string description;
  Value input_schema;
  // Arguments that HTTP wants as headers too: {path of members, name of the header}.
  std::vector<std::pair<std::vector<std::string>, std::string>> headers;
};

struct McpResult {
  std::string text;  // all content as text; what is no text is named
  bool is_error = false;
};

class McpClient {
 public:
  McpClient(std::unique_ptr<McpTransport> transport, McpServer server, std::string version_of_ez)
      : transport_(std::move(transport)), server_(std::move(server)), ez_version_(std::move(version_of_ez)) {}

  // Finds out what the server speaks. MCP_FAILED, TASK_CANCELLED.
  [[nodiscard]] Status connect(const CancelToken* cancel);
  // After connect(). Tools that cannot be used are left out and named in `refused`.
  [[nodiscard]] Result<std::vector<McpTool>> list_tools(const CancelToken* cancel,
                                                        std::vector<std::string>& refused);
  // A result of the tool, or why there is none: MCP_FAILED (also a JSON-RPC error), TASK_CANCELLED,
  // INVALID_ARGUMENT (the arguments are too large).
  [[nodiscard]] Result<McpResult> call_tool(const McpTool& tool, const Value& arguments,
                                            const CancelToken* cancel);
  [[nodiscard]] bool is_alive() const { return transport_->is_alive(); }
  void close() { transport_->close(); }

  [[nodiscard]] bool is_stateless() const { return stateless_; }
  [[nodiscard]] const std::string& version() const { return version_; }

 private:
  [[nodiscard]] Status discover(const CancelToken* cancel);
  [[nodiscard]] Status initialize(const CancelToken* cancel);
  // `result` of the response. A JSON-RPC error is MCP_FAILED with its code and message, and is kept in
  // `error`.
  [[nodiscard]] Result<Value> request(const std::string& method, Value params,
                                      std::chrono::milliseconds timeout, const CancelToken* cancel,
                                      const McpTool* tool = nullptr, Value* error = nullptr);
  [[nodiscard]] Value client_info() const;

  const std::unique_ptr<McpTransport> transport_;
  const McpServer server_;
  const std::string ez_version_;
  bool stateless_ = true;
  bool initialized_ = false;
  std::string version_{kMcpVersion};
  std::int64_t next_id_ = 1;
};

// The headers that a tool's schema asks for. INVALID_ARGUMENT when one breaks the rules of the protocol: the
// tool may not be used then.
[[nodiscard]] Result<std::vector<std::pair<std::vector<std::string>, std::string>>> mcp_headers(
    const Value& schema);

// A header's value, in the protocol's base64 form when it is not plain ASCII.
[[nodiscard]] std::string mcp_header_value(const std::string& text);

}  // namespace ez::agents
