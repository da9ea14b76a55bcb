#include "http/connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <exception>

#include "base/check.h"
#include "base/clock.h"
#include "http/problem.h"
#include "http/shard.h"

namespace ez::http {
namespace {

constexpr std::size_t kMaxPendingBytes = 64 * 1024;
constexpr std::size_t kSourcePieceBytes = 64 * 1024;
constexpr std::size_t kBodyProgressBytes = 64 * 1024;
constexpr std::size_t kWriteProgressBytes = 16 * 1024;
constexpr std::size_t kLingerBytes = 1024 * 1024;
constexpr std::size_t kJoinBytes =
    16 * 1024;  // smaller bodies are copied behind their head, larger ones sent beside it
constexpr std::size_t kKeptOutBytes = 4 * 1024;

Error shutting_down() { return Error(Code::ShuttingDown, "the server is stopping"); }

void append_number(std::string& out, std::uint64_t value, int base) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof digits, value, base);
  out.append(digits, static_cast<std::size_t>(end.ptr - digits));
}

// A body whose length is not known when its head is written.
bool open_ended(const Answer& answer) {
  return answer.stream || (answer.source != nullptr && !answer.length);
}

}  // namespace

Connection::~Connection() { EZ_CHECK(phase_ == Phase::kClosed, "an open connection was destroyed"); }

void Connection::begin() {
  events_ = EPOLLIN;
  if (!shard_.loop()->watch(fd_, events_, this).ok()) {
    phase_ = Phase::kClosed;
    ::close(fd_);
    return shard_.bury(*this);
  }
  shard_.set_deadline(*this, Deadline::kIdle);
}

void Connection::refuse(const Error& error) {
  if (phase_ == Phase::kClosed) return;
  answer_problem(error, "", false, shard_.fresh_request_id());
}

void Connection::close() {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  unlink();
  shard_.loop()->forget(fd_);
  ::close(fd_);
  incoming_.reset();
  source_ = nullptr;
  shard_.bury(*this);
  if (const std::shared_ptr<Exchange> exchange = std::move(exchange_); exchange != nullptr) exchange->gone();
}

void Connection::want(std::uint32_t events) {
  if (events == events_ || phase_ == Phase::kClosed) return;
  events_ = events;
  shard_.loop()->change(fd_, events_, this);
}

void Connection::ready(std::uint32_t events) {
  if (phase_ == Phase::kClosed) return;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) return close();  // reset, or closed in both directions
  if ((events & EPOLLOUT) != 0) flush();
  if (phase_ != Phase::kClosed && (events & EPOLLIN) != 0) read_ready();
}

void Connection::read_ready() {
  const bool receiving = phase_ == Phase::kReceiving;
  if (!receiving && phase_ != Phase::kLingering && pending_.size() >= kMaxPendingBytes) {
    return want(events_ & ~static_cast<std::uint32_t>(EPOLLIN));
  }
  char* buffer = shard_.read_buffer.get();
  const ssize_t n = ::recv(fd_, buffer, Shard::kReadBytes, 0);
  if (n < 0) {
    if (errno != EAGAIN && errno != EINTR) close();
    return;
  }
  if (n == 0) return peer_left();
  const std::string_view bytes(buffer, static_cast<std::size_t>(n));
  if (phase_ == Phase::kLingering) {
    progress_bytes_ += static_cast<std::uint32_t>(bytes.size());
    if (progress_bytes_ > kLingerBytes) close();
    return;
  }
  if (receiving && pending_.empty()) {
    const std::size_t used = consume(bytes);
    if (phase_ != Phase::kClosed && phase_ != Phase::kLingering) pending_.assign(bytes.substr(used));
    return;
  }
  pending_.append(bytes);
  if (receiving) consume_pending();
}

void Connection::consume_pending() {
  if (pending_.empty() || consuming_) return;
  const std::size_t used = consume(pending_);
  if (phase_ == Phase::kClosed || phase_ == Phase::kLingering || used == pending_.size()) {
    std::string().swap(pending_);
  } else {
    pending_.erase(0, used);
  }
}

// Takes requests from the front while there are whole ones and each is answered at once. Returns what was
// used.
std::size_t Connection::consume(std::string_view bytes) {
  consuming_ = true;
  std::size_t used = 0;
  while (phase_ == Phase::kReceiving && used < bytes.size()) {
    if (!receive(bytes.substr(used), used)) break;
  }
  consuming_ = false;
  return used;
}

// One step of the request being received. False when more bytes are needed (or the connection has ended).
bool Connection::receive(std::string_view bytes, std::size_t& used) {
  if (incoming_ == nullptr) {
    incoming_ = shard_.lend_incoming();
    progress_bytes_ = 0;
    head_only_ = false;
    http11_ = true;
    method_ = Method::kOther;
    route_ = {};
    received_us_ = 0;
    shard_.set_deadline(*this, Deadline::kHead);
  }
  Incoming& incoming = *incoming_;
  const bool had_head = incoming.parser.head_done();
  const Result<std::size_t> fed = incoming.parser.feed(bytes, &incoming);
  if (!fed.ok()) {
    const Error error = fed.error();
    incoming_.reset();
    used += bytes.size();
    answer_problem(error, "", false, shard_.fresh_request_id());
    return false;
  }
  used += *fed;
  if (!had_head && incoming.parser.head_done()) {
    head_complete();
    if (phase_ != Phase::kReceiving) return false;
  }
  if (incoming.not_worth_reading()) {
    const Error error = *incoming.refusal;
    std::string headers = incoming.refusal_headers;
    std::string id = incoming.request.id;
    const RefusalForm form = incoming.refusal_form();
    incoming_.reset();
    answer_problem(error, std::move(headers), false, std::move(id), form);
    return false;
  }
  if (incoming.parser.done()) {
    dispatch();
    return phase_ == Phase::kReceiving;
  }
  progress_bytes_ += static_cast<std::uint32_t>(*fed);
  if (had_head && progress_bytes_ >= kBodyProgressBytes) {
    progress_bytes_ = 0;
    shard_.set_deadline(*this, Deadline::kBody);
  }
  return *fed > 0;
}

void Connection::head_complete() {
  Incoming& incoming = *incoming_;
  const Head& head = incoming.parser.head();
  keep_alive_ = head.keep_alive;
  http11_ = head.http11;
  method_ = head.method;
  incoming.admit(shard_.shared().router, shard_.shared().gate, shard_.options(), shard_.fresh_request_id());
  head_only_ = method_ == Method::kHead;
  route_ = incoming.request.route == nullptr ? std::string_view()
                                             : std::string_view(incoming.request.route->pattern);
  if (incoming.parser.done()) return;
  progress_bytes_ = 0;
  shard_.set_deadline(*this, Deadline::kBody);
  if (incoming.expects_continue() && !incoming.refusal) transmit("HTTP/1.1 100 Continue\r\n\r\n", {});
}

void Connection::dispatch() {
  ++shard_.shared().requests;
  if (shard_.options().on_access) received_us_ = system_clock().monotonic_us();
  unlink();
  std::unique_ptr<Incoming> incoming = std::move(incoming_);
  incoming->complete();
  if (incoming->refusal) {
    answer_problem(*incoming->refusal, std::move(incoming->refusal_headers), keep_alive_,
                   incoming->request.id, incoming->refusal_form());
    return shard_.give_back(std::move(incoming));
  }
  phase_ = Phase::kHandling;
  exchange_ = std::make_shared<Exchange>(shard_.loop(), this, incoming->request.id);
  const std::shared_ptr<Exchange> exchange = exchange_;
  exchange->begin_dispatch();
  try {
    incoming->request.route->handler(incoming->request, Responder(exchange));
  } catch (const std::exception&) {
    // Unwinding dropped the Responder, which answered 500 INTERNAL unless the handler had handed it on.
  }
  exchange->end_dispatch();
  shard_.give_back(std::move(incoming));
  exchange_ready();
}

void Connection::answer_problem(const Error& error, std::string headers, bool keep_alive, std::string id,
                                RefusalForm form) {
  keep_alive_ = keep_alive;
  Answer answer;
  if (form != nullptr) {
    RefusalAnswer refusal = form(error);
    answer.status = refusal.status;
    answer.content_type = std::move(refusal.content_type);
    answer.headers = std::move(headers);
    append_problem_headers(answer.headers, error);
    answer.headers += refusal.headers;
    answer.body = std::move(refusal.body);
    exchange_ = std::make_shared<Exchange>(shard_.loop(), this, std::move(id));
    return write_answer(std::move(answer));
  }
  answer.status = info(error.code()).http_status;
  answer.content_type = kProblemType;
  answer.headers = std::move(headers);
  append_problem_headers(answer.headers, error);
  answer.body = problem_json(error, id);
  exchange_ = std::make_shared<Exchange>(shard_.loop(), this, std::move(id));
  write_answer(std::move(answer));
}

void Connection::exchange_ready() {
  if (phase_ == Phase::kHandling) {
    if (auto answer = exchange_->take_answer(); answer) write_answer(std::move(*answer));
  } else if (phase_ == Phase::kStreaming && out_.empty()) {
    pump_stream();
  }
}

void Connection::write_head(std::string& out, const Answer& answer, std::uint64_t body_bytes,
                            bool chunked) const {
  out.append("HTTP/1.1 ");
  append_number(out, static_cast<std::uint64_t>(answer.status), 10);
  out.append(" ").append(reason_phrase(answer.status)).append("\r\nDate: ").append(shard_.date());
  if (!answer.content_type.empty()) {
    out.append("\r\nContent-Type: ")
        .append(answer.content_type)
        .append("\r\nX-Content-Type-Options: nosniff");
  }
  if (chunked) {
    out.append("\r\nTransfer-Encoding: chunked");
  } else if (answer.status != 204 && answer.status != 304 && !open_ended(answer)) {
    out.append("\r\nContent-Length: ");
    append_number(out, body_bytes, 10);
  }
  out.append("\r\nX-Request-Id: ").append(exchange_->id).append("\r\n");
  if (answer.headers.find("Cache-Control:") == std::string::npos) out.append("Cache-Control: no-store\r\n");
  out.append(answer.headers);
  if (!keep_alive_) {
    out.append("Connection: close\r\n");
  } else if (!http11_) {
    out.append("Connection: keep-alive\r\n");
  }
  out.append("\r\n");
}

void Connection::write_answer(Answer answer) {
  if (answer.render) answer.body = answer.render();
  if (shard_.draining()) keep_alive_ = false;
  if (open_ended(answer) && !http11_)
    keep_alive_ = false;  // HTTP/1.0 knows no chunks: the close ends the body
  chunked_ = open_ended(answer) && http11_;
  last_piece_ = false;
  const std::uint64_t body_bytes = answer.source != nullptr ? answer.length.value_or(0) : answer.body.size();
  std::string& out = shard_.write_buffer;
  out.clear();
  write_head(out, answer, body_bytes, chunked_);
  if (shard_.options().on_access && phase_ != Phase::kLingering) {
    const std::int64_t duration_us = received_us_ == 0 ? 0 : system_clock().monotonic_us() - received_us_;
    shard_.options().on_access(Access{method_, route_, exchange_->id, answer.status, duration_us});
  }
  unlink();
  phase_ = Phase::kSending;
  if (head_only_ || (answer.source == nullptr && !answer.stream)) {
    if (head_only_) {
      if (answer.stream) exchange_->gone();
      transmit(out, {});
    } else if (answer.body.size() <= kJoinBytes) {
      out.append(answer.body);
      transmit(out, {});
    } else {
      transmit(out, answer.body);
    }
  } else if (answer.source != nullptr) {
    phase_ = Phase::kSourcing;
    source_ = std::move(answer.source);
    source_left_ = body_bytes;
    sized_ = answer.length.has_value();
    transmit(out, {});
  } else {
    phase_ = Phase::kStreaming;
    heartbeat_ = std::move(answer.stream_options.heartbeat);
    transmit(out, {});
  }
  if (phase_ == Phase::kStreaming && shard_.draining()) return end_stream();
  if (phase_ != Phase::kClosed && out_.empty()) written();
}

void Connection::frame(std::string& out, std::string_view piece) const {
  if (piece.empty()) return;
  if (chunked_) {
    append_number(out, piece.size(), 16);
    out.append("\r\n");
  }
  out.append(piece);
  if (chunked_) out.append("\r\n");
}

// One piece for each time that the socket can take more, so that a fast reader does not hold up the other
// connections.
void Connection::pump_source() {
  std::string& out = shard_.write_buffer;
  out.clear();
  Result<std::string> piece = source_(kSourcePieceBytes);
  if (!piece.ok()) return close();  // the only way left to tell the client
  if (piece->empty() || (sized_ && piece->size() >= source_left_)) {
    if (sized_ && piece->size() != source_left_) return close();  // shorter or longer than was said
    last_piece_ = true;
  }
  if (sized_) source_left_ -= piece->size();
  frame(out, *piece);
  if (last_piece_ && chunked_) out.append("0\r\n\r\n");
  transmit(out, {});
  if (phase_ != Phase::kClosed && out_.empty()) {
    if (last_piece_) return written();
    shard_.set_deadline(*this, Deadline::kWrite);
    want(events_ | EPOLLOUT);
  }
}

void Connection::pump_stream() {
  Exchange::Chunks chunks = exchange_->take_chunks();
  last_piece_ = chunks.last;
  std::string& out = shard_.write_buffer;
  out.clear();
  frame(out, chunks.bytes);
  if (last_piece_ && chunked_) out.append("0\r\n\r\n");
  if (!out.empty()) transmit(out, {});
  if (phase_ == Phase::kClosed || !out_.empty()) return;
  if (last_piece_) return answer_done();
  if (!heartbeat_.empty()) {
    shard_.set_deadline(*this, Deadline::kHeartbeat);
  } else {
    unlink();
  }
  exchange_->drained();
}

// Gives the bytes to the kernel; what it does not take waits in out_.
void Connection::transmit(std::string_view first, std::string_view second) {
  if (phase_ == Phase::kClosed) return;
  std::size_t sent = 0;
  if (out_.empty()) {
    iovec parts[2] = {{const_cast<char*>(first.data()), first.size()},
                      {const_cast<char*>(second.data()), second.size()}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = second.empty() ? 1 : 2;
    ssize_t n = 0;
    do {
      n = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN) return close();
    sent = n < 0 ? 0 : static_cast<std::size_t>(n);
  }
  if (sent == first.size() + second.size()) return;
  if (out_.empty()) progress_bytes_ = 0;
  if (sent < first.size()) out_.append(first.substr(sent));
  out_.append(second.substr(sent > first.size() ? sent - first.size() : 0));
  want(events_ | EPOLLOUT);
  if (phase_ != Phase::kReceiving) shard_.set_deadline(*this, Deadline::kWrite);
}

void Connection::flush() {
  while (out_at_ < out_.size()) {
    const ssize_t n = ::send(fd_, out_.data() + out_at_, out_.size() - out_at_, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) return close();
    out_at_ += static_cast<std::size_t>(n);
    progress_bytes_ += static_cast<std::uint32_t>(n);
    if (progress_bytes_ >= kWriteProgressBytes && phase_ != Phase::kReceiving) {
      progress_bytes_ = 0;
      shard_.set_deadline(*this, Deadline::kWrite);
    }
  }
  out_at_ = 0;
  if (out_.capacity() > kKeptOutBytes) {
    std::string().swap(out_);
  } else {
    out_.clear();
  }
  want(events_ & ~static_cast<std::uint32_t>(EPOLLOUT));
  written();
}

// Everything so far is with the kernel.
void Connection::written() {
  switch (phase_) {
    case Phase::kSending:
      return answer_done();
    case Phase::kSourcing:
      return last_piece_ ? answer_done() : pump_source();
    case Phase::kStreaming:
      return last_piece_ ? answer_done() : pump_stream();
    default:
      return;
  }
}

void Connection::answer_done() {
  unlink();
  source_ = nullptr;
  std::string().swap(heartbeat_);
  if (const std::shared_ptr<Exchange> exchange = std::move(exchange_); exchange != nullptr)
    exchange->finish();
  if (!keep_alive_ || peer_closed_ || shard_.draining()) return linger();
  phase_ = Phase::kReceiving;
  shard_.set_deadline(*this, Deadline::kIdle);
  want(events_ | EPOLLIN);
  consume_pending();
}

// Closing at once would make the kernel send a reset when unread bytes are left, and the client might lose
// the answer.
void Connection::linger() {
  if (peer_closed_ || ::shutdown(fd_, SHUT_WR) != 0) return close();
  phase_ = Phase::kLingering;
  progress_bytes_ = 0;
  want(EPOLLIN);
  shard_.set_deadline(*this, Deadline::kLinger);
}

void Connection::peer_left() {
  peer_closed_ = true;
  want(events_ & ~static_cast<std::uint32_t>(EPOLLIN));
  switch (phase_) {
    case Phase::kSending:
    case Phase::kSourcing:
      return;  // it may have closed its sending side only
    case Phase::kHandling:
      if (!exchange_->waits_with_callback()) return;  // the answer may still be welcome
      return close();
    default:
      return close();
  }
}

void Connection::timed_out(Deadline deadline) {
  switch (deadline) {
    case Deadline::kHead:
    case Deadline::kBody: {
      std::string id = incoming_ != nullptr ? incoming_->request.id : std::string();
      if (id.empty()) id = shard_.fresh_request_id();
      incoming_.reset();
      return answer_problem(Error(Code::RequestTimeout, "the request did not arrive in time"), "", false,
                            std::move(id));
    }
    case Deadline::kHeartbeat:
      if (exchange_->send(heartbeat_, heartbeat_.size())) return;
      return close();
    default:
      return close();
  }
}

// The server ends the stream: what waits and the proper end go out, then the handler's side is told.
void Connection::end_stream() {
  const std::shared_ptr<Exchange> exchange = exchange_;
  std::string out;
  frame(out, exchange->take_chunks().bytes);
  if (chunked_) out.append("0\r\n\r\n");
  last_piece_ = true;
  transmit(out, {});
  exchange->gone();
  if (phase_ == Phase::kStreaming && out_.empty()) answer_done();
}

void Connection::drain() {
  if (phase_ == Phase::kReceiving && incoming_ == nullptr) return close();
  if (phase_ == Phase::kStreaming && !last_piece_) return end_stream();
  if (phase_ == Phase::kHandling && exchange_->waits_with_callback()) cut();
}

void Connection::cut() {
  if (phase_ != Phase::kHandling) return close();
  const std::shared_ptr<Exchange> exchange = std::move(exchange_);
  exchange->gone();
  answer_problem(shutting_down(), "", false, exchange->id);
}

}  // namespace ez::http
