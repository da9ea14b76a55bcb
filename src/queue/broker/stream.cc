#include "queue/broker/stream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>

#include "base/clock.h"

namespace ez::queue::broker {
namespace {

std::int64_t now_us() { return system_clock().monotonic_us(); }

Error unreachable(const std::string& where, const std::string& why) {
  return Error(Code::QueueUnreachable, where + ": " + why);
}

// What comes in is not what was sent (or the peer says so of what we sent): another try may fare better,
// which no wrong certificate does.
bool garbled() {
  switch (ERR_GET_REASON(::ERR_peek_last_error())) {
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
    case SSL_R_SSLV3_ALERT_BAD_RECORD_MAC:
    case SSL_R_TLSV1_ALERT_DECODE_ERROR:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
    case SSL_R_DIGEST_CHECK_FAILED:
    case SSL_R_BAD_SIGNATURE:
      return true;
    default:
      return false;
  }
}

std::string last_tls_error() {
  const unsigned long number = ERR_get_error();
  if (number == 0) return "the connection was closed during the handshake";
  const char* reason = ERR_reason_error_string(number);
  return reason != nullptr ? reason : "error " + std::to_string(number);
}

// False: the time is over.
bool wait_for(int fd, short events, std::int64_t deadline_us) {
  while (true) {
    const std::int64_t left_ms = (deadline_us - now_us() + 999) / 1000;
    if (left_ms <= 0) return false;
    pollfd wanted{fd, events, 0};
    const int ready = ::poll(&wanted, 1, static_cast<int>(std::min<std::int64_t>(left_ms, 60'000)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return true;  // the call itself will say what is wrong
  }
}

// OpenSSL writes with write(), which raises SIGPIPE on a connection that the peer has closed.
void ignore_broken_pipes() {
  static std::once_flag once;
  std::call_once(once, [] { ::signal(SIGPIPE, SIG_IGN); });
}

Result<int> open_socket(const Address& address, const std::string& where, std::int64_t deadline_us) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found);
  if (failed != 0) return unreachable(where, ::gai_strerror(failed));
  std::string why = "no address";
  int fd = -1;
  for (const addrinfo* one = found; one != nullptr && fd < 0; one = one->ai_next) {
    fd = ::socket(one->ai_family, one->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, one->ai_protocol);
    if (fd < 0) continue;
    int error = ::connect(fd, one->ai_addr, one->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
      socklen_t size = sizeof error;
      if (!wait_for(fd, POLLOUT, deadline_us)) {
        error = ETIMEDOUT;
      } else if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
      }
    }
    if (error != 0) {
      why = std::strerror(error);
      ::close(fd);
      fd = -1;
    }
  }
  ::freeaddrinfo(found);
  if (fd < 0) return unreachable(where, why);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

struct FreeContext {
  void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
};
struct FreeSession {
  void operator()(SSL* session) const { ::SSL_free(session); }
};
using Context = std::unique_ptr<SSL_CTX, FreeContext>;
using Session = std::unique_ptr<SSL, FreeSession>;

Result<Context> make_context(const BrokerOptions& options) {
  Context context(::SSL_CTX_new(::TLS_client_method()));
  ::SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  ::SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  const bool trusted = options.ca_file.empty() ? ::SSL_CTX_set_default_verify_paths(context.get()) == 1
                                               : ::SSL_CTX_load_verify_locations(
                                                     context.get(), options.ca_file.c_str(), nullptr) == 1;
  if (!trusted) {
    return Error(Code::QueueTlsFailed,
                 "the authorities in `" + options.ca_file + "` cannot be read: " + last_tls_error());
  }
  if (!options.cert_file.empty()) {
    const bool good =
        ::SSL_CTX_use_certificate_chain_file(context.get(), options.cert_file.c_str()) == 1 &&
        ::SSL_CTX_use_PrivateKey_file(context.get(), options.key_file.c_str(), SSL_FILETYPE_PEM) == 1;
    if (!good) {
      return Error(Code::QueueTlsFailed, "the certificate `" + options.cert_file +
                                             "` or its key cannot be used: " + last_tls_error());
    }
  }
  return context;
}

bool is_ip(const std::string& host) {
  in6_addr six{};
  in_addr four{};
  return ::inet_pton(AF_INET, host.c_str(), &four) == 1 || ::inet_pton(AF_INET6, host.c_str(), &six) == 1;
}

}  // namespace

struct Stream::Impl {
  std::string where;
  int fd = -1;
  Context context;
  Session session;

  ~Impl() {
    session.reset();
    if (fd >= 0) ::close(fd);
  }
  // What SSL wants before it can go on; 0: it failed.
  [[nodiscard]] short wants(int result) const {
    switch (::SSL_get_error(session.get(), result)) {
      case SSL_ERROR_WANT_READ:
        return POLLIN;
      case SSL_ERROR_WANT_WRITE:
        return POLLOUT;
      default:
        return 0;
    }
  }
  [[nodiscard]] Error broke() const {
    return unreachable(where, errno != 0 ? std::strerror(errno) : "the connection broke");
  }
  Status shake_hands(const BrokerOptions& options, const std::string& host, std::int64_t deadline_us);
};

Status Stream::Impl::shake_hands(const BrokerOptions& options, const std::string& host,
                                 std::int64_t deadline_us) {
  EZ_ASSIGN(context, make_context(options));
  session.reset(::SSL_new(context.get()));
  const std::string& name = options.server_name.empty() ? host : options.server_name;
  if (is_ip(name)) {
    ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(session.get()), name.c_str());
  } else {
    ::SSL_set_tlsext_host_name(session.get(), name.c_str());
    ::SSL_set1_host(session.get(), name.c_str());
  }
  ::SSL_set_fd(session.get(), fd);
  while (true) {
    ::ERR_clear_error();
    errno = 0;
    const int done = ::SSL_connect(session.get());
    if (done == 1) return {};
    const short events = wants(done);
    if (events != 0) {
      if (wait_for(fd, events, deadline_us)) continue;
      return unreachable(where, "no answer to the TLS handshake");
    }
    const long verdict = ::SSL_get_verify_result(session.get());
    if (verdict != X509_V_OK) {
      return Error(Code::QueueTlsFailed,
                   where + ": the certificate was refused: " + ::X509_verify_cert_error_string(verdict));
    }
    if (::SSL_get_error(session.get(), done) == SSL_ERROR_SYSCALL) return broke();
    if (garbled()) return unreachable(where, "the TLS handshake was garbled on its way");
    const std::string why = last_tls_error();
    if (why == "wrong version number" || why == "packet length too long" || why == "http request") {
      return Error(Code::QueueProtocol, where + ": what answers there does not speak TLS");
    }
    if (why == "unexpected eof while reading")
      return unreachable(where, "closed the connection at the handshake");
    return Error(Code::QueueTlsFailed, where + ": the TLS handshake failed: " + why);
  }
}

Stream::Stream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Stream::~Stream() = default;

Result<std::unique_ptr<Stream>> Stream::connect(const BrokerOptions& options, const Address& address) {
  ignore_broken_pipes();
  auto impl = std::make_unique<Impl>();
  impl->where = address.host + ":" + address.port;
  const std::int64_t deadline = now_us() + options.connect_timeout_ms * 1000;
  EZ_ASSIGN(impl->fd, open_socket(address, impl->where, deadline));
  if (options.tls) EZ_TRY(impl->shake_hands(options, address.host, deadline));
  return std::unique_ptr<Stream>(new Stream(std::move(impl)));
}

Status Stream::write(std::string_view bytes, std::int64_t deadline_us) {
  while (!bytes.empty()) {
    errno = 0;
    short events = POLLOUT;
    std::int64_t written = 0;
    if (impl_->session) {
      ::ERR_clear_error();
      const int most = static_cast<int>(std::min<std::size_t>(bytes.size(), 1U << 20));
      written = ::SSL_write(impl_->session.get(), bytes.data(), most);
      if (written <= 0) events = impl_->wants(static_cast<int>(written));
    } else {
      written = ::send(impl_->fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0 && errno != EAGAIN) events = 0;
    }
    if (written > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
      continue;
    }
    if (events == 0) return impl_->broke();
    if (!wait_for(impl_->fd, events, deadline_us)) return unreachable(impl_->where, "takes no more bytes");
  }
  return {};
}

Result<std::size_t> Stream::read(char* buffer, std::size_t size, std::int64_t deadline_us) {
  while (true) {
    errno = 0;
    short events = POLLIN;
    std::int64_t got = 0;
    if (impl_->session) {
      ::ERR_clear_error();
      got = ::SSL_read(impl_->session.get(), buffer, static_cast<int>(std::min<std::size_t>(size, 1U << 20)));
      if (got <= 0) events = impl_->wants(static_cast<int>(got));
    } else {
      got = ::recv(impl_->fd, buffer, size, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got == 0 || (got < 0 && errno != EAGAIN)) events = 0;
    }
    if (got > 0) return static_cast<std::size_t>(got);
    if (events == 0) {
      return unreachable(impl_->where,
                         errno != 0 ? std::strerror(errno) : "the broker closed the connection");
    }
    if (!wait_for(impl_->fd, events, deadline_us)) return unreachable(impl_->where, "no answer in time");
  }
}

int Stream::descriptor() const { return impl_->fd; }
bool Stream::buffered() const { return impl_->session && ::SSL_pending(impl_->session.get()) > 0; }

}  // namespace ez::queue::broker
