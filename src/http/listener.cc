#include "http/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ez::http {
namespace {

constexpr int kAcceptsPerRound = 64;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

bool parse(const std::string& text, std::uint16_t port, Address& out) {
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
  if (::inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    out.size = sizeof *v4;
    return true;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
  if (::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    out.size = sizeof *v6;
    return true;
  }
  return false;
}

// Many systems start processes with a soft limit of 1024 descriptors and a far higher hard one.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE,
                    &limit);  // if it is refused, shed_without_descriptors() does with what there is
}

void set_flag(int fd, int level, int name, int value) {
  (void)::setsockopt(fd, level, name, &value, sizeof value);
}

int open_reserve() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

}  // namespace

Result<std::unique_ptr<Listener>> Listener::bind(const ServerOptions& options) {
  const std::string where = options.address + " port " + std::to_string(options.port);
  Address address;
  if (!parse(options.address, options.port, address)) {
    return Error(Code::InvalidArgument, "'" + options.address + "' is no IPv4 or IPv6 address to listen on");
  }
  raise_descriptor_limit();
  const int fd = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return system_error(Code::IoFailed, Code::IoFailed, "socket", errno);
  set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  sockaddr_storage bound{};
  socklen_t bound_size = sizeof bound;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address.storage), address.size) != 0 ||
      ::listen(fd, options.backlog) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &bound_size) != 0) {
    const int number = errno;
    ::close(fd);
    if (number == EADDRINUSE) return Error(Code::AddressInUse, "another program listens on " + where);
    if (number == EADDRNOTAVAIL)
      return Error(Code::InvalidArgument, options.address + " is no address of this machine");
    return system_error(Code::IoFailed, Code::IoFailed, "listen on " + where, number);
  }
  const std::uint16_t port =
      ntohs(bound.ss_family == AF_INET ? reinterpret_cast<sockaddr_in*>(&bound)->sin_port
                                       : reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port);
  return std::unique_ptr<Listener>(new Listener(fd, open_reserve(), port));
}

Listener::~Listener() {
  if (fd_ >= 0) ::close(fd_);
  if (reserve_ >= 0) ::close(reserve_);
}

Status Listener::start(std::vector<std::unique_ptr<Shard>>& shards) {
  shards_ = &shards;
  return shards.front()->loop()->watch(fd_, EPOLLIN, this);
}

void Listener::stop() {
  if (fd_ < 0) return;
  shards_->front()->loop()->forget(fd_);
  ::close(fd_);
  fd_ = -1;
}

void Listener::ready(std::uint32_t) {
  for (int i = 0; i < kAcceptsPerRound && fd_ >= 0; ++i) {
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      place(fd);
    } else if (errno == EMFILE || errno == ENFILE) {
      return shed_without_descriptors();
    } else if (errno != EINTR && errno != ECONNABORTED) {
      return;  // EAGAIN, or a passing failure of the network stack: the next round tries again
    }
  }
}

void Listener::place(int fd) {
  set_flag(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  // Finds clients that vanished without a word while they wait for an answer.
  set_flag(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_flag(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set_flag(fd, IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set_flag(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
  ServerShared& shared = shards_->front()->shared();
  ++shared.accepted;
  const bool beyond_limit = shared.connections.load() >= shared.options.max_connections;
  if (beyond_limit) {
    ++shared.refused;
  } else {
    ++shared.connections;
  }
  Shard& shard = *(*shards_)[next_];
  next_ = (next_ + 1) % shards_->size();
  if (shard.loop()->in_loop()) {
    shard.adopt(fd, beyond_limit);
  } else {
    shard.hand_over(fd, beyond_limit);
  }
}

// Without this the listening socket would stay ready and the loop would spin.
void Listener::shed_without_descriptors() {
  if (reserve_ < 0) return;
  ::close(reserve_);
  const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd >= 0) ::close(fd);
  ++shards_->front()->shared().refused;
  reserve_ = open_reserve();
}

}  // namespace ez::http
