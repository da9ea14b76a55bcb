// What the HTTP server carries, measured on this machine over loopback: requests/s over 100 keep-alive
// connections, latency over one, and memory with many waiting long-polls. The server runs in a process of its
// own, the load in another.
//
//   build/release/bench/http_bench [seconds per measurement] [long-polls]
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "http/server.h"

namespace {

using namespace ez;

constexpr const char* kToken = "bench-token";

// Reports the port over `out` and serves until the parent ends it.
[[noreturn]] void serve(int out) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  http::Router router;
  http::Route echo;
  echo.method = http::Method::kPost;
  echo.pattern = "/v1/echo";
  echo.permission = security::Permission::kRunStart;
  echo.handler = [](http::Request& request, http::Responder responder) {
    responder.json(200, std::move(request.body));
  };
  router.add(std::move(echo));
  http::Route wait;
  wait.method = http::Method::kGet;
  wait.pattern = "/v1/wait";
  wait.permission = security::Permission::kRunRead;
  wait.handler = [waiting = std::make_shared<std::vector<http::Responder>>()](http::Request&,
                                                                              http::Responder responder) {
    responder.on_disconnect([] {});
    waiting->push_back(std::move(responder));
  };
  router.add(std::move(wait));
  auto server = http::Server::start({}, std::move(router),
                                    http::Gate(std::make_shared<security::TokenAuthenticator>(kToken), {}));
  EZ_CHECK(server.ok(), "the server did not start");
  const std::uint16_t port = (*server)->port();
  EZ_CHECK(::write(out, &port, sizeof port) == sizeof port, "pipe");
  for (;;) ::pause();
}

int connect_to(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EZ_CHECK(fd >= 0, "socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EZ_CHECK(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "connect");
  const int one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

std::string request(const char* method, const char* path, const std::string& body) {
  return std::string(method) + " " + path + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " +
         kToken + "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

// Closed loop: each connection has one request under way. The answers all have one size, learnt from the
// first.
void measure_requests(std::uint16_t port, int connections, double seconds) {
  const std::string text =
      request("POST", "/v1/echo", R"({"run":"r17","task":"build","outcome":"succeeded"})");
  std::vector<int> fds;
  std::vector<std::int64_t> started;
  std::vector<std::int64_t> latencies;
  latencies.reserve(4'000'000);
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  const auto send_one = [&](std::size_t i) {
    started[i] = system_clock().monotonic_us();
    EZ_CHECK(::send(fds[i], text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()),
             "send");
  };
  for (int i = 0; i < connections; ++i) {
    fds.push_back(connect_to(port));
    started.push_back(0);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = static_cast<std::uint32_t>(i);
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, fds.back(), &event);
  }
  const std::int64_t begin = system_clock().monotonic_us();
  const std::int64_t end = begin + static_cast<std::int64_t>(seconds * 1e6);
  for (std::size_t i = 0; i < fds.size(); ++i) send_one(i);
  std::int64_t now = begin;
  char buffer[8192];
  while (now < end) {
    epoll_event events[128];
    const int n = ::epoll_wait(epoll, events, 128, 1000);
    EZ_CHECK(n > 0, "the server stopped answering");
    for (int k = 0; k < n; ++k) {
      const std::size_t i = events[k].data.u32;
      const ssize_t size = ::recv(fds[i], buffer, sizeof buffer, 0);
      EZ_CHECK(size > 12 && std::memcmp(buffer, "HTTP/1.1 200", 12) == 0 && buffer[size - 1] == '}',
               "not an answer");
      now = system_clock().monotonic_us();
      latencies.push_back(now - started[i]);
      send_one(i);
    }
  }
  std::sort(latencies.begin(), latencies.end());
  const auto at = [&](double q) {
    return latencies[static_cast<std::size_t>(q * static_cast<double>(latencies.size() - 1))];
  };
  std::printf("%4d connections: %8.0f requests/s, latency p50 %lld us, p99 %lld us\n", connections,
              static_cast<double>(latencies.size()) * 1e6 / static_cast<double>(now - begin),
              static_cast<long long>(at(0.5)), static_cast<long long>(at(0.99)));
  for (const int fd : fds) ::close(fd);
  ::close(epoll);
}

long resident_kib(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::string word;
  while (status >> word) {
    if (word == "VmRSS:") {
      long kib = 0;
      status >> kib;
      return kib;
    }
  }
  return 0;
}

void measure_long_polls(std::uint16_t port, pid_t server, int count) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  const long before = resident_kib(server);
  const std::string text = request("GET", "/v1/wait", "");
  std::vector<int> fds;
  for (int i = 0; i < count; ++i) {
    fds.push_back(connect_to(port));
    EZ_CHECK(::send(fds.back(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()),
             "send");
  }
  // An echo behind them on the same thread: when it is answered, all have been received.
  measure_requests(port, 1, 0.5);
  const long after = resident_kib(server);
  std::printf("%d waiting long-polls: %ld KiB more, %.2f KiB each; the process has %ld KiB\n", count,
              after - before, static_cast<double>(after - before) / count, after);
  for (const int fd : fds) ::close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 5;
  const int long_polls = argc > 2 ? std::atoi(argv[2]) : 10'000;
  int pipe_fds[2];
  EZ_CHECK(::pipe(pipe_fds) == 0, "pipe");
  const pid_t server = ::fork();
  EZ_CHECK(server >= 0, "fork");
  if (server == 0) serve(pipe_fds[1]);
  std::uint16_t port = 0;
  EZ_CHECK(::read(pipe_fds[0], &port, sizeof port) == sizeof port, "the server did not start");
  measure_requests(port, 1, seconds);
  measure_requests(port, 100, seconds);
  measure_long_polls(port, server, long_polls);
  ::kill(server, SIGKILL);
  ::waitpid(server, nullptr, 0);
  return 0;
}
