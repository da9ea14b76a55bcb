#include "app/flow_load.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/api_over_http.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/json_text.h"
#include "base/thread_turns.h"
#include "http/client.h"
#include "http/parser.h"
#include "http/problem.h"
#include "http/url.h"

namespace ez::app {
namespace {

constexpr std::int64_t kCapacity = 256;  // tasks that one agent takes at once
constexpr std::int64_t kStarters = 64;   // clients that start runs, each one at a time
constexpr std::size_t kReadBytes = 256 * 1024;
constexpr int kPatienceMs = 60'000;
constexpr JsonLimits kAnswers{64 * 1024 * 1024, 64, 10'000'000};

class FlowLoad {
 public:
  explicit FlowLoad(const cli::BenchFlowOptions& options)
      : options_(options), runs_(static_cast<std::size_t>(options.workflows)), room_(options.window) {}
  ~FlowLoad() {
    if (epoll_ >= 0) ::close(epoll_);
  }

  Result<cli::BenchFlowFigures> run() {
    EZ_TRY(open());
    for (std::int64_t i = 0; i < options_.agents; ++i) EZ_TRY(register_agent(*connections_[to_index(i)], i));
    std::array<epoll_event, 256> events{};
    while (finished_ < options_.workflows) {
      const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), kPatienceMs);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return Error(Code::ServerUnreachable, "the server does not answer any more");
      for (int i = 0; i < count; ++i) {
        Connection& connection = *static_cast<Connection*>(events[to_index(i)].data.ptr);
        if ((events[to_index(i)].events & EPOLLOUT) != 0) EZ_TRY(flush(connection));
        if ((events[to_index(i)].events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0)
          EZ_TRY(receive(connection));
      }
    }
    figures_.duration_us = std::max<std::int64_t>(1, end_us_ - begin_us_);
    return std::move(figures_);
  }

 private:
  enum Stage : std::size_t { kSecurity, kObservability, kQueues, kOrchestration };
  struct Run {
    std::int64_t start_us = 0;
    std::array<std::int64_t, 4> sent_us{};  // when the result of that task was sent
  };

  struct Connection final : http::BodySink {
    ~Connection() override {
      if (fd >= 0) ::close(fd);
    }
    Status body(std::string_view piece) override {
      answer.append(piece);
      return {};
    }
    int fd = -1;
    http::Parser parser{http::Parser::Kind::kResponse};
    std::string unread;  // of a head that is not whole
    std::string answer;
    std::string unsent;
    bool blocked = false;  // the socket did not take all of it
    bool starter = false;
    std::string agent;                 // its id, once it is registered
    std::vector<std::int64_t> ending;  // runs whose last result is in the request under way
  };

  template <typename Integer>
  static std::size_t to_index(Integer number) {
    return static_cast<std::size_t>(number);
  }
  static std::int64_t now() { return system_clock().monotonic_us(); }

  Status open() {
    EZ_ASSIGN(const http::ClientOptions client, client_options(options_.endpoint));
    EZ_ASSIGN(address_, http::parse_server_address(client.server));
    head_ = " HTTP/1.1\r\nHost: " + address_.authority() + "\r\n";
    if (!client.token.empty()) head_ += "Authorization: Bearer " + client.token + "\r\n";
    head_ += "Content-Type: application/json\r\nContent-Length: ";
    if (!options_.endpoint.name_space.empty()) query_ = "?namespace=" + options_.endpoint.name_space;
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) return system_error(Code::IoFailed, Code::IoFailed, "epoll", errno);
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int failed =
            ::getaddrinfo(address_.host.c_str(), std::to_string(address_.port).c_str(), &hints, &found);
        failed != 0) {
      return Error(Code::ServerUnreachable, address_.host + ": " + ::gai_strerror(failed));
    }
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
    const std::int64_t starters = std::min(kStarters, options_.window);
    for (std::int64_t i = 0; i < options_.agents + starters; ++i) {
      EZ_TRY(connect(*addresses));
      connections_.back()->starter = i >= options_.agents;
    }
    return {};
  }

  Status connect(const addrinfo& address) {
    auto connection = std::make_unique<Connection>();
    connection->fd = ::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 || ::connect(connection->fd, address.ai_addr, address.ai_addrlen) != 0) {
      return system_error(Code::ServerUnreachable, Code::ServerUnreachable, "connect", errno);
    }
    const int one = 1;
    (void)::setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = connection.get();
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection->fd, &event) != 0) {
      return system_error(Code::IoFailed, Code::IoFailed, "watch a connection", errno);
    }
    connections_.push_back(std::move(connection));
    return {};
  }

  // ---- requests ----

  Status register_agent(Connection& connection, std::int64_t number) {
    std::string body;
    JsonText(body)
        .begin('{')
        .key("name")
        .text("bench-" + std::to_string(::getpid()) + "-" + std::to_string(number))
        .key("type")
        .text("bench")
        .key("capacity")
        .number(kCapacity)
        .end('}');
    return post(connection, "/v1/agents", body);
  }

  Status start_runs(Connection& connection) {
    if (next_ >= options_.workflows) return {};
    // At most `window` runs are under way: the next one waits until an earlier one has ended.
    if (room_ == 0) {
      waiting_.push_back(&connection);
      return {};
    }
    --room_;
    const std::int64_t n = next_++;
    std::string body;
    JsonText(body)
        .begin('{')
        .key("workflow")
        .text("bench-flow")
        .key("inputs")
        .begin('{')
        .key("n")
        .number(n)
        .end('}')
        .end('}');
    runs_[to_index(n)].start_us = now();
    return post(connection, "/v1/runs", body);
  }

  static Stage stage_of(std::string_view task) {
    if (task == "security") return kSecurity;
    if (task == "observability") return kObservability;
    return task == "queues" ? kQueues : kOrchestration;
  }

  // Does the tasks of the answer and asks for the next ones.
  Status work(Connection& connection, const Value& answer, std::int64_t received) {
    std::string body;
    JsonText json(body);
    json.begin('{').key("agent").text(connection.agent).key("want").number(kCapacity);
    json.key("wait_ms").number(options_.wait_ms).key("results").begin('[');
    const Value* tasks = answer.find("tasks");
    static const Value::List kNone;
    for (const Value& item : tasks != nullptr && tasks->is_list() ? tasks->as_list() : kNone) {
      const Value* inputs = item.find("inputs");
      const std::int64_t n = inputs == nullptr ? -1 : inputs->int_or("n", -1);
      if (n < 0 || n >= options_.workflows) continue;
      Run& run = runs_[to_index(n)];
      const std::string_view task = item.string_or("task", "");
      const Stage stage = stage_of(task);
      std::int64_t ready = run.start_us;
      if (stage == kQueues) ready = run.sent_us[kSecurity];
      if (stage == kOrchestration) ready = std::max(run.sent_us[kQueues], run.sent_us[kObservability]);
      figures_.assign_us.push_back(received - ready);
      run.sent_us[stage] = now();
      if (stage == kOrchestration) connection.ending.push_back(n);
      json.begin('{').key("run").text(item.string_or("run", "")).key("task").text(task);
      json.key("attempt").number(item.int_or("attempt", 1)).key("fence").number(item.int_or("fence", 0));
      json.key("kind").text("execute").key("outcome").text("succeeded").end('}');
    }
    json.end(']').end('}');
    return post(connection, "/v1/work", body);
  }

  Status post(Connection& connection, std::string_view target, std::string_view body) {
    std::string out("POST ");
    out.append(target).append(query_).append(head_).append(std::to_string(body.size())).append("\r\n\r\n");
    out.append(body);
    connection.parser.reset();
    connection.answer.clear();
    return send(connection, out);
  }

  Status send(Connection& connection, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(connection.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) break;
      if (n < 0) return broken();
      bytes.remove_prefix(to_index(n));
    }
    connection.unsent = bytes;
    return watch(connection, !bytes.empty());
  }

  Status flush(Connection& connection) { return send(connection, std::exchange(connection.unsent, {})); }

  // Only what is different from before needs the system.
  Status watch(Connection& connection, bool blocked) {
    if (blocked == connection.blocked) return {};
    connection.blocked = blocked;
    epoll_event event{};
    event.events = EPOLLIN;
    if (blocked) event.events |= EPOLLOUT;
    event.data.ptr = &connection;
    return ::epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event) == 0 ? Status() : broken();
  }

  static Error broken() {
    return Error(Code::ServerUnreachable, std::string("a connection broke: ") + std::strerror(errno));
  }

  // ---- answers ----

  Status receive(Connection& connection) {
    const ssize_t n = ::recv(connection.fd, buffer_.get(), kReadBytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    if (n <= 0) return n < 0 ? broken() : Error(Code::ServerUnreachable, "the server closed a connection");
    std::string_view bytes(buffer_.get(), to_index(n));
    std::string joined;
    if (!connection.unread.empty()) {
      joined = std::exchange(connection.unread, {}) + std::string(bytes);
      bytes = joined;
    }
    while (!bytes.empty() && !connection.parser.done()) {
      EZ_ASSIGN(const std::size_t used, connection.parser.feed(bytes, &connection));
      bytes.remove_prefix(used);
      if (used == 0) break;
    }
    if (connection.parser.done()) return answered(connection, now());
    connection.unread = bytes;
    return {};
  }

  Status answered(Connection& connection, std::int64_t received) {
    const http::Head& head = connection.parser.head();
    if (head.status >= 400) {
      return http::error_of_answer(head.status, head.headers.find("content-type").value_or(""),
                                   connection.answer);
    }
    if (connection.starter) return start_runs(connection);
    EZ_ASSIGN(const Value answer, parse_json(connection.answer, kAnswers));
    if (connection.agent.empty()) {
      connection.agent = answer.string_or("agent", "");
      EZ_TRY(work(connection, Value(), received));
      return ++registered_ == options_.agents ? begin() : Status();
    }
    for (const std::int64_t n : connection.ending)
      figures_.flow_us.push_back(received - runs_[to_index(n)].start_us);
    const auto ended = static_cast<std::int64_t>(connection.ending.size());
    connection.ending.clear();
    finished_ += ended;
    if (finished_ == options_.workflows) {
      // The agents that still wait for work when the last run has ended are no part of the time.
      end_us_ = received;
      return {};
    }
    EZ_TRY(work(connection, answer, received));
    room_ += ended;
    while (room_ > 0 && !waiting_.empty()) {
      Connection& starter = *waiting_.back();
      waiting_.pop_back();
      EZ_TRY(start_runs(starter));
    }
    return {};
  }

  Status begin() {
    begin_us_ = now();
    for (const auto& connection : connections_) {
      if (connection->starter) EZ_TRY(start_runs(*connection));
    }
    return {};
  }

  const cli::BenchFlowOptions& options_;
  http::ServerAddress address_;
  std::string head_;  // of each request, from behind its target to the length of its body
  std::string query_;
  int epoll_ = -1;
  const std::unique_ptr<char[]> buffer_ = std::make_unique<char[]>(kReadBytes);
  std::vector<std::unique_ptr<Connection>> connections_;  // the agents', then those of the clients
  std::vector<Connection*> waiting_;                      // for room
  std::vector<Run> runs_;
  std::int64_t registered_ = 0;
  std::int64_t next_ = 0;
  std::int64_t finished_ = 0;
  std::int64_t room_;  // for further runs under way
  std::int64_t begin_us_ = 0;
  std::int64_t end_us_ = 0;
  cli::BenchFlowFigures figures_;
};

}  // namespace

Result<cli::BenchFlowFigures> bench_flow(const cli::BenchFlowOptions& options) {
  take_short_turns();
  return FlowLoad(options).run();
}

}  // namespace ez::app
