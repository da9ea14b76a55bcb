// HTTP as this room needs it: one call to an absolute address, answered whole or piece by piece. app/
// implements it over http::Client; the room itself speaks no protocol over sockets.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agents/process.h"
#include "base/result.h"

namespace ez::agents {

struct WebRequest {
  std::string method = "POST";
  std::string url;  // http://host[:port]/path
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string content_type = "application/json";    // sent when there is a body
  std::chrono::milliseconds timeout{30'000};        // until the head of the answer is here
  std::chrono::milliseconds idle_timeout{120'000};  // the longest silence after that
  // Gets the body of an answer below 400 as it comes, on the calling thread; false ends the call, which then
  // succeeds.
  std::function<bool(std::string_view piece)> sink;
  std::size_t max_answer_bytes = 4 * 1024 * 1024;  // of a body that does not go to the sink
  const CancelToken* cancel = nullptr;             // outlives the call
};

struct WebAnswer {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;  // what did not go to the sink
  // The first of that name, in any case.
  [[nodiscard]] std::optional<std::string> header(std::string_view name) const;
};

class WebPort {
 public:
  virtual ~WebPort() = default;
  // Any thread; blocks. Every status is an answer. Errors: SERVER_UNREACHABLE (no connection, or it broke
  // before the answer was whole), OUTCOME_UNKNOWN (the same after a POST had left), CALL_CANCELLED,
  // PAYLOAD_TOO_LARGE, INVALID_ARGUMENT (the address).
  [[nodiscard]] virtual Result<WebAnswer> send(const WebRequest& request) = 0;
};

}  // namespace ez::agents
