// HttpClient: calls to model providers over HTTP/1.1 and HTTP/2, with TLS, streams and many at a time. Hides
// libcurl's multi interface (docs/adr/0028-libcurl-for-model-providers.md).
//
// Threads. One thread of its own waits for all connections and calls every sink; sinks must not block. All
// methods from any thread, also from inside a sink. start() → calls → stop(); a sink whose call has ended is
// let go.
//
// Flow control. At most `max_calls` at a time, further ones end at once with kRefused. A sink that cannot
// take a piece pauses its call: nothing more is read from that connection until resume(). Memory of a call:
// its body, its answer's head (at most max_head_bytes) and one piece of at most 64 KiB.
//
// Connections are kept and used again; libcurl sends a request once more by itself when a kept connection
// turns out to be closed before a byte of the answer came, and only then.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "models/dialect/wire.h"

namespace ez::models {

struct HttpTimeouts {
  std::chrono::milliseconds connect{10'000};      // name, TCP and TLS
  std::chrono::milliseconds first_byte{300'000};  // from the start to the head of the answer
  std::chrono::milliseconds silence{120'000};     // between two pieces of the body
};

struct HttpCall {
  std::string method = "POST";
  std::string url;
  Headers headers;
  std::string body;
  HttpTimeouts timeouts;
};

enum class HttpEnd : std::uint8_t {
  kDone,       // the whole answer was given
  kRefused,    // too many calls, a URL that is none, or the client has stopped
  kNoConnect,  // no connection: nothing of the request was sent
  kFirstByte,  // no answer in time
  kSilence,    // the answer stopped coming
  kCut,        // the connection broke, or what came is no HTTP
  kCancelled,  // cancel() or stop()
};

// Gets one call's answer: head once, body in pieces, then the end, which always comes and comes last.
class HttpSink {
 public:
  virtual ~HttpSink() = default;
  virtual void head(int status, Headers headers) = 0;
  // False: no room now. The bytes are given again after resume(), perhaps with those that came meanwhile.
  [[nodiscard]] virtual bool body(std::string_view bytes) = 0;
  // `detail` is for logs: it names no header and no key.
  virtual void ended(HttpEnd end, const std::string& detail) = 0;
};

struct HttpClientOptions {
  std::size_t max_calls = 4096;
  std::size_t max_kept_connections = 512;
  std::size_t max_head_bytes = 64 * 1024;
  std::string ca_file;  // empty: those of the system
  std::string user_agent = "ez";
};

class HttpClient {
 public:
  using CallId = std::uint64_t;
  using Task = std::function<void()>;

  // Errors: INTERNAL (libcurl does not start), IO_FAILED (no descriptors).
  [[nodiscard]] static Result<std::unique_ptr<HttpClient>> start(HttpClientOptions options);
  ~HttpClient();  // stop()

  CallId call(HttpCall call, std::shared_ptr<HttpSink> sink);
  void cancel(CallId id);
  void resume(CallId id);
  // Runs the task on the client's thread; false when it has stopped (the task is dropped).
  bool post(Task task);
  // The same after a while. At most max_calls wait; further ones run at once.
  bool post_after(std::chrono::milliseconds delay, Task task);
  [[nodiscard]] bool on_thread() const;
  [[nodiscard]] std::size_t open_calls() const;

  // Ends every call with kCancelled and the thread. Idempotent.
  void stop();

 private:
  struct Impl;
  explicit HttpClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ez::models
