// GroupReader: all consumers that one handle has of one group, on one connection and one thread: fetches what
// the consumers ask for (and no more than they could hold), lets the Sequencer decide what goes out, and
// settles what is acknowledged, many at a time.
//
// Flow control: fetches only while a take waits (or has just been served), at most what the consumers may
// still hold, and stops at kMaxHeld messages or kMaxHeldBytes that wait behind others of their key. What a
// broker sends unasked is held beside that: its driver bounds it (RabbitMQ: `prefetch` of each lane).
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "queue/broker/driver.h"
#include "queue/broker/sequencer.h"
#include "queue/broker/wake.h"

namespace ez::queue::broker {

inline constexpr std::size_t kMaxHeld = 10'000;
inline constexpr std::size_t kMaxHeldBytes = 64U << 20;

class GroupReader {
 public:
  // `lacking` is told of queues that the broker lacks, on the reader's thread.
  using Lacking = std::function<void(std::vector<TopicQueue>)>;
  GroupReader(Driver& driver, GroupName group, const BrokerOptions& options, Lacking lacking);
  ~GroupReader();  // no consumer is left; gives back what was fetched
  GroupReader(const GroupReader&) = delete;
  GroupReader& operator=(const GroupReader&) = delete;

  [[nodiscard]] const GroupName& group() const { return group_; }
  void set_queues(const std::vector<TopicQueue>& queues);
  void mark_dropped();  // takes end with TOPIC_NOT_FOUND

  [[nodiscard]] ConsumerId add_consumer(const SubscribeOptions& options);
  void remove_consumer(ConsumerId id);  // answers its calls before it returns
  [[nodiscard]] std::size_t consumers() const;
  [[nodiscard]] bool dropped() const;

  void take(ConsumerId id, std::size_t max, std::size_t max_bytes, std::chrono::milliseconds wait,
            Callback<std::vector<Delivery>> done);
  void acknowledge(ConsumerId id, std::vector<DeliveryTag> tags, SettleCallback done);
  void give_back(ConsumerId id, const std::vector<DeliveryTag>& tags, std::chrono::milliseconds delay,
                 SettleCallback done);
  void extend(ConsumerId id, const std::vector<DeliveryTag>& tags, std::chrono::milliseconds lease,
              SettleCallback done);

  [[nodiscard]] bool reads(const std::string& topic) const;
  // Takes in what the broker is just sending, for a look at it. Waits a moment.
  void absorb();
  // What this handle holds of a topic's queue and nobody was given.
  [[nodiscard]] std::vector<Delivery> idle(const std::string& topic, std::size_t max) const;
  [[nodiscard]] Held held(const std::string& topic) const;
  [[nodiscard]] std::set<std::string> ids(
      const std::string& topic) const;  // of all that it holds, out or not
  std::uint64_t purge(const std::string& topic);

 private:
  using Calls = std::vector<std::function<void()>>;
  struct Take {
    std::size_t max = 0;
    std::size_t max_bytes = 0;
    std::int64_t deadline_ms = 0;
    Callback<std::vector<Delivery>> done;
  };
  struct State {
    std::size_t max_in_flight = 0;
    std::int64_t lease_ms = 0;
    std::optional<Take> take;
  };
  struct AckCall {
    ConsumerId consumer = 0;
    std::vector<Status> answers;
    std::size_t open = 0;
    SettleCallback done;
  };
  struct Settling {
    Handle handle = 0;
    std::shared_ptr<AckCall> call;  // null: nobody waits for it
    std::size_t index = 0;
    std::int64_t deadline_ms = 0;
  };

  void loop();
  void serve(std::int64_t now_ms, Calls& calls);
  void serve_one(ConsumerId id, State& state, std::int64_t now_ms, Calls& calls);
  [[nodiscard]] std::size_t wanted() const;
  [[nodiscard]] std::int64_t next_deadline() const;
  void answer(Settling& settling, Status status, Calls& calls);
  Status settle_some(Calls& calls);
  Status fetch(std::size_t want);
  void forget_lost();  // under mutex_
  void connect(Calls& calls);
  void pause();                                                                         // before the next try
  [[nodiscard]] std::unique_ptr<ReadSession> broken(const Error& error, Calls& calls);  // what is left of it
  void fail_late(std::int64_t now_ms, Calls& calls);
  [[nodiscard]] std::optional<std::uint32_t> source_of(const std::string& topic) const;
  void poke();

  Driver& driver_;
  const GroupName group_;
  const BrokerOptions options_;
  const Lacking lacking_;
  Wake wake_;

  // Of the thread.
  std::unique_ptr<ReadSession> session_;
  std::int64_t next_try_ms_ = 0;
  std::int64_t pause_ms_ = 0;
  bool has_sources_ = false;  // the session may have fetched something
  bool serves_ = false;       // and has done something well
  std::string member_;
  std::vector<std::string> former_;  // members whose connections broke; bounded

  mutable std::mutex mutex_;
  Sequencer sequencer_;
  std::vector<TopicQueue> sources_;
  bool sources_changed_ = true;
  std::map<ConsumerId, State> consumers_;
  ConsumerId next_consumer_ = 0;
  ConsumerId last_served_ = 0;
  std::size_t ahead_ = 0;  // fetched beyond what is asked for, because takes follow each other
  std::deque<Settling> settling_;
  Error last_error_{Code::QueueUnreachable, "there is no connection yet"};
  // The last try did not come to serve; before the first one nothing is known to be wrong.
  bool failing_ = false;
  bool dropped_ = false;
  bool stop_ = false;
  bool asleep_ = false;
  bool absorbing_ = false;
  std::condition_variable absorbed_;
  std::thread thread_;
};

}  // namespace ez::queue::broker
