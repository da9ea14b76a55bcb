#include "agents/cli/gateway_door.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <thread>
#include <vector>

#include "agents/process.h"

namespace ez::agents {
namespace {

Error no_door(const std::string& what) {
  return Error(Code::SandboxUnavailable, "a door to the model gateway: " + what);
}

// In the helper process, which has one thread and calls nothing but the kernel: enters the two namespaces and
// sends a listening socket back. Returns what failed, 0 when nothing did.
int listen_inside(int user_namespace, int network_namespace, int channel) {
  if (::setns(user_namespace, CLONE_NEWUSER) != 0) return 1;
  if (::setns(network_namespace, CLONE_NEWNET) != 0) return 2;
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener < 0) return 3;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(kDoorPort);
  // Any address: there is none but loopback's in there, and it may not be up yet.
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return 4;
  if (::listen(listener, 64) != 0) return 5;
  char byte = 'x';
  iovec part{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &listener, sizeof listener);
  return ::sendmsg(channel, &message, MSG_NOSIGNAL) == 1 ? 0 : 6;
}

UniqueFd received_socket(int channel) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got = 0;
  do {
    got = ::recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  const cmsghdr* header = got == 1 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return {};
  int socket = -1;
  std::memcpy(&socket, CMSG_DATA(header), sizeof socket);
  return UniqueFd(socket);
}

// One direction of a connection.
struct Way {
  std::vector<char> bytes = std::vector<char>(kDoorBuffer);
  std::size_t begin = 0;
  std::size_t end = 0;
  bool read_over = false;   // nothing more comes
  bool write_over = false;  // and the other side was told

  [[nodiscard]] bool empty() const { return begin == end; }
  [[nodiscard]] bool wants_read() const { return !read_over && empty(); }
  // False: the connection is broken.
  bool pull(int from) {
    const ssize_t got = ::recv(from, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
    begin = 0;
    end = static_cast<std::size_t>(got);
    read_over = got == 0;
    return true;
  }
  bool push(int into) {
    while (!empty()) {
      const ssize_t put = ::send(into, bytes.data() + begin, end - begin, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
      begin += static_cast<std::size_t>(put);
    }
    if (read_over && !write_over) {
      ::shutdown(into, SHUT_WR);
      write_over = true;
    }
    return true;
  }
};

struct Connection {
  UniqueFd inside;
  UniqueFd outside;
  bool connecting = true;
  Way out;   // from inside to outside
  Way back;  // from outside to inside
  [[nodiscard]] bool over() const { return out.write_over && back.write_over; }
};

}  // namespace

class GatewayDoor::Impl {
 public:
  sockaddr_storage target{};
  socklen_t target_size = 0;
  int family = 0;

  ~Impl() {
    if (!thread_.joinable()) return;
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t ignored = ::write(stop_.get(), &one, sizeof one);
    thread_.join();
  }

  Status open(pid_t inside) {
    const std::string at = "/proc/" + std::to_string(inside) + "/ns/net";
    const UniqueFd network(::open(at.c_str(), O_RDONLY | O_CLOEXEC));
    if (!network.valid()) return no_door(at + ": " + std::strerror(errno));
    const UniqueFd user(::ioctl(network.get(), NS_GET_USERNS));
    if (!user.valid()) return no_door("the namespace of " + at + ": " + std::strerror(errno));
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
      return no_door("socketpair: " + std::string(std::strerror(errno)));
    const UniqueFd ours(ends[0]);
    UniqueFd theirs(ends[1]);
    const pid_t helper = ::fork();
    if (helper < 0) return no_door("fork: " + std::string(std::strerror(errno)));
    if (helper == 0) ::_exit(listen_inside(user.get(), network.get(), theirs.get()));
    theirs.reset();
    listener_ = received_socket(ours.get());
    int status = 0;
    while (::waitpid(helper, &status, 0) < 0 && errno == EINTR) {
    }
    if (!listener_.valid()) {
      return no_door("the sandbox's network cannot be entered (step " +
                     std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : -1) + ")");
    }
    stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!stop_.valid()) return no_door("eventfd: " + std::string(std::strerror(errno)));
    thread_ = std::thread([this] { serve(); });
    return {};
  }

 private:
  void serve() {
    std::vector<pollfd> fds;
    while (true) {
      fds.assign({{stop_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}});
      for (const auto& connection : connections_) {
        fds.push_back({connection->inside.get(), wanted(connection->out, connection->back, *connection), 0});
        fds.push_back({connection->outside.get(), wanted(connection->back, connection->out, *connection), 0});
        if (connection->connecting) fds.back().events = POLLOUT;
      }
      // An end from which nothing is wanted must not wake us by having gone.
      for (pollfd& fd : fds) {
        if (fd.events == 0) fd.fd = -1;
      }
      if (::poll(fds.data(), fds.size(), -1) < 0) continue;
      if (fds[0].revents != 0) return;
      for (std::size_t i = 0; i < connections_.size(); ++i) {
        if (fds[2 + 2 * i].revents == 0 && fds[3 + 2 * i].revents == 0) continue;
        if (!move(*connections_[i], fds[2 + 2 * i].revents, fds[3 + 2 * i].revents)) connections_[i].reset();
      }
      std::erase(connections_, nullptr);
      if (fds[1].revents != 0) accept_one();
    }
  }

  // What is waited for at the end that `in` reads from and `other` writes to.
  static short wanted(const Way& in, const Way& other, const Connection& connection) {
    short events = 0;
    if (in.wants_read()) events |= POLLIN;
    if (!other.empty() && !connection.connecting) events |= POLLOUT;
    return events;
  }

  // False: it is over.
  static bool move(Connection& connection, short inside, short outside) {
    if (connection.connecting && outside != 0) {
      int failure = 0;
      socklen_t size = sizeof failure;
      ::getsockopt(connection.outside.get(), SOL_SOCKET, SO_ERROR, &failure, &size);
      if (failure != 0) return false;
      connection.connecting = false;
      outside = 0;
    }
    constexpr short kReadable = POLLIN | POLLHUP | POLLERR;
    if ((inside & kReadable) != 0 && connection.out.wants_read()) {
      if (!connection.out.pull(connection.inside.get())) return false;
    } else if ((inside & (POLLHUP | POLLERR)) != 0) {
      return false;  // nobody is left to read what comes back
    }
    if ((outside & kReadable) != 0 && connection.back.wants_read()) {
      if (!connection.back.pull(connection.outside.get())) return false;
    } else if ((outside & (POLLHUP | POLLERR)) != 0 && connection.back.empty()) {
      return false;
    }
    if (!connection.connecting && !connection.out.push(connection.outside.get())) return false;
    return connection.back.push(connection.inside.get()) && !connection.over();
  }

  void accept_one() {
    UniqueFd inside(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!inside.valid() || connections_.size() >= kMaxDoorConnections) return;
    UniqueFd outside(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!outside.valid()) return;
    const int one = 1;
    ::setsockopt(inside.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    ::setsockopt(outside.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (::connect(outside.get(), reinterpret_cast<const sockaddr*>(&target), target_size) != 0 &&
        errno != EINPROGRESS)
      return;
    auto connection = std::make_unique<Connection>();
    connection->inside = std::move(inside);
    connection->outside = std::move(outside);
    connections_.push_back(std::move(connection));
  }

  UniqueFd listener_;
  UniqueFd stop_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::thread thread_;
};

GatewayDoor::GatewayDoor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GatewayDoor::~GatewayDoor() = default;

Result<std::unique_ptr<GatewayDoor>> GatewayDoor::to(const std::string& url) {
  constexpr std::string_view kScheme = "http://";
  const auto wrong = [&](const std::string& why) {
    return Error(Code::GatewayMissing, "the gateway's address " + url + ": " + why);
  };
  if (!url.starts_with(kScheme)) return wrong("it has to begin with http://");
  std::string host = url.substr(kScheme.size(), url.find('/', kScheme.size()) - kScheme.size());
  std::string port = "80";
  const std::size_t colon = host.rfind(':');
  if (colon != std::string::npos && host.find(']', colon) == std::string::npos) {
    port = host.substr(colon + 1);
    host.resize(colon);
  }
  if (host.size() > 1 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (failed != 0) return wrong(::gai_strerror(failed));
  auto impl = std::make_unique<Impl>();
  std::memcpy(&impl->target, found->ai_addr, found->ai_addrlen);
  impl->target_size = found->ai_addrlen;
  impl->family = found->ai_family;
  ::freeaddrinfo(found);
  return std::unique_ptr<GatewayDoor>(new GatewayDoor(std::move(impl)));
}

Status GatewayDoor::open(pid_t inside) { return impl_->open(inside); }

std::string GatewayDoor::url() { return "http://127.0.0.1:" + std::to_string(kDoorPort); }

}  // namespace ez::agents
