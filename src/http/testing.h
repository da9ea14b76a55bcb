// What the tests of this folder share: a server with a few routes, and a client that writes raw bytes.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/client.h"
#include "http/parser.h"
#include "http/server.h"

namespace ez::http::testing {

inline constexpr const char* kToken = "the-token";

// Long enough for any machine; a test that reaches it has failed.
inline constexpr int kPatienceMs = 20'000;

// Something that happens on another thread.
class Signal {
 public:
  void raise() {
    std::lock_guard lock(mutex_);
    raised_ = true;
    changed_.notify_all();
  }
  [[nodiscard]] bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::milliseconds(kPatienceMs), [&] { return raised_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool raised_ = false;
};

// Hands values from the I/O thread to the test.
template <typename T>
class Handover {
 public:
  void put(T value) {
    std::lock_guard lock(mutex_);
    values_.push_back(std::move(value));
    changed_.notify_all();
  }
  [[nodiscard]] T take() {
    std::unique_lock lock(mutex_);
    const bool there =
        changed_.wait_for(lock, std::chrono::milliseconds(kPatienceMs), [&] { return !values_.empty(); });
    EXPECT_TRUE(there) << "nothing was handed over";
    T value = std::move(values_.front());
    values_.erase(values_.begin());
    return value;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<T> values_;
};

struct RawAnswer {
  int status = 0;
  Headers headers;
  std::string body;
  bool keep_alive = false;
  [[nodiscard]] std::string header(std::string_view name) const {
    return std::string(headers.find(name).value_or(""));
  }
};

// A socket that sends exactly what the test says.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~RawClient() { close(); }
  RawClient(RawClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), pending_(std::move(other.pending_)) {}
  RawClient& operator=(RawClient&&) = delete;

  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void half_close() { ::shutdown(fd_, SHUT_WR); }
  // False when the server has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  // One whole answer, or nullopt when the connection ends before it (or patience does).
  [[nodiscard]] std::optional<RawAnswer> receive(bool to_head = false) {
    Parser parser(Parser::Kind::kResponse);
    parser.reset(to_head);
    Collector body;
    for (;;) {
      while (!parser.done()) {
        const auto used = parser.feed(pending_, &body);
        if (!used.ok()) {
          ADD_FAILURE() << used.error().to_string() << "\n" << pending_;
          return std::nullopt;
        }
        pending_.erase(0, *used);
        if (*used == 0) break;
      }
      if (!parser.done() && !read_more()) {
        if (!parser.started() || !parser.finish().ok()) return std::nullopt;
      }
      if (!parser.done()) continue;
      RawAnswer answer;
      answer.status = parser.head().status;
      answer.headers = parser.head().headers;
      answer.keep_alive = parser.head().keep_alive;
      answer.body = body.text;
      return answer;
    }
  }
  // Reads until `text` has come; returns everything so far.
  [[nodiscard]] std::string receive_until(std::string_view text) {
    while (pending_.find(text) == std::string::npos) {
      if (!read_more()) {
        ADD_FAILURE() << "the connection ended before '" << text << "' came: " << pending_;
        return pending_;
      }
    }
    return pending_;
  }
  // True when the server closes without another byte.
  [[nodiscard]] bool at_end() {
    if (!pending_.empty()) return false;
    return !read_more() && !patience_over_;
  }

 private:
  struct Collector final : BodySink {
    Status body(std::string_view piece) override {
      text.append(piece);
      return {};
    }
    std::string text;
  };
  bool read_more() {
    pollfd watched{fd_, POLLIN, 0};
    if (::poll(&watched, 1, kPatienceMs) <= 0) {
      patience_over_ = true;
      ADD_FAILURE() << "the server says nothing";
      return false;
    }
    char buffer[16 * 1024];
    const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
    if (n <= 0) return false;
    pending_.append(buffer, static_cast<std::size_t>(n));
    return true;
  }
  int fd_;
  std::string pending_;
  bool patience_over_ = false;
};

inline std::string raw_request(std::string_view method, std::string_view target,
                               std::string_view more_headers = "", std::string_view body = "") {
  std::string out(method);
  out.append(" ")
      .append(target)
      .append(" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ")
      .append(kToken);
  out.append("\r\n").append(more_headers);
  if (!body.empty()) out.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
  return out.append("\r\n").append(body);
}

inline Route route(Method method, std::string pattern, Handler handler,
                   std::optional<security::Permission> permission = security::Permission::kRunRead) {
  Route out;
  out.method = method;
  out.pattern = std::move(pattern);
  out.permission = permission;
  out.handler = std::move(handler);
  return out;
}

inline Gate open_gate() { return Gate(std::make_shared<security::TokenAuthenticator>(kToken), {}); }

// A running server on a free port. Add routes before start().
class TestServer {
 public:
  TestServer() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ez-http-XXXXXX").string();
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    options.upload_dir = pattern;
    router.add(route(Method::kPost, "/v1/echo", [](Request& request, Responder responder) {
      responder.json(200, std::move(request.body));
    }));
    router.add(route(Method::kGet, "/v1/hello/{name}", [](Request& request, Responder responder) {
      responder.bytes(200, "text/plain", "hello " + request.parameter("name"));
    }));
    router.add(route(
        Method::kGet, "/healthz", [](Request&, Responder responder) { responder.json(200, "{}"); },
        std::nullopt));
  }
  ~TestServer() {
    server.reset();
    std::filesystem::remove_all(options.upload_dir);
  }
  void start() {
    auto started = Server::start(options, std::move(router), open_gate());
    ASSERT_TRUE(started.ok()) << started.error().to_string();
    server = std::move(*started);
  }
  [[nodiscard]] RawClient connect() const { return RawClient(server->port()); }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(server->port()); }
  [[nodiscard]] std::unique_ptr<Client> client(ClientOptions client_options = {}) const {
    client_options.server = url();
    if (client_options.token.empty()) client_options.token = kToken;
    auto made = Client::create(std::move(client_options));
    EXPECT_TRUE(made.ok());
    return std::move(*made);
  }

  ServerOptions options;
  Router router;
  std::unique_ptr<Server> server;
};

}  // namespace ez::http::testing
