#include "app/load_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "http/parser.h"

namespace ez::app {
namespace {

std::int64_t now_us() { return system_clock().monotonic_us(); }

struct Connection final : http::BodySink {
  ~Connection() override {
    if (fd >= 0) ::close(fd);
  }
  Status body(std::string_view piece) override {
    if (first_us == 0 && !piece.empty()) first_us = now_us();
    return {};
  }
  int fd = -1;
  http::Parser parser{http::Parser::Kind::kResponse};
  std::string pending;
  std::int64_t begin_at_us = 0;  // of its first request
  std::int64_t sent_us = 0;
  std::int64_t first_us = 0;
  bool busy = false;
};

class Load {
 public:
  explicit Load(const LoadPlan& plan) : plan_(plan), buffer_(64 * 1024, '\0') {}
  ~Load() {
    if (epoll_ >= 0) ::close(epoll_);
  }

  Result<LoadResult> run() {
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) return system_error(Code::IoFailed, Code::IoFailed, "epoll", errno);
    for (int i = 0; i < plan_.connections; ++i) EZ_TRY(connect(i));
    begin_us_ = now_us();
    for (auto& connection : connections_) connection->begin_at_us += begin_us_;
    end_us_ = begin_us_ + plan_.duration_us;
    std::size_t started = 0;
    std::array<epoll_event, 256> events{};
    while (started < connections_.size() || busy_ > 0) {
      while (started < connections_.size() && connections_[started]->begin_at_us <= now_us()) {
        EZ_TRY(send(*connections_[started++]));
      }
      const int wait_ms = started < connections_.size() ? 1 : 1'000;
      const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait_ms);
      if (count == 0 && started == connections_.size() && now_us() > end_us_ + kPatienceUs) {
        return Error(Code::ServerUnreachable, "an answer did not come");
      }
      for (int i = 0; i < count; ++i) {
        EZ_TRY(receive(*static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr)));
      }
    }
    result_.duration_us = std::max<std::int64_t>(1, now_us() - begin_us_);
    std::sort(result_.first_byte_us.begin(), result_.first_byte_us.end());
    return std::move(result_);
  }

 private:
  static constexpr std::int64_t kPatienceUs = 20'000'000;

  Status connect(int number) {
    auto connection = std::make_unique<Connection>();
    connection->fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(plan_.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connection->fd < 0 ||
        ::connect(connection->fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      return system_error(Code::ServerUnreachable, Code::ServerUnreachable, "connect", errno);
    }
    const int one = 1;
    ::setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = connection.get();
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection->fd, &event) != 0) {
      return system_error(Code::IoFailed, Code::IoFailed, "watch a connection", errno);
    }
    connection->begin_at_us = plan_.spread_us * number / plan_.connections;
    connections_.push_back(std::move(connection));
    return {};
  }

  Status send(Connection& connection) {
    connection.parser.reset();
    connection.first_us = 0;
    connection.sent_us = now_us();
    connection.busy = true;
    ++busy_;
    std::string_view rest = plan_.request;
    while (!rest.empty()) {
      const ssize_t n = ::send(connection.fd, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return Error(Code::ServerUnreachable, "the connection broke while a request was sent");
      rest.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
  }

  Status receive(Connection& connection) {
    const ssize_t n = ::recv(connection.fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    if (n <= 0) return Error(Code::ServerUnreachable, "the connection broke before the answer was whole");
    connection.pending.append(buffer_.data(), static_cast<std::size_t>(n));
    while (!connection.pending.empty() && !connection.parser.done()) {
      EZ_ASSIGN(const std::size_t used, connection.parser.feed(connection.pending, &connection));
      connection.pending.erase(0, used);
      if (used == 0) break;
    }
    if (!connection.parser.done()) return {};
    if (connection.parser.head().status != 200) {
      return Error(Code::RequestInvalid,
                   "an answer had the status " + std::to_string(connection.parser.head().status));
    }
    connection.busy = false;
    --busy_;
    ++result_.answers;
    result_.first_byte_us.push_back(connection.first_us - connection.sent_us);
    return now_us() < end_us_ ? send(connection) : Status();
  }

  const LoadPlan& plan_;
  int epoll_ = -1;
  std::string buffer_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::size_t busy_ = 0;
  std::int64_t begin_us_ = 0;
  std::int64_t end_us_ = 0;
  LoadResult result_;
};

}  // namespace

double LoadResult::percentile_ms(double part) const {
  if (first_byte_us.empty()) return 0;
  const auto index = static_cast<std::size_t>(part * static_cast<double>(first_byte_us.size() - 1));
  return static_cast<double>(first_byte_us[index]) / 1000.0;
}

double LoadResult::answers_per_s() const {
  return static_cast<double>(answers) * 1e6 / static_cast<double>(duration_us);
}

Result<LoadResult> run_load(const LoadPlan& plan) { return Load(plan).run(); }

}  // namespace ez::app
