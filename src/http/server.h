// Server: HTTP/1.1 over TCP. Few threads, many connections: an idle or waiting connection costs about 1 KiB
// here.
//
// Threads. `io_threads` loops, each with its own connections; handlers run on them. All methods from any
// thread.
//
// Flow control. At most max_connections; more are told SERVER_BUSY and closed. One request of a connection is
// under way at a time; what a client sends ahead waits in at most 64 KiB here and then in its own kernel.
// Answers wait in memory only as far as the client is slow, and a client that takes nothing for write_timeout
// is dropped.
//
// Failures. Bad input is answered with a problem document and, when the rest of the stream cannot be trusted,
// the connection is closed. Nothing that a client sends ends or blocks the server.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "http/gate.h"
#include "http/router.h"

namespace ez::http {

// One answered request, for logs and metrics.
struct Access {
  Method method = Method::kOther;
  std::string_view route;  // the pattern; empty when none matched
  std::string_view request_id;
  int status = 0;
  std::int64_t duration_us =
      0;  // from the complete request to the first byte of the answer given to the kernel
};

struct ServerOptions {
  std::string address = "127.0.0.1";  // an IPv4 or IPv6 address to bind to
  std::uint16_t port = 0;             // 0: any free one
  int io_threads = 1;
  std::size_t max_connections = 12'000;
  std::size_t max_stream_bytes = 128 * 1024 * 1024;  // waiting for slow readers of all streams together
  int backlog = 1024;
  std::filesystem::path upload_dir;  // for BodyMode::kFile; must exist, on the file system where files end up
  std::chrono::milliseconds idle_timeout{75'000};   // between requests
  std::chrono::milliseconds head_timeout{10'000};   // from the first byte of a request to the end of its head
  std::chrono::milliseconds body_timeout{30'000};   // for every 64 KiB of a body
  std::chrono::milliseconds write_timeout{30'000};  // for every 16 KiB of an answer
  std::chrono::milliseconds linger_timeout{2'000};  // for the client to read the last answer before the close
  std::chrono::milliseconds heartbeat{15'000};      // see StreamOptions::heartbeat
  std::function<void(const Access&)>
      on_access;  // I/O thread, must not block; views are valid during the call
};

struct ServerFigures {
  std::uint64_t connections = 0;  // open now
  std::uint64_t accepted = 0, refused = 0, requests = 0;
};

class Server {
 public:
  // Binds and starts. Errors: ADDRESS_IN_USE, INVALID_ARGUMENT (the address), IO_FAILED.
  [[nodiscard]] static Result<std::unique_ptr<Server>> start(ServerOptions options, Router router, Gate gate);
  ~Server();  // stop() without grace

  [[nodiscard]] std::uint16_t port() const;  // the real one
  [[nodiscard]] ServerFigures figures() const;
  [[nodiscard]] const Router& router() const;

  // Stops accepting, closes idle connections, ends streams, tells waiting long-polls SHUTTING_DOWN, lets the
  // other requests finish for at most `grace`, then answers SHUTTING_DOWN for them and closes. Returns when
  // all threads have ended. Responders that are still held may be completed or dropped at any later time.
  void stop(std::chrono::milliseconds grace);

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ez::http
