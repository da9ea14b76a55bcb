// Link: one AMQP connection with one channel, over librabbitmq, whose header stays in link.cc.
//
// Threads: one at a time. Nothing blocks for longer than the request timeout: where librabbitmq has no
// timeout of its own, a watchdog shuts the socket down. Errors end the link, except that of declare and count
// that say so.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "queue/rabbitmq/rabbitmq_bus.h"

namespace ez::queue::rabbitmq {

using TableValue = std::variant<std::int64_t, std::string, bool>;
using Table = std::vector<std::pair<std::string, TableValue>>;

struct QueueFlags {
  bool durable = true;
  bool exclusive = false;
};

// A message as AMQP carries it; see message_codec.h.
struct Content {
  std::string id;
  std::string body;
  Table headers;
};

struct Event {
  enum class Kind : std::uint8_t { kNone, kDelivery, kConfirm, kReturned, kCancelled };
  Kind kind = Kind::kNone;
  std::uint64_t tag = 0;  // of a delivery or confirmation
  bool multiple = false;  // confirms all up to the tag
  bool refused = false;   // a confirmation that says no
  std::string consumer;   // of a delivery or cancellation
  Content content;        // of a delivery
};

class Link {
 public:
  // heartbeat_s: 0 for none; otherwise next() has to be called about every second.
  [[nodiscard]] static Result<std::unique_ptr<Link>> open(const RabbitOptions& options, int heartbeat_s);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  [[nodiscard]] Status declare_exchange(const std::string& name, const char* type);
  [[nodiscard]] Status declare_queue(const std::string& name, QueueFlags flags, const Table& arguments);
  [[nodiscard]] Status bind(const std::string& queue, const std::string& exchange, const std::string& key);
  [[nodiscard]] Status delete_queue(const std::string& name);
  [[nodiscard]] Status delete_exchange(const std::string& name);
  // TOPIC_NOT_FOUND when there is no such queue; the link then needs reopen_channel().
  [[nodiscard]] Result<std::uint64_t> count(const std::string& queue);
  // How many consumers it has; otherwise as count().
  [[nodiscard]] Result<std::uint64_t> readers(const std::string& queue);
  // Also of a queue that another connection has for itself alone. The link may be used further.
  [[nodiscard]] Result<bool> exists(const std::string& queue);
  // Makes an exclusive queue. False: another connection has it. The link may be used further, on a new
  // channel.
  [[nodiscard]] Result<bool> lock(const std::string& queue);
  [[nodiscard]] Result<std::uint64_t> purge(const std::string& queue);
  [[nodiscard]] Status reopen_channel();

  [[nodiscard]] Status confirms();  // from now on, publish() is confirmed by tags 1, 2, 3 …
  // Persistent. `mandatory`: comes back as kReturned when it goes into no queue.
  [[nodiscard]] Status publish(const std::string& exchange, const std::string& key, const Message& message,
                               std::int64_t published_ms, bool mandatory);
  [[nodiscard]] Status publish_text(const std::string& exchange, const std::string& key,
                                    const std::string& id, const std::string& text);

  [[nodiscard]] Status prefetch(std::uint16_t count);  // a round trip too
  [[nodiscard]] Status consume(const std::string& queue, const std::string& consumer, const Table& arguments);
  [[nodiscard]] Status cancel(const std::string& consumer);
  [[nodiscard]] Status ack(std::uint64_t tag, bool multiple);
  [[nodiscard]] Status give_back(std::uint64_t tag, bool multiple);
  [[nodiscard]] Result<std::optional<Event>> get(const std::string& queue);  // not acknowledged

  // The next thing that the broker says, within the time; kNone when there was nothing.
  [[nodiscard]] Result<Event> next(std::int64_t wait_us);
  [[nodiscard]] int descriptor() const;
  [[nodiscard]] bool buffered() const;  // next() has something without reading from the socket

 private:
  struct Impl;
  explicit Link(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ez::queue::rabbitmq
