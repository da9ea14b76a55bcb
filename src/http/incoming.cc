#include "http/incoming.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "base/random.h"
#include "http/problem.h"

namespace ez::http {
namespace {

constexpr std::uint64_t kWorthReadingBytes = 64 * 1024;
constexpr std::size_t kMaxRequestIdBytes = 64;

bool is_request_id(std::string_view text) {
  if (text.empty() || text.size() > kMaxRequestIdBytes) return false;
  for (const char c : text) {
    const bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_' || c == '.';
    if (!fine) return false;
  }
  return true;
}

}  // namespace

Incoming::~Incoming() { close_file(); }

void Incoming::refuse(const Error& error) {
  if (refusal) return;
  refusal = error;
  close_file();
  std::string().swap(request.body);
}

void Incoming::admit(const Router& router, const Gate& gate, const ServerOptions& options,
                     std::string fresh_id) {
  Head& head = parser.head();
  std::swap(request.headers, head.headers);
  request.method = head.method;
  const auto sent = request.headers.find("x-request-id");
  request.id = sent && is_request_id(*sent) ? std::string(*sent) : std::move(fresh_id);
  const auto expect = request.headers.find("expect");
  expects_continue_ = expect && head.has_body && head.http11 && same_name(*expect, "100-continue");
  if (Status status = check(router, gate, options); !status.ok()) refuse(status.error());
}

Status Incoming::check(const Router& router, const Gate& gate, const ServerOptions& options) {
  const Head& head = parser.head();
  if (head.http11 && request.headers.count("host") != 1) {
    return Error(Code::RequestInvalid, "an HTTP/1.1 request has exactly one Host header");
  }
  EZ_ASSIGN(const Target target, split_target(head.target));
  request.path = target.path;
  auto match = router.match(request.method, request.path, request.parameters);
  if (auto* missing = std::get_if<Router::Missing>(&match); missing != nullptr) {
    if (!missing->allow.empty()) append_header(refusal_headers, "Allow", missing->allow);
    return missing->error;
  }
  const auto& found = std::get<Router::Found>(match);
  const Route& route = *found.route;
  request.route = &route;
  head_of_get = found.head_of_get;
  EZ_ASSIGN(request.query, Query::parse(target.query));
  EZ_TRY(gate.admit(request, route, target.authority));
  if (request.headers.find("expect") && !expects_continue_ && head.has_body) {
    return Error(Code::RequestInvalid, "the only expectation known here is 100-continue");
  }
  limit_ = route.body_limit;
  if (head.content_length && *head.content_length > limit_) {
    return Error(Code::PayloadTooLarge, "the body has " + std::to_string(*head.content_length) +
                                            " bytes; at most " + std::to_string(limit_) + " are taken here");
  }
  if (head.has_body && route.body_mode == BodyMode::kFile) return open_file(options);
  return {};
}

Status Incoming::open_file(const ServerOptions& options) {
  static std::atomic<std::uint64_t> counter{0};
  file_path_ =
      options.upload_dir / ("upload-" + std::to_string(::getpid()) + "-" + std::to_string(++counter) + "-" +
                            std::to_string(system_random().next()));
  file_ = ::open(file_path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file_ < 0) return system_error(Code::IoFailed, Code::DiskFull, "create a file for an upload", errno);
  return {};
}

void Incoming::close_file() {
  if (file_ < 0) return;
  ::close(file_);
  file_ = -1;
  ::unlink(file_path_.c_str());
}

bool Incoming::not_worth_reading() const {
  if (!refusal || parser.done()) return false;
  const Head& head = parser.head();
  // A client that waits for 100 Continue may or may not send the body now; nobody can tell where the next
  // request begins.
  if (expects_continue_) return true;
  return head.content_length.value_or(kWorthReadingBytes) > kWorthReadingBytes ||
         received_ > kWorthReadingBytes;
}

Status Incoming::body(std::string_view piece) {
  received_ += piece.size();
  if (refusal) return {};
  if (received_ > limit_) {
    refuse(Error(Code::PayloadTooLarge, "the body has more than " + std::to_string(limit_) + " bytes"));
    return {};
  }
  if (file_ < 0) {
    request.body.append(piece);
    return {};
  }
  while (!piece.empty()) {
    const ssize_t n = ::write(file_, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      refuse(system_error(Code::IoFailed, Code::DiskFull, "write an upload", errno));
      return {};
    }
    piece.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

void Incoming::complete() {
  if (file_ < 0) return;
  const int failed = ::close(file_);
  file_ = -1;
  request.file = UploadedFile(file_path_, received_);
  if (failed != 0) {
    refuse(system_error(Code::IoFailed, Code::DiskFull, "close an upload", errno));
    request.file = UploadedFile();
  }
}

void Incoming::reset() {
  close_file();
  parser.reset();
  request.clear();
  head_of_get = false;
  refusal.reset();
  refusal_headers.clear();
  received_ = 0;
  limit_ = 0;
  expects_continue_ = false;
}

}  // namespace ez::http
