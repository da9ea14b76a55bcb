// How JSON-RPC messages reach an MCP server and come back. One call at a time.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "agents/process.h"
#include "base/result.h"
#include "base/value.h"

namespace ez::agents {

// Inside this folder only: McpClient turns both into MCP_FAILED.
inline constexpr Code kMcpTimedOut = Code::RequestTimeout;
inline constexpr Code kMcpRefused = Code::Rejected;  // HTTP: 400 and more without a JSON-RPC error

struct McpCall {
  Value message;  // a request with an id
  std::chrono::milliseconds timeout{60'000};
  const CancelToken* cancel = nullptr;
  // Of HTTP only: what the protocol wants besides the message.
  std::vector<std::pair<std::string, std::string>> headers;
};

// What a server asked of us: nothing that we offer, except an answer to ping.
[[nodiscard]] Value answer_to_server(const Value& request);

class McpTransport {
 public:
  virtual ~McpTransport() = default;
  // The response with the id of the message, as it is (`result` or `error`). Notifications are read over.
  // Errors: MCP_FAILED (the server ended, broke off, sent nonsense or too much), kMcpTimedOut, kMcpRefused,
  // TASK_CANCELLED.
  [[nodiscard]] virtual Result<Value> call(const McpCall& call) = 0;
  // A notification: no answer is waited for.
  [[nodiscard]] virtual Status notify(const McpCall& call) = 0;
  // stdio: a probe that goes unanswered says nothing about the server's health.
  [[nodiscard]] virtual bool is_http() const = 0;
  // False: it has ended, and every later call fails.
  [[nodiscard]] virtual bool is_alive() const = 0;
  // Ends what is open; blocks until nothing of it is alive. Idempotent.
  virtual void close() = 0;
};

}  // namespace ez::agents
