#include "queue/redis/connection.h"

#include <hiredis/hiredis.h>
#include <poll.h>

#include <charconv>

#include "base/clock.h"

namespace ez::queue::redis {
namespace {

constexpr std::size_t kReadBytes = 256 * 1024;

std::int64_t now_us() { return system_clock().monotonic_us(); }

struct FreeReply {
  void operator()(redisReply* reply) const { ::freeReplyObject(reply); }
};

Reply take_apart(const redisReply& from) {
  Reply out;
  switch (from.type) {
    case REDIS_REPLY_ERROR:
      out.kind = Reply::Kind::kError;
      out.text.assign(from.str, from.len);
      break;
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_STRING:
      out.kind = Reply::Kind::kText;
      out.text.assign(from.str, from.len);
      break;
    case REDIS_REPLY_INTEGER:
      out.kind = Reply::Kind::kNumber;
      out.number = from.integer;
      break;
    case REDIS_REPLY_ARRAY:
      out.kind = Reply::Kind::kList;
      out.list.reserve(from.elements);
      for (std::size_t i = 0; i < from.elements; ++i) out.list.push_back(take_apart(*from.element[i]));
      break;
    default:
      break;
  }
  return out;
}

bool begins(std::string_view text, std::string_view start) { return text.substr(0, start.size()) == start; }

}  // namespace

const Reply& Reply::at(std::size_t index) const {
  static const Reply nil;
  return index < list.size() ? list[index] : nil;
}

Error answer_error(const std::string& where, const std::string& text) {
  for (const char* refused : {"WRONGPASS", "NOAUTH", "NOPERM", "ERR invalid password", "ERR AUTH"}) {
    if (begins(text, refused)) return Error(Code::QueueRefused, where + ": " + text);
  }
  // Of a command inside of a script.
  if (text.find("The user executing the script can't") != std::string::npos) {
    return Error(Code::QueueRefused, where + ": " + text);
  }
  if (text.find("OOM ") != std::string::npos || begins(text, "MISCONF")) {
    return Error(Code::QueueFull, where + ": " + text);
  }
  for (const char* passing : {"READONLY", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "NOSCRIPT",
                              "BUSY ", "NOREPLICAS", "UNBLOCKED", "NOTOPIC", "OUTOFTURN", "MOVED", "ASK"}) {
    if (text.find(passing) != std::string::npos) return Error(Code::QueueUnreachable, where + ": " + text);
  }
  return Error(Code::QueueProtocol, where + ": Redis refused a command: " + text,
               "ez needs Redis 7 or newer; check the version and what the user may do.");
}

struct Connection::Reader {
  redisReader* reader = ::redisReaderCreate();
  ~Reader() { ::redisReaderFree(reader); }
};

Connection::Connection(std::unique_ptr<broker::Stream> stream, std::string where, std::int64_t timeout_ms)
    : stream_(std::move(stream)),
      where_(std::move(where)),
      timeout_ms_(timeout_ms),
      reader_(std::make_unique<Reader>()),
      buffer_(kReadBytes) {}

Connection::~Connection() = default;

Result<std::unique_ptr<Connection>> Connection::open(const broker::BrokerOptions& options,
                                                     const broker::Address& address) {
  EZ_ASSIGN(auto stream, broker::Stream::connect(options, address));
  std::unique_ptr<Connection> connection(
      new Connection(std::move(stream), address.host + ":" + address.port, options.request_timeout_ms));
  if (!options.password.empty()) {
    Words words{"AUTH"};
    if (!options.user.empty()) words.push_back(options.user);
    words.push_back(options.password);
    auto answer = connection->ask(words);
    if (!answer.ok()) return answer.error();
  }
  auto pong = connection->ask({"PING"});
  if (!pong.ok()) return pong.error();
  if (pong->text != "PONG") {
    return Error(Code::QueueProtocol, connection->where() + ": what answers there is not Redis");
  }
  connection->append({"MULTI"});
  EZ_ASSIGN(const Reply began, connection->call({"EXEC"}));
  EZ_ASSIGN(const Reply ended, connection->receive());
  connection->transactions_ = !began.is_error() && !ended.is_error();
  return connection;
}

void Connection::append(const Words& words) {
  const auto head = [this](char kind, std::size_t number) {
    char digits[24];
    out_.push_back(kind);
    out_.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
    out_ += "\r\n";
  };
  head('*', words.size());
  for (const std::string_view word : words) {
    head('$', word.size());
    out_ += word;
    out_ += "\r\n";
  }
}

Status Connection::flush() {
  if (out_.empty()) return {};
  const Status status = stream_->write(out_, now_us() + timeout_ms_ * 1000);
  out_.clear();
  // One large batch must not hold its memory for ever.
  if (out_.capacity() > (4U << 20)) out_.shrink_to_fit();
  return status;
}

Result<bool> Connection::parse(Reply& reply) {
  void* got = nullptr;
  if (::redisReaderGetReply(reader_->reader, &got) != REDIS_OK) {
    return Error(Code::QueueProtocol,
                 where_ + ": what answers there is not Redis: " + reader_->reader->errstr);
  }
  if (got == nullptr) return false;
  const std::unique_ptr<redisReply, FreeReply> owned(static_cast<redisReply*>(got));
  reply = take_apart(*owned);
  return true;
}

Status Connection::read_more(std::int64_t deadline_us) {
  EZ_ASSIGN(const std::size_t size, stream_->read(buffer_.data(), buffer_.size(), deadline_us));
  ::redisReaderFeed(reader_->reader, buffer_.data(), size);
  return {};
}

Result<Reply> Connection::receive() {
  const std::int64_t deadline = now_us() + timeout_ms_ * 1000;
  Reply reply;
  while (true) {
    EZ_ASSIGN(const bool whole, parse(reply));
    if (whole) return reply;
    EZ_TRY(read_more(deadline));
  }
}

Result<bool> Connection::receive_ready(Reply& reply) {
  while (true) {
    EZ_ASSIGN(const bool whole, parse(reply));
    if (whole) return true;
    pollfd wanted{descriptor(), POLLIN, 0};
    if (!stream_->buffered() && ::poll(&wanted, 1, 0) <= 0) return false;
    EZ_TRY(read_more(now_us() + timeout_ms_ * 1000));
  }
}

Result<Reply> Connection::call(const Words& words) {
  append(words);
  EZ_TRY(flush());
  return receive();
}

Result<Reply> Connection::ask(const Words& words) {
  EZ_ASSIGN(Reply reply, call(words));
  if (reply.is_error()) return answer_error(where_, reply.text);
  return reply;
}

}  // namespace ez::queue::redis
