// An MCP server over streamable HTTP: each message is a POST; the answer is a JSON object or a stream of
// events that ends with the response. Speaks the stateless revision and the older ones with their session; a
// stream of these that ended too early is taken up again where it ended (Last-Event-ID).
#pragma once

#include <memory>
#include <string>

#include "agents/mcp/mcp_server.h"
#include "agents/mcp/mcp_transport.h"
#include "agents/web_port.h"

namespace ez::agents {

class McpHttp final : public McpTransport {
 public:
  McpHttp(WebPort& web, const McpServer& server) : web_(web), server_(server) {}
  ~McpHttp() override { close(); }

  [[nodiscard]] Result<Value> call(const McpCall& call) override;
  [[nodiscard]] Status notify(const McpCall& call) override;
  [[nodiscard]] bool is_http() const override { return true; }
  [[nodiscard]] bool is_alive() const override { return true; }
  // Ends the session, where the server gave one.
  void close() override;

 private:
  class Listener;
  void take_session(const WebAnswer& answer);
  [[nodiscard]] WebRequest request_of(const McpCall& call, const Value& message) const;
  WebPort& web_;
  const McpServer server_;
  std::string session_;
  std::string session_version_;
};

}  // namespace ez::agents
