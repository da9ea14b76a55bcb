// Client: blocking HTTP/1.1 calls to one server, for the CLI and the worker. Keeps connections and uses them
// again.
//
// Threads. All methods from any thread; each call blocks its own thread only.
//
// Flow control. At most max_connections calls at a time; one more is refused with OVERLOADED instead of
// waiting unseen.
//
// Failures. SERVER_UNREACHABLE: no connection, or it broke or took too long and the request may be sent again
// as it is (GET, HEAD, PUT, DELETE). OUTCOME_UNKNOWN: the same after a POST or PATCH had begun to leave: the
// server may or may not have done it. CALL_CANCELLED. PAYLOAD_TOO_LARGE: the answer is longer than was
// allowed. An answer of 400 and more becomes the Error that its problem document describes.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "http/message.h"

namespace ez::http {

// Breaks off what waits for it, now and ever after. Any thread.
class Cancellation {
 public:
  Cancellation();
  ~Cancellation();
  Cancellation(const Cancellation&) = delete;
  Cancellation& operator=(const Cancellation&) = delete;
  void cancel();
  [[nodiscard]] bool cancelled() const { return cancelled_.load(); }
  // True when cancelled, false when the time is over first.
  [[nodiscard]] bool wait_for(std::chrono::milliseconds duration) const;
  [[nodiscard]] int descriptor() const { return fd_; }  // becomes readable with cancel()

 private:
  const int fd_;
  std::atomic<bool> cancelled_{false};
};

struct ClientOptions {
  std::string server = "http://127.0.0.1:7878";
  std::string token;  // sent as a bearer token; empty: none
  std::chrono::milliseconds connect_timeout{3'000};
  std::chrono::milliseconds keep_idle{
      30'000};  // shorter than the server's idle_timeout, so that reuse seldom fails
  std::size_t max_connections = 16;
  std::string user_agent = "ez";
};

struct ClientRequest {
  Method method = Method::kGet;
  std::string target;  // "/v1/runs?limit=10", encoded
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string content_type = "application/json";   // sent when there is a body
  std::optional<std::filesystem::path> body_file;  // sent instead of body, read piece by piece
  // Until the whole answer is here; a long-poll adds its wait. With idle_timeout: until the head of the
  // answer.
  std::chrono::milliseconds timeout{30'000};
  // Set for streams: the longest silence between two pieces of the answer, instead of an end of the whole.
  std::optional<std::chrono::milliseconds> idle_timeout;
  // Gets the body of an answer below 400 as it comes, on the calling thread; false ends the call (which then
  // succeeds).
  std::function<bool(std::string_view piece)> sink;
  std::size_t max_answer_bytes = 64 * 1024 * 1024;  // of a body without a sink
  const Cancellation* cancellation = nullptr;       // besides the client's own; outlives the call
  int cancel_descriptor = -1;  // the same for a descriptor that becomes readable; not read from
  // Answers of 400 and more are answers, not errors: for servers that do not speak problem documents.
  bool any_status = false;
};

struct ClientAnswer {
  int status = 0;
  Headers headers;
  std::string body;
};

class Client {
 public:
  // Does not connect. Errors: INVALID_ARGUMENT (the address, or a token with control characters).
  [[nodiscard]] static Result<std::unique_ptr<Client>> create(ClientOptions options);
  ~Client();  // no call may be under way

  [[nodiscard]] Result<ClientAnswer> send(const ClientRequest& request);

  // Shorter forms.
  [[nodiscard]] Result<ClientAnswer> get(std::string target);
  [[nodiscard]] Result<ClientAnswer> post(std::string target, std::string json);

  // Breaks off all calls under way and refuses all later ones with CALL_CANCELLED.
  void cancel();
  [[nodiscard]] const Cancellation& cancellation() const;

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ez::http
