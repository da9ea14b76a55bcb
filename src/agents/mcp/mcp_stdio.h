// An MCP server as a process in the sandbox of the attempt: JSON-RPC messages, one a line, over its standard
// input and output. What it writes to its standard error goes to the task's log, bounded.
//
// End: its standard input is closed, then SIGTERM to all its processes, two seconds, SIGKILL. It never
// outlives the transport, nor the worker (the sandbox's own promise).
//
// Threads: one of its own runs the sandbox; the calls come from the attempt's thread.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "agents/attempt.h"
#include "agents/mcp/mcp_server.h"
#include "agents/mcp/mcp_transport.h"

namespace ez::agents {

inline constexpr std::size_t kMaxMcpErrorText = 64 * 1024;      // of standard error, in the log
inline constexpr std::chrono::milliseconds kMcpGoodbye{2'000};  // after its input was closed

class McpStdio final : public McpTransport {
 public:
  // Starts it. The attempt outlives the transport. MCP_FAILED, IO_FAILED.
  [[nodiscard]] static Result<std::unique_ptr<McpTransport>> start(Attempt& attempt, const McpServer& server);
  ~McpStdio() override { close(); }

  [[nodiscard]] Result<Value> call(const McpCall& call) override;
  [[nodiscard]] Status notify(const McpCall& call) override;
  [[nodiscard]] bool is_http() const override { return false; }
  [[nodiscard]] bool is_alive() const override;
  void close() override;

 private:
  McpStdio(Attempt& attempt, std::string name, UniqueFd input, UniqueFd news);
  void run(SandboxSpec spec, UniqueFd child_input);
  void take_output(std::string_view bytes);
  void take_line(const std::string& line);
  void take_errors(std::string_view bytes);
  [[nodiscard]] Status write(const std::string& line, std::chrono::steady_clock::time_point until,
                             const CancelToken* cancel);
  void tell();  // who waits for a response
  [[nodiscard]] Error ended_error() const;

  Attempt& attempt_;
  const std::string name_;
  UniqueFd input_;  // of the server
  UniqueFd news_;   // an eventfd: a response is here, or the server has ended
  CancelToken stop_;
  std::mutex writing_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string partial_;          // of a line; the sandbox's thread only
  std::string error_line_;       // the same
  std::size_t error_bytes_ = 0;  // the same
  std::string waited_id_;        // as JSON; empty: none
  std::optional<Value> response_;
  std::optional<Error> broken_;  // why it is of no use any more
  bool ended_ = false;
  std::string last_words_;  // of standard error
  std::thread thread_;
};

}  // namespace ez::agents
