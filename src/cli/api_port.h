// The server as the commands see it: calls with JSON, files, text and event streams. app/ implements it over
// HTTP, tests implement it in memory.
//
// Targets are paths with their query, already encoded ("/v1/runs?limit=10"). Errors are those that the
// server's problem document names, and those of the way there: SERVER_UNREACHABLE, OUTCOME_UNKNOWN,
// CALL_CANCELLED.
//
// Threads: every method from any thread; each call blocks its own thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/value.h"

namespace ez::cli {

struct ApiEvent {
  std::string id;
  std::string name;
  std::string data;
};

class Api {
 public:
  using Sink = std::function<bool(std::string_view)>;  // false ends the call, which then succeeds
  virtual ~Api() = default;

  [[nodiscard]] virtual Result<Value> get(const std::string& target) = 0;
  [[nodiscard]] virtual Result<Value> post(const std::string& target, const Value& body) = 0;
  [[nodiscard]] virtual Result<Value> remove(const std::string& target) = 0;
  // Sends the bytes of a file with PUT.
  [[nodiscard]] virtual Status put_file(const std::string& target, const std::string& path) = 0;
  // The body of the answer, piece by piece.
  [[nodiscard]] virtual Status download(const std::string& target, const Sink& sink) = 0;
  // Follows an event stream and comes back after interruptions; ends well when `on_event` returns false or
  // the server says that there is nothing more.
  [[nodiscard]] virtual Status stream(const std::string& target, const std::string& last_id,
                                      const std::function<bool(const ApiEvent&)>& on_event) = 0;
  // Breaks off all calls, now and later, with CALL_CANCELLED.
  virtual void cancel() = 0;
};

}  // namespace ez::cli
