// Driver: what the shared half of the broker backends (broker/) asks of one broker. A driver opens sessions;
// each session is one connection (or what stands for it) that one thread uses, and is thrown away after its
// first failure. Everything blocks, for at most the timeouts of BrokerOptions.
//
// Errors of a session that a new one may cure have a code whose retry() is true (QUEUE_UNREACHABLE); all
// others (QUEUE_REFUSED, QUEUE_TLS_FAILED, QUEUE_PROTOCOL) are told to the callers at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "queue/broker/options.h"
#include "queue/broker/registry.h"
#include "queue/broker/sequencer.h"
#include "queue/bus.h"
#include "queue/inventory.h"

namespace ez::queue::broker {

// One message on its way out. Outlives the send and its receive.
struct Outgoing {
  const Message* message = nullptr;  // with its id
  std::int64_t published_ms = 0;
};

class PublishSession {
 public:
  virtual ~PublishSession() = default;
  // Sends without waiting for answers; the topics' queues are there. A failure ends the session.
  [[nodiscard]] virtual Status send(const std::vector<Outgoing>& batch) = 0;
  // The answers of the oldest batch that was sent and not received, one for each message.
  [[nodiscard]] virtual Result<std::vector<Result<Receipt>>> receive() = 0;
  [[nodiscard]] virtual std::size_t max_batches() const { return 2; }  // sent and not received
};

// How a group reads. The queues may change at any time.
class ReadSession {
 public:
  virtual ~ReadSession() = default;
  // Which queues to read from now on; source numbers are the index in this list, which only grows within a
  // session (a queue that is gone has an empty topic).
  [[nodiscard]] virtual Status set_sources(const std::vector<TopicQueue>& sources) = 0;
  // What is there now, about `want` messages at most; does not wait for messages to come.
  struct Fetched {
    std::vector<Entry> entries;
    std::vector<std::uint32_t> lost;       // sources whose entries the broker has taken back
    std::vector<std::uint32_t> lost_keys;  // the same for the lane of messages with keys
    std::vector<std::uint32_t> gone;       // sources that do not exist any more: their group was dropped
  };
  [[nodiscard]] virtual Result<Fetched> fetch(std::size_t want) = 0;
  // Done with them. True: it is durable. False: the broker had taken them back.
  struct Settled {
    Place place;
    std::size_t bytes = 0;
  };
  [[nodiscard]] virtual Result<std::vector<bool>> settle(const std::vector<Settled>& done) = 0;
  // Until there may be something to fetch, `wake_fd` is readable, or the time is over.
  [[nodiscard]] virtual Status wait(int wake_fd, std::chrono::milliseconds time) = 0;
  // Gives back at once what was fetched and not settled. Best effort; the session is not used afterwards.
  virtual void leave() = 0;
  // Lanes of sources whose entries the broker has taken back since the last call; asked after every other
  // call.
  struct LostLane {
    std::uint32_t source = 0;
    std::uint8_t lane = 0;
  };
  [[nodiscard]] virtual std::vector<LostLane> take_lost() { return {}; }
  // Queues that the broker lacks, since the last call: whoever knows that they should be there makes them.
  [[nodiscard]] virtual std::vector<TopicQueue> take_lacking() { return {}; }
  // For brokers that send by themselves (true): the next fetch() waits a moment for what is on its way.
  [[nodiscard]] virtual bool expect_more() { return false; }
  // Something has come that nobody has asked for, messages or their loss: fetch(0) gives it.
  [[nodiscard]] virtual bool pushed() const { return false; }
  // fetch() may have something though wait() has not said so.
  [[nodiscard]] virtual bool hot() const = 0;
};

struct QueueCounts {
  std::uint64_t waiting = 0;    // not fetched by anybody
  std::uint64_t fetched = 0;    // fetched by some reader, not settled
  std::uint64_t delayed = 0;    // of the topic
  std::uint64_t bytes = 0;      // of the topic
  std::uint64_t published = 0;  // of the topic
  bool fetched_known = true;    // false: only the readers of this handle are known
};

class ControlSession {
 public:
  virtual ~ControlSession() = default;
  // Events of the registry's log since the last call, up to its present end.
  [[nodiscard]] virtual Result<std::vector<std::string>> read_registry() = 0;
  // Durable when it returns.
  [[nodiscard]] virtual Status append_registry(const std::string& event) = 0;

  // Makes the queue and lets the topic's messages go into it; nothing when it is there.
  [[nodiscard]] virtual Status make_queue(const TopicQueue& queue,
                                          const std::optional<GroupName>& reader) = 0;
  // make_queue() may take it for granted that what it made a moment ago is there: not this one.
  virtual void forget_made(const TopicQueue&) {}
  // Forgets it and what it holds; nothing when it is gone.
  [[nodiscard]] virtual Status drop_queue(const TopicQueue& queue, const GroupName& reader) = 0;

  // The oldest `max` at least, in any order.
  [[nodiscard]] virtual Result<std::vector<Entry>> peek(const TopicQueue& queue, std::size_t max) = 0;
  // What waits and nobody has fetched, and what is delayed.
  [[nodiscard]] virtual Result<std::uint64_t> purge(const std::string& topic,
                                                    const std::vector<TopicQueue>& queues) = 0;
  [[nodiscard]] virtual Result<std::vector<QueueCounts>> counts(const std::string& topic,
                                                                const std::vector<TopicQueue>& queues) = 0;
  [[nodiscard]] virtual Status round_trip() = 0;
  // True: peek(), purge() and QueueCounts::waiting include what readers have fetched and not settled.
  [[nodiscard]] virtual bool counts_fetched() const { return false; }

  // For broadcast groups: says that these live; gives those of `known` whose owner has gone without a word.
  [[nodiscard]] virtual Result<std::vector<GroupName>> keep_alive(const std::vector<GroupName>& mine,
                                                                  const std::vector<GroupName>& known) = 0;
};

// Looks at everything that lies in a topic (inventory.h).
class ScanSession {
 public:
  virtual ~ScanSession() = default;
  [[nodiscard]] virtual Status look(const std::string& topic, const std::vector<TopicQueue>& queues,
                                    bool removing, const Inventory::Each& each) = 0;
};

class Driver {
 public:
  virtual ~Driver() = default;
  [[nodiscard]] virtual Result<std::unique_ptr<PublishSession>> open_publisher() = 0;
  // `member` names the session at the broker, where the broker wants names. `former` are members of the same
  // reader whose connections broke: what they fetched is given back.
  [[nodiscard]] virtual Result<std::unique_ptr<ReadSession>> open_reader(
      const GroupName& group, const std::string& member, const std::vector<std::string>& former) = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<ControlSession>> open_control() = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<ScanSession>> open_scan() = 0;
  [[nodiscard]] virtual Capabilities capabilities() const = 0;
};

}  // namespace ez::queue::broker
