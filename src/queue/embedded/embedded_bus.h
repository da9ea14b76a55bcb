// The embedded backend: the bus in a log of its own, over the same interface as the engine's log.
//
// What a caller is told is in the log and synced. A message's bytes are written once; memory holds where they
// stand (state.h) and the newest records (cache_bytes). A consumer that is far behind reads the log: its
// take() then reads the disk in the calling thread.
//
// Snapshots hold the state, not the payloads. The log is cut behind the oldest record that something refers
// to; messages that keep much of the log alive are written again at its end (kMove).
//
// Bounds: max_pending_bytes of proposals (OVERLOADED), max_topic_messages and max_topic_bytes (QUEUE_FULL).
// When the disk is nearly full publishing answers LOG_DISK_FULL.
//
// Threads. One of its own works the log. See bus.h for the rest.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "log/local_log.h"
#include "log/log.h"
#include "queue/bus.h"
#include "queue/embedded/place.h"

namespace ez::queue {

struct EmbeddedOptions {
  std::uint64_t max_pending_bytes = 64ULL << 20;
  std::uint64_t cache_bytes = 64ULL << 20;
  std::uint64_t snapshot_bytes = 256ULL << 20;  // of log between two snapshots
  std::uint64_t move_bytes = 512ULL << 20;      // of log that may be kept for few messages
  std::uint64_t max_topic_messages = 10'000'000;
  std::uint64_t max_topic_bytes = 8ULL << 30;
  std::uint32_t max_deliveries = 20;  // given back so often, a message becomes a dead letter; 0: never
  Clock* clock = nullptr;             // nullptr: system_clock()
  Random* random = nullptr;           // for ids; nullptr: system_random()
};

struct DeadLetterView {
  std::uint64_t number = 0;
  std::string group;
  std::uint32_t attempts = 0;
  std::int64_t died_ms = 0;
  std::string reason;
  std::vector<std::pair<std::int64_t, std::string>> history;  // when, why; the last ten
  Delivery original;                                          // tag means nothing
};

struct DeadLetterFilter {
  std::vector<std::uint64_t> numbers;  // empty: any
  std::string topic;                   // a pattern; empty: any
  std::string group;                   // empty: any
  std::string reason;                  // is contained; empty: any
  std::uint64_t after = 0;             // numbers above this one
  std::size_t limit = 1000;
};

// What only the embedded backend's consumers can do.
class EmbeddedConsumer : public Consumer {
 public:
  // As nack(), and the reason is kept in the message's history.
  virtual void nack_because(std::vector<DeliveryTag> tags, std::chrono::milliseconds delay,
                            std::string reason, SettleCallback done) = 0;
  // They become dead letters: the group is done with them, and they are kept until redriven or discarded.
  // OVERLOADED when 100,000 dead letters are kept.
  virtual void bury(std::vector<DeliveryTag> tags, std::string reason, SettleCallback done) = 0;
};

struct EmbeddedGroup {
  std::string name;
  bool durable = true;
  std::uint64_t ready = 0;
  std::uint64_t delayed = 0;
  std::uint64_t in_flight = 0;
};

struct EmbeddedTopic {
  TopicCounts counts;
  bool paused = false;
  std::uint64_t expired = 0;
  std::uint64_t dead = 0;
  std::vector<EmbeddedGroup> groups;
};

struct EmbeddedFigures {
  std::uint64_t topics = 0;
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  std::uint64_t dead = 0;
  std::uint64_t published = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t delivered = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t given_back = 0;
  std::uint64_t expired = 0;
  std::uint64_t log_first = 0;
  std::uint64_t log_last = 0;
};

class EmbeddedBus : public Bus {
 public:
  // How its log is best opened: large batches, and no zeros written ahead, because at 100 MB/s they would
  // take half of the disk.
  [[nodiscard]] static log::LocalLogOptions log_options();

  // Recovers and waits until the log leads. Errors of the log; LOG_DAMAGED, SNAPSHOT_DAMAGED,
  // LOG_FORMAT_NEWER. Clock and random outlive the bus.
  [[nodiscard]] static Result<std::unique_ptr<EmbeddedBus>> open(std::unique_ptr<log::Log> log,
                                                                 EmbeddedOptions options = {});

  [[nodiscard]] virtual Result<std::unique_ptr<EmbeddedConsumer>> subscribe_embedded(
      SubscribeOptions options, std::chrono::milliseconds wait) = 0;
  // No deliveries of that topic while paused; publishing goes on. TOPIC_NOT_FOUND.
  virtual void pause(std::string topic, bool on, Callback<bool> done) = 0;
  // An empty pattern: all topics of all namespaces.
  [[nodiscard]] virtual std::vector<EmbeddedTopic> topics(const std::string& pattern) = 0;

  // Ascending by number. Reads the log.
  [[nodiscard]] virtual Result<std::vector<DeadLetterView>> dead_letters(const DeadLetterFilter& filter) = 0;
  [[nodiscard]] virtual std::vector<std::uint64_t> dead_numbers(const DeadLetterFilter& filter) = 0;
  // Back to the group where they died, at the end of the topic; gives how many.
  virtual void redrive(std::vector<std::uint64_t> numbers, Callback<std::uint64_t> done) = 0;
  virtual void discard(std::vector<std::uint64_t> numbers, Callback<std::uint64_t> done) = 0;

  // Small documents that others keep in the queue's log (triggers): at most 1,000 of 64 KiB (OVERLOADED,
  // PAYLOAD_TOO_LARGE). An empty value removes; gives whether the key was there before.
  virtual void set(std::string key, std::string value, Callback<bool> done) = 0;
  [[nodiscard]] virtual std::vector<std::pair<std::string, std::string>> settings(
      const std::string& prefix) = 0;

  // ---- messages that also travel through a broker (manager/) ----
  //
  // A gated subscription's group waits for such a message until it is said to have arrived; whatever else
  // is promised of it (order of its key, time, being settled once) does not depend on that. Nothing of it is
  // logged: after a restart everything has arrived. At most Lines::kMaxOnTheWay are waited for; more than
  // that have arrived at once.
  using PlacedCallback = std::function<void(std::vector<Result<Receipt>>, std::vector<Place>)>;
  // As publish(), and says where they stand; what is not new, or refused, stands nowhere.
  virtual void publish_on_the_way(std::vector<Message> messages, PlacedCallback done) = 0;
  // Ending it lets everything of the subscription arrive.
  virtual void gate(const std::string& pattern, const std::string& group, bool on) = 0;
  // For that group (empty: for all groups). Places that are not kept any more are passed over.
  virtual void arrived(const std::string& group, const std::vector<Place>& places) = 0;
  // Everything of the subscription that set out so long ago; everything of all.
  virtual void arrived_older(const std::string& pattern, const std::string& group,
                             std::chrono::milliseconds age) = 0;
  virtual void all_arrived() = 0;
  [[nodiscard]] virtual std::size_t on_the_way() = 0;
  [[nodiscard]] virtual bool has_subscription(const std::string& pattern, const std::string& group) = 0;
  // What the subscription has still to do, in all topics: not settled. O(messages that are kept / 64).
  [[nodiscard]] virtual std::uint64_t unsettled(const std::string& pattern, const std::string& group) = 0;

  [[nodiscard]] virtual EmbeddedFigures figures() = 0;
  // Why nothing is accepted any more; the process should exit with its code.
  [[nodiscard]] virtual std::optional<Error> failure() = 0;
  // Called once when the log has failed: nothing is accepted any more.
  virtual void on_failure(std::function<void(const Error&)> callback) = 0;
  // Writes a snapshot now and cuts the log; waits until it is durable (for tests).
  [[nodiscard]] virtual Status snapshot_now() = 0;
  // The state as bytes, for comparing (tests).
  [[nodiscard]] virtual std::string state_bytes() = 0;
};

}  // namespace ez::queue
