#include "http/client.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <mutex>

#include "base/check.h"
#include "base/clock.h"
#include "http/parser.h"
#include "http/problem.h"
#include "http/wire.h"

namespace ez::http {
namespace {

constexpr std::size_t kBufferBytes = 64 * 1024;

bool may_repeat(Method method) { return method != Method::kPost && method != Method::kPatch; }

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; });
}

// The file of an upload.
class Upload {
 public:
  static Result<Upload> open(const std::filesystem::path& path) {
    Upload upload;
    upload.fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat facts {};
    if (upload.fd_ < 0 || ::fstat(upload.fd_, &facts) != 0) {
      return system_error(Code::IoFailed, Code::IoFailed, "open " + path.string(), errno);
    }
    upload.size = static_cast<std::uint64_t>(facts.st_size);
    upload.name_ = path.string();
    return upload;
  }
  ~Upload() {
    if (fd_ >= 0) ::close(fd_);
  }
  Upload(Upload&& other) noexcept
      : size(other.size), fd_(std::exchange(other.fd_, -1)), name_(std::move(other.name_)) {}
  Upload& operator=(Upload&&) = delete;

  Result<std::string_view> read(char* buffer, std::uint64_t offset) const {
    const std::size_t wanted = static_cast<std::size_t>(std::min<std::uint64_t>(kBufferBytes, size - offset));
    const ssize_t n = ::pread(fd_, buffer, wanted, static_cast<off_t>(offset));
    if (n < 0) return system_error(Code::IoFailed, Code::IoFailed, "read " + name_, errno);
    if (n == 0) return Error(Code::IoFailed, name_ + " became shorter while it was sent");
    return std::string_view(buffer, static_cast<std::size_t>(n));
  }
  std::uint64_t size = 0;

 private:
  Upload() = default;
  int fd_ = -1;
  std::string name_;
};

// Takes the body of an answer: errors and answers without a sink into memory, the rest to the caller.
class AnswerBody final : public BodySink {
 public:
  AnswerBody(const ClientRequest& request, Parser& parser) : request_(request), parser_(parser) {}
  Status body(std::string_view piece) override {
    if (request_.sink && parser_.head().status < 400) {
      stopped = stopped || !request_.sink(piece);
      return {};
    }
    if (text.size() + piece.size() > request_.max_answer_bytes) {
      return Error(Code::PayloadTooLarge,
                   "the answer is longer than " + std::to_string(request_.max_answer_bytes) + " bytes");
    }
    text.append(piece);
    return {};
  }
  std::string text;
  bool stopped = false;  // the caller has enough

 private:
  const ClientRequest& request_;
  Parser& parser_;
};

}  // namespace

Cancellation::Cancellation() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  EZ_CHECK(fd_ >= 0, "no descriptor left for a cancellation");
}
Cancellation::~Cancellation() { ::close(fd_); }
void Cancellation::cancel() {
  cancelled_ = true;
  const std::uint64_t one = 1;
  (void)!::write(fd_, &one, sizeof one);
}
bool Cancellation::wait_for(std::chrono::milliseconds duration) const {
  const std::int64_t end_us = system_clock().monotonic_us() + duration.count() * 1000;
  while (!cancelled()) {
    const std::int64_t left_us = end_us - system_clock().monotonic_us();
    if (left_us <= 0) return false;
    pollfd watched{fd_, POLLIN, 0};
    (void)::poll(&watched, 1, static_cast<int>(std::min<std::int64_t>((left_us + 999) / 1000, 3'600'000)));
  }
  return true;
}

struct Client::Impl {
  ClientOptions options;
  ServerAddress address;
  Cancellation cancellation;
  std::mutex mutex;
  std::vector<Wire> idle;     // guarded by mutex
  std::size_t under_way = 0;  // guarded by mutex

  // The place of one call among max_connections.
  struct Place {
    Impl& impl;
    ~Place() {
      std::lock_guard lock(impl.mutex);
      --impl.under_way;
    }
  };

  // What was said between the sending and the answer decides how a failure is reported.
  struct Attempt {
    bool reused = false;    // on a kept connection
    bool sent = false;      // some byte of the request may have reached the server
    bool answered = false;  // some byte of the answer has arrived
  };

  Wire take_idle() {
    const std::int64_t oldest_us = system_clock().monotonic_us() - options.keep_idle.count() * 1000;
    while (true) {
      Wire wire;
      {
        std::lock_guard lock(mutex);
        if (idle.empty()) return wire;
        wire = std::move(idle.back());
        idle.pop_back();
      }
      // Asked, and closed when it is stale, without the lock: both are calls of the system.
      if (wire.idle_since_us >= oldest_us && wire.fresh()) return wire;
    }
  }
  void keep(Wire wire) {
    wire.idle_since_us = system_clock().monotonic_us();
    std::lock_guard lock(mutex);
    if (idle.size() < options.max_connections) idle.push_back(std::move(wire));
  }

  std::string head(const ClientRequest& request, std::uint64_t body_bytes) const {
    std::string out(method_name(request.method));
    out.append(" ").append(request.target).append(" HTTP/1.1\r\n");
    append_header(out, "Host", address.authority());
    if (!options.token.empty()) append_header(out, "Authorization", "Bearer " + options.token);
    append_header(out, "User-Agent", options.user_agent);
    const bool takes_body = request.method != Method::kGet && request.method != Method::kHead;
    if (body_bytes > 0 && !request.content_type.empty())
      append_header(out, "Content-Type", request.content_type);
    if (body_bytes > 0 || takes_body) append_header(out, "Content-Length", std::to_string(body_bytes));
    for (const auto& [name, value] : request.headers) append_header(out, name, value);
    out.append("\r\n");
    return out;
  }

  Result<ClientAnswer> exchange(const ClientRequest& request, const Upload* upload, WaitLimits limits,
                                Attempt& attempt, bool may_reuse) {
    Wire wire = may_reuse ? take_idle() : Wire();
    attempt.reused = static_cast<bool>(wire);
    if (!wire) {
      WaitLimits connecting = limits;
      connecting.deadline_us = std::min(
          limits.deadline_us, system_clock().monotonic_us() + options.connect_timeout.count() * 1000);
      EZ_ASSIGN(wire, Wire::connect(address, connecting));
    }
    bool reusable = true;
    EZ_TRY(send_request(wire, request, upload, limits, attempt, reusable));
    return read_answer(std::move(wire), request, std::move(limits), attempt, reusable);
  }

  Status send_request(Wire& wire, const ClientRequest& request, const Upload* upload,
                      const WaitLimits& limits, Attempt& attempt, bool& reusable) const {
    std::string out = head(request, upload != nullptr ? upload->size : request.body.size());
    if (upload == nullptr) out.append(request.body);
    Result<std::size_t> sent = wire.send(out, limits);
    // A connection that refuses the first byte was closed before: nothing has reached the server.
    attempt.sent = sent.ok() ? *sent > 0 : !attempt.reused || sent.error().code() == Code::CallCancelled;
    if (!sent.ok()) return answer_may_wait(wire, sent.error(), reusable);
    if (*sent < out.size()) reusable = false;
    if (upload == nullptr || !reusable) return {};
    const auto buffer = std::make_unique_for_overwrite<char[]>(kBufferBytes);
    for (std::uint64_t offset = 0; offset < upload->size;) {
      EZ_ASSIGN(const std::string_view piece, upload->read(buffer.get(), offset));
      sent = wire.send(piece, limits);
      if (!sent.ok()) return answer_may_wait(wire, sent.error(), reusable);
      offset += *sent;
      if (*sent < piece.size()) {
        reusable = false;
        return {};
      }
    }
    return {};
  }

  // A server that refuses a request early answers and closes; the answer says more than the broken
  // connection.
  static Status answer_may_wait(const Wire& wire, const Error& error, bool& reusable) {
    reusable = false;
    if (error.code() != Code::ServerUnreachable || wire.fresh()) return error;
    return {};
  }

  Result<ClientAnswer> read_answer(Wire wire, const ClientRequest& request, WaitLimits limits,
                                   Attempt& attempt, bool reusable) {
    Parser parser(Parser::Kind::kResponse);
    parser.reset(request.method == Method::kHead);
    AnswerBody body(request, parser);
    const auto buffer = std::make_unique_for_overwrite<char[]>(kBufferBytes);
    std::string pending;
    while (!parser.done() && !body.stopped) {
      if (request.idle_timeout && parser.head_done()) {
        limits.deadline_us = system_clock().monotonic_us() + request.idle_timeout->count() * 1000;
      }
      EZ_ASSIGN(const std::size_t size, wire.receive(buffer.get(), kBufferBytes, limits));
      if (size == 0) {
        if (!parser.finish().ok()) return Error(Code::ServerUnreachable, "the server closed the connection");
        reusable = false;
        break;
      }
      attempt.answered = true;
      pending.append(buffer.get(), size);
      std::size_t used = 0;
      while (used < pending.size() && !parser.done() && !body.stopped) {
        const auto fed = parser.feed(std::string_view(pending).substr(used), &body);
        if (!fed.ok()) {
          if (fed.error().code() == Code::PayloadTooLarge) return fed.error();
          return Error(Code::ServerUnreachable,
                       "what answers there does not speak HTTP: " + fed.error().message());
        }
        if (parser.done() && parser.head().status / 100 == 1) {
          used += *fed;
          parser.reset(request.method == Method::kHead);
          continue;
        }
        if (*fed == 0) break;
        used += *fed;
      }
      pending.erase(0, used);
    }
    ClientAnswer answer;
    answer.status = parser.head().status;
    std::swap(answer.headers, parser.head().headers);
    answer.body = std::move(body.text);
    if (parser.done() && parser.head().keep_alive && reusable && pending.empty()) keep(std::move(wire));
    return answer;
  }
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

Result<std::unique_ptr<Client>> Client::create(ClientOptions options) {
  auto impl = std::make_unique<Impl>();
  EZ_ASSIGN(impl->address, parse_server_address(options.server));
  if (has_control(options.token))
    return Error(Code::InvalidArgument, "the token holds spaces or control characters");
  impl->options = std::move(options);
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

Result<ClientAnswer> Client::send(const ClientRequest& request) {
  if (!request.target.starts_with('/') || has_control(request.target)) {
    return Error(Code::InvalidArgument, "the target '" + request.target + "' is not an encoded path");
  }
  Impl& impl = *impl_;
  {
    std::lock_guard lock(impl.mutex);
    if (impl.under_way >= impl.options.max_connections) {
      return Error(Code::Overloaded,
                   "this client has " + std::to_string(impl.under_way) + " calls under way already");
    }
    ++impl.under_way;
  }
  const Impl::Place place{impl};
  std::optional<Upload> upload;
  if (request.body_file) {
    EZ_ASSIGN(Upload opened, Upload::open(*request.body_file));
    upload.emplace(std::move(opened));
  }
  WaitLimits limits;
  limits.deadline_us = system_clock().monotonic_us() + request.timeout.count() * 1000;
  limits.cancellations.push_back(&impl.cancellation);
  if (request.cancellation != nullptr) limits.cancellations.push_back(request.cancellation);
  limits.cancel_descriptor = request.cancel_descriptor;

  Impl::Attempt attempt;
  Result<ClientAnswer> answer = impl.exchange(request, upload ? &*upload : nullptr, limits, attempt, true);
  const auto unreachable = [&] { return !answer.ok() && answer.error().code() == Code::ServerUnreachable; };
  // The server may close a kept connection in the moment of its reuse. Once more, on a connection of its own.
  if (unreachable() && attempt.reused && !attempt.answered && (may_repeat(request.method) || !attempt.sent) &&
      system_clock().monotonic_us() < limits.deadline_us) {
    attempt = {};
    answer = impl.exchange(request, upload ? &*upload : nullptr, limits, attempt, false);
  }
  if (unreachable() && attempt.sent && !may_repeat(request.method)) {
    return Error(Code::OutcomeUnknown, answer.error().message());
  }
  if (!answer.ok()) return answer.error();
  if (answer->status >= 400 && !request.any_status) {
    return error_of_answer(answer->status, answer->headers.find("content-type").value_or(""), answer->body);
  }
  return answer;
}

Result<ClientAnswer> Client::get(std::string target) {
  ClientRequest request;
  request.target = std::move(target);
  return send(request);
}

Result<ClientAnswer> Client::post(std::string target, std::string json) {
  ClientRequest request;
  request.method = Method::kPost;
  request.target = std::move(target);
  request.body = std::move(json);
  return send(request);
}

void Client::cancel() { impl_->cancellation.cancel(); }
const Cancellation& Client::cancellation() const { return impl_->cancellation; }

}  // namespace ez::http
