#include "http/responder.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "http/exchange.h"
#include "http/message.h"
#include "http/problem.h"

namespace ez::http {
namespace {
constexpr std::size_t kLastWordBytes = 1024;
}

Source file_source(int fd, std::uint64_t offset, std::uint64_t size) {
  // Shared because a std::function is copyable; the copies read from one position.
  struct File {
    File(int descriptor, std::uint64_t from, std::uint64_t bytes)
        : fd(descriptor), offset(from), left(bytes) {}
    ~File() { ::close(fd); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    const int fd;
    std::uint64_t offset, left;
  };
  auto file = std::make_shared<File>(fd, offset, size);
  return [file](std::size_t limit) -> Result<std::string> {
    std::string bytes(static_cast<std::size_t>(std::min<std::uint64_t>(limit, file->left)), '\0');
    ssize_t n = 0;
    do {
      n = ::pread(file->fd, bytes.data(), bytes.size(), static_cast<off_t>(file->offset));
    } while (n < 0 && errno == EINTR);
    if (n < 0) return system_error(Code::IoFailed, Code::IoFailed, "read a file to send", errno);
    bytes.resize(static_cast<std::size_t>(n));
    file->offset += bytes.size();
    file->left -= bytes.size();
    return bytes;
  };
}

Stream& Stream::operator=(Stream&& other) noexcept {
  close();
  exchange_ = std::move(other.exchange_);
  return *this;
}

bool Stream::send(std::string_view chunk) { return exchange_ != nullptr && exchange_->send(chunk, 0); }
bool Stream::send_last(std::string_view chunk) {
  EZ_CHECK(chunk.size() <= kLastWordBytes, "a last word must be short");
  return exchange_ != nullptr && exchange_->send(chunk, kLastWordBytes);
}
void Stream::close() {
  if (exchange_ != nullptr) exchange_->close_stream();
  exchange_.reset();
}
bool Stream::open() const { return exchange_ != nullptr && exchange_->stream_open(); }
void Stream::on_closed(std::function<void()> callback) {
  if (exchange_ != nullptr) exchange_->on_gone(std::move(callback));
}
void Stream::on_drained(std::function<void()> callback) {
  if (exchange_ != nullptr) exchange_->on_drained(std::move(callback));
}

Responder::~Responder() {
  if (exchange_ != nullptr) problem(Error(Code::Internal, "the request was dropped without an answer"));
}

Responder& Responder::header(std::string_view name, std::string_view value) {
  append_header(headers_, name, value);
  return *this;
}

std::shared_ptr<Exchange> Responder::take() {
  EZ_CHECK(exchange_ != nullptr, "a request was answered twice");
  return std::move(exchange_);
}

const std::string& Responder::request_id() const {
  EZ_CHECK(exchange_ != nullptr, "the request is answered already");
  return exchange_->id;
}

bool Responder::bytes(int status, std::string_view content_type, std::string body) {
  Answer answer;
  answer.status = status;
  answer.content_type = content_type;
  answer.headers = std::move(headers_);
  answer.body = std::move(body);
  return take()->complete(std::move(answer));
}

bool Responder::json(int status, std::string body) {
  return bytes(status, "application/json", std::move(body));
}

bool Responder::json_later(int status, std::function<std::string()> render) {
  Answer answer;
  answer.status = status;
  answer.content_type = "application/json";
  answer.headers = std::move(headers_);
  answer.render = std::move(render);
  return take()->complete(std::move(answer));
}

bool Responder::empty(int status) { return bytes(status, "", ""); }

bool Responder::problem(const Error& error) {
  append_problem_headers(headers_, error);
  return bytes(info(error.code()).http_status, kProblemType, problem_json(error, request_id()));
}

bool Responder::source(int status, std::string_view content_type, std::optional<std::uint64_t> length,
                       Source source) {
  Answer answer;
  answer.status = status;
  answer.content_type = content_type;
  answer.headers = std::move(headers_);
  answer.source = std::move(source);
  answer.length = length;
  return take()->complete(std::move(answer));
}

Stream Responder::begin_stream(std::string_view content_type, StreamOptions options) {
  Answer answer;
  answer.status = 200;
  answer.content_type = content_type;
  answer.headers = std::move(headers_);
  answer.stream = true;
  answer.stream_options = std::move(options);
  std::shared_ptr<Exchange> exchange = take();
  (void)exchange->complete(std::move(answer));
  return Stream(std::move(exchange));
}

void Responder::on_disconnect(std::function<void()> callback) {
  EZ_CHECK(exchange_ != nullptr, "the request is answered already");
  exchange_->on_gone(std::move(callback));
}

}  // namespace ez::http
