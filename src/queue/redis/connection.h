// Connection: commands to one Redis server and its replies, over a Stream; RESP2 by hiredis' reader.
// Commands may be sent ahead of their replies, which come in the same order.
//
// Threads: one at a time. Errors end the connection, except those of answer_error(): the server's own refusal
// of one command.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "queue/broker/stream.h"
#include "queue/redis/redis_bus.h"

namespace ez::queue::redis {

// A reply by value.
struct Reply {
  enum class Kind : std::uint8_t { kText, kError, kNumber, kNil, kList };
  Kind kind = Kind::kNil;
  std::string text;  // also of an error
  std::int64_t number = 0;
  std::vector<Reply> list;

  [[nodiscard]] bool is_error() const { return kind == Kind::kError; }
  [[nodiscard]] const Reply& at(std::size_t index) const;  // nil when it is not there
};

using Words = std::vector<std::string_view>;

// What the server's refusal means for the caller. The codes that want a new connection (READONLY, LOADING …)
// become QUEUE_UNREACHABLE.
[[nodiscard]] Error answer_error(const std::string& where, const std::string& text);

class Connection {
 public:
  // Connects, authenticates, and makes sure that it is Redis that answers.
  [[nodiscard]] static Result<std::unique_ptr<Connection>> open(const broker::BrokerOptions& options,
                                                                const broker::Address& address);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void append(const Words& words);  // gathers; nothing is sent yet
  [[nodiscard]] Status flush();
  [[nodiscard]] Result<Reply> receive();
  [[nodiscard]] Result<Reply> call(const Words& words);  // append, flush, receive; nothing else is under way
  // The same, and a refusal is an error.
  [[nodiscard]] Result<Reply> ask(const Words& words);

  // For a connection that subscribes: replies that are there already, without waiting.
  [[nodiscard]] Result<bool> receive_ready(Reply& reply);
  [[nodiscard]] int descriptor() const { return stream_->descriptor(); }
  [[nodiscard]] const std::string& where() const { return where_; }
  // Whether the user could use MULTI and EXEC when this connection was opened.
  [[nodiscard]] bool transactions() const { return transactions_; }

 private:
  struct Reader;
  Connection(std::unique_ptr<broker::Stream> stream, std::string where, std::int64_t timeout_ms);
  [[nodiscard]] Result<bool> parse(Reply& reply);
  [[nodiscard]] Status read_more(std::int64_t deadline_us);

  std::unique_ptr<broker::Stream> stream_;
  const std::string where_;
  const std::int64_t timeout_ms_;
  std::unique_ptr<Reader> reader_;
  std::string out_;
  std::vector<char> buffer_;
  bool transactions_ = false;
};

}  // namespace ez::queue::redis
