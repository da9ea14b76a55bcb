// The message bus: one interface, four backends (embedded, redis, kafka, rabbitmq), the same semantics.
//
// Groups. Consumers of one group compete: each message goes to one of them. Every group gets every message of
// the topics that its pattern matches. A group is durable: it is known from its first subscription on, also
// while nobody consumes, until drop_group(). What is published to a topic that no group matches is kept for
// the first group that comes; a later group begins with what is published after it was made. A broadcast
// consumer is a group of its own that begins with what is published after it was made and ends with it.
//
// Delivery. At least once. A delivery is leased to its consumer; ack ends it, nack gives it back (after a
// delay), extend prolongs the lease. A lease that ends, a consumer that is closed and a lost connection give
// back what was not acknowledged. `attempt` counts the deliveries that were given back by nack or by the end
// of a lease (a backend that cannot count exactly counts too little rather than too much).
//
// Order. Within a topic lower Priority numbers first. Of messages with the same topic and key, at most one
// is out in a group at any time, and they go out in the order in which they were published, whatever their
// priority; one that is given back comes again before its followers, also while it waits for its nack
// delay. A message with a delay takes its place in that order when it is due. Without a key: about in order.
//
// Publishing. A Receipt means durable, as durable as the backend is configured to be. The same id again
// within the backend's window (capabilities) is answered with duplicate = true and changes nothing.
// OUTCOME_UNKNOWN: publish again with the same id. Messages of one publish() are accepted one by one: each
// has its own answer.
//
// Flow control. Everything is bounded: publish() refuses with OVERLOADED what exceeds max_pending_bytes of
// the backend, with QUEUE_FULL what exceeds the topic's limit; a consumer holds at most its max_in_flight
// deliveries; a take() gives at most what it asks for.
//
// Threads. All methods may be called from any thread and do not wait for the network or the disk, except
// where they say so. Callbacks are called exactly once, from a thread of the backend or inside the call, with
// no lock held; they must not wait. They may call the bus again. The destructors of Bus and Consumer call
// back what is outstanding (SHUTTING_DOWN) before they return; never destroy one inside a callback of it. A
// Bus outlives its Consumers.
//
// Errors say by their code whether a retry helps (Error::retry()): QUEUE_UNREACHABLE, OVERLOADED, QUEUE_FULL,
// OUTCOME_UNKNOWN, SHUTTING_DOWN do; QUEUE_REFUSED (credentials, permissions), QUEUE_TLS_FAILED,
// QUEUE_PROTOCOL (another protocol on that port), TOPIC_NOT_FOUND, LEASE_STALE, INVALID_ARGUMENT,
// PAYLOAD_TOO_LARGE do not. A backend reconnects by itself, with growing pauses, for as long as it lives.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "queue/message.h"

namespace ez::queue {

class Inventory;

struct Receipt {
  std::string id;          // of the message; the bus's own when none was given
  bool duplicate = false;  // the same id was accepted before: nothing was added
};

template <typename T>
using Callback = std::function<void(Result<T>)>;
using PublishCallback = std::function<void(std::vector<Result<Receipt>>)>;  // in the order of the messages
using SettleCallback = std::function<void(std::vector<Status>)>;            // in the order of the tags

// What a backend does by itself; docs/guide/queues.md says what the manager does where it does not.
struct Capabilities {
  std::string backend;              // embedded, redis, kafka, rabbitmq
  std::uint64_t duplicate_ids = 0;  // about how many repeated ids it recognises; 0: none
  bool priorities = true;           // false: about in order of publishing
  bool exact_counts = true;         // false: counts() may lag
  bool survives_restart = true;     // of the broker, with the present settings
};

struct SubscribeOptions {
  std::string pattern;
  std::string group;                 // empty: broadcast
  std::size_t max_in_flight = 1000;  // 1 to 100,000 deliveries that are out and not settled
  std::int64_t lease_ms = 30'000;    // 100 ms to 12 h
  // At a broker: the topic exists from then on (a pattern without * and #), so that programs which know
  // nothing of this bus can put messages into it. Other backends pass over it.
  bool make_topic = false;
};

// Which of a handle's groups read the topics that a pattern matches: what programs of others consume at a
// broker no group of ours may take away from them.
struct ReaderRule {
  enum class Who : std::uint8_t { kAll, kNobody, kOne };
  std::string pattern;
  Who who = Who::kAll;
  std::string group;  // kOne: the group of that name on exactly that topic, and no other
};

// Takes from one subscription. Destroying it gives back what is not settled, without waiting for the broker.
class Consumer {
 public:
  virtual ~Consumer() = default;
  // Up to `max` deliveries (and about max_bytes of payload, at least one message). Answers as soon as there
  // is one, at the latest after `wait` with none. At most one take of a consumer is outstanding: OVERLOADED.
  virtual void take(std::size_t max, std::size_t max_bytes, std::chrono::milliseconds wait,
                    Callback<std::vector<Delivery>> done) = 0;
  // Done with it: durable when answered. LEASE_STALE: the lease had ended or it was settled before.
  virtual void ack(std::vector<DeliveryTag> tags, SettleCallback done) = 0;
  // Not done: comes again after `delay`, with attempt + 1.
  virtual void nack(std::vector<DeliveryTag> tags, std::chrono::milliseconds delay, SettleCallback done) = 0;
  // The lease ends `lease` from now.
  virtual void extend(std::vector<DeliveryTag> tags, std::chrono::milliseconds lease,
                      SettleCallback done) = 0;
};

struct TopicCounts {
  std::string topic;
  std::uint64_t ready = 0;      // may be delivered now: of the slowest group; without a group: what is kept
  std::uint64_t delayed = 0;    // waits for its time
  std::uint64_t in_flight = 0;  // out, not settled; of all groups together
  std::uint64_t bytes = 0;      // of payloads that are kept
  std::uint64_t published = 0;  // accepted since the topic was made, or since the backend knows it
};

class Bus {
 public:
  virtual ~Bus() = default;

  // Sends the messages (1 to 10,000, together at most 16 MiB). Topics are made when they are first used.
  virtual void publish(std::vector<Message> messages, PublishCallback done) = 0;

  // Makes the group when it is new; durable when it returns. Waits at most `wait` for that.
  [[nodiscard]] virtual Result<std::unique_ptr<Consumer>> subscribe(SubscribeOptions options,
                                                                    std::chrono::milliseconds wait) = 0;
  // For the groups that are subscribed through this handle from then on (not for broadcasts), also after it
  // has ended, and until other rules are set. The first rule that matches a topic holds; without one all read
  // it. A topic that is left to others by its name exists from then on.
  virtual void set_reader_rules(std::vector<ReaderRule> rules) { (void)rules; }
  // Forgets the group and what waits for it; open consumers of it end with TOPIC_NOT_FOUND.
  virtual void drop_group(std::string pattern, std::string group, Callback<bool> done) = 0;

  // Up to `max` (at most 1,000) messages that wait in the topic, oldest first, without taking them; attempt
  // and tag mean nothing. TOPIC_NOT_FOUND.
  virtual void peek(std::string topic, std::size_t max, Callback<std::vector<Delivery>> done) = 0;
  // Removes all that waits (ready or delayed; not what is out) for all groups; gives about how many messages.
  // TOPIC_NOT_FOUND.
  virtual void purge(std::string topic, Callback<std::uint64_t> done) = 0;
  // Of every known topic that the pattern matches, by name.
  virtual void counts(std::string pattern, Callback<std::vector<TopicCounts>> done) = 0;

  // A real round trip to the broker: a write that is durable and read back, or the nearest that it has; gives
  // microseconds. Answers at the latest after `wait` (QUEUE_UNREACHABLE). Also the test of a new connection.
  virtual void check_health(std::chrono::milliseconds wait, Callback<std::int64_t> done) = 0;

  [[nodiscard]] virtual Capabilities capabilities() const = 0;

  // For moving its messages elsewhere (inventory.h); nullptr: this bus has none. Lives as long as the bus.
  [[nodiscard]] virtual Inventory* inventory() { return nullptr; }
};

// The blocking forms, for tests, tools and simple callers; never inside a callback. They wait for as long as
// the bus takes; every backend bounds that by its own timeouts.
[[nodiscard]] std::vector<Result<Receipt>> publish_and_wait(Bus& bus, std::vector<Message> messages);
[[nodiscard]] Result<Receipt> publish_and_wait(Bus& bus, Message message);
[[nodiscard]] Result<std::vector<Delivery>> take_and_wait(Consumer& consumer, std::size_t max,
                                                          std::chrono::milliseconds wait);
[[nodiscard]] Status ack_and_wait(Consumer& consumer, std::vector<DeliveryTag> tags);  // the first failure
[[nodiscard]] Status nack_and_wait(Consumer& consumer, std::vector<DeliveryTag> tags,
                                   std::chrono::milliseconds delay);
[[nodiscard]] Status extend_and_wait(Consumer& consumer, std::vector<DeliveryTag> tags,
                                     std::chrono::milliseconds lease);
[[nodiscard]] Result<std::vector<Delivery>> peek_and_wait(Bus& bus, std::string topic, std::size_t max);
[[nodiscard]] Result<std::uint64_t> purge_and_wait(Bus& bus, std::string topic);
[[nodiscard]] Result<std::vector<TopicCounts>> counts_and_wait(Bus& bus, std::string pattern);
[[nodiscard]] Result<std::int64_t> check_health_and_wait(Bus& bus, std::chrono::milliseconds wait);

}  // namespace ez::queue
