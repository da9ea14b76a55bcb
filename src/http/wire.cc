#include "http/wire.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/clock.h"

namespace ez::http {
namespace {

constexpr std::size_t kMaxCancellations = 3;

Error broken(const std::string& what, int number) {
  return Error(Code::ServerUnreachable, what + ": " + std::strerror(number));
}

}  // namespace

Wire::~Wire() {
  if (fd_ >= 0) ::close(fd_);
}
Wire::Wire(Wire&& other) noexcept : idle_since_us(other.idle_since_us), fd_(std::exchange(other.fd_, -1)) {}
Wire& Wire::operator=(Wire&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(idle_since_us, other.idle_since_us);
  return *this;
}

Result<short> Wire::wait(short events, const WaitLimits& limits) const {
  EZ_CHECK(limits.cancellations.size() <= kMaxCancellations, "too many cancellations for one call");
  for (;;) {
    pollfd watched[2 + kMaxCancellations];
    nfds_t count = 0;
    watched[count++] = pollfd{fd_, events, 0};
    for (const Cancellation* cancellation : limits.cancellations) {
      watched[count++] = pollfd{cancellation->descriptor(), POLLIN, 0};
    }
    watched[count++] = pollfd{limits.cancel_descriptor, POLLIN, 0};  // poll passes over -1
    const std::int64_t left_us = limits.deadline_us - system_clock().monotonic_us();
    const int wait_ms = static_cast<int>(std::clamp<std::int64_t>((left_us + 999) / 1000, 0, 3'600'000));
    const int ready = ::poll(watched, count, wait_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return broken("poll", errno);
    for (nfds_t i = 1; i < count; ++i) {
      if (watched[i].revents != 0) return Error(Code::CallCancelled, "the call was broken off");
    }
    if (watched[0].revents != 0) return watched[0].revents;
    if (left_us <= 0) return Error(Code::ServerUnreachable, "the server did not answer in time");
  }
}

Result<Wire> Wire::connect(const ServerAddress& address, const WaitLimits& limits) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string where = "no connection to http://" + address.authority();
  const int failed =
      ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (failed != 0) return Error(Code::ServerUnreachable, where + ": " + ::gai_strerror(failed));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
  Error last(Code::ServerUnreachable, where);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    Wire wire(::socket(one->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (wire.fd_ < 0) {
      last = broken(where, errno);
      continue;
    }
    if (::connect(wire.fd_, one->ai_addr, one->ai_addrlen) != 0) {
      if (errno != EINPROGRESS) {
        last = broken(where, errno);
        continue;
      }
      if (const Result<short> ready = wire.wait(POLLOUT, limits); !ready.ok()) {
        if (ready.error().code() == Code::CallCancelled) return ready.error();
        last = Error(Code::ServerUnreachable, where + " in time");
        continue;
      }
      int number = 0;
      socklen_t size = sizeof number;
      if (::getsockopt(wire.fd_, SOL_SOCKET, SO_ERROR, &number, &size) != 0) number = errno;
      if (number != 0) {
        last = broken(where, number);
        continue;
      }
    }
    const int one_flag = 1;
    (void)::setsockopt(wire.fd_, IPPROTO_TCP, TCP_NODELAY, &one_flag, sizeof one_flag);
    return wire;
  }
  return last;
}

Result<std::size_t> Wire::send(std::string_view bytes, const WaitLimits& limits) {
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t n = ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n >= 0) {
      sent += static_cast<std::size_t>(n);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return broken("the connection broke while sending", errno);
    EZ_ASSIGN(const short ready, wait(POLLOUT | POLLIN, limits));
    if ((ready & POLLIN) != 0)
      return sent;  // an answer before the end of the request, or the end of the connection
  }
  return sent;
}

Result<std::size_t> Wire::receive(char* buffer, std::size_t size, const WaitLimits& limits) {
  for (;;) {
    if (const Result<short> ready = wait(POLLIN, limits); !ready.ok()) return ready.error();
    const ssize_t n = ::recv(fd_, buffer, size, 0);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EINTR && errno != EAGAIN) return broken("the connection broke", errno);
  }
}

bool Wire::fresh() const {
  char byte = 0;
  return ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

}  // namespace ez::http
