// Sequencer: decides which of the messages that a process holds for one group goes out next, and what becomes
// of it. Shared by the broker backends: brokers deliver lanes (one for each priority, one for all messages
// with a key), this makes of them the order that queue/bus.h promises.
//
// An entry is Ready, Behind (an earlier message of its key is not done), Waiting (given back with a delay),
// Out (leased to a consumer) or Settling (acknowledged, the broker has not confirmed it yet). The next
// message of a key becomes ready only when its predecessor is settled at the broker.
//
// Pure: no threads, no clock, no I/O; times are monotonic milliseconds except where they say wall. Bounded by
// its caller, which stops adding when held() is large. All operations are O(log n).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "queue/bus.h"

namespace ez::queue::broker {

inline constexpr std::uint8_t kKeyedLane = 5;  // lanes 0 to 4: priorities of messages without a key
inline constexpr std::uint8_t kLanes = 6;

// A message as it lies at the broker. `place` names it there; what the numbers mean is the driver's own.
struct Place {
  std::uint32_t source = 0;  // of the reader: which queue
  std::uint8_t lane = 0;     // what the broker can take back at a time
  std::uint64_t a = 0;
  std::uint64_t b = 0;
};

struct Entry {
  Message message;
  std::int64_t published_ms = 0;  // wall
  std::uint32_t given_back = 0;   // deliveries that the broker knows of and that were not settled
  Place place;
};

using ConsumerId = std::uint64_t;
using Handle = std::uint64_t;  // of an entry in the sequencer; never reused

struct Held {
  std::uint64_t ready = 0;  // not out: may go, waits for its key or its delay
  std::uint64_t out = 0;    // out or settling
};

class Sequencer {
 public:
  void add(Entry entry);

  // Ready now.
  [[nodiscard]] std::size_t ready() const { return ready_.size(); }
  [[nodiscard]] std::size_t held() const { return items_.size(); }
  [[nodiscard]] std::size_t held_bytes() const { return bytes_; }
  [[nodiscard]] std::size_t out_of(ConsumerId consumer) const;

  // Leases up to `max` messages of about max_bytes. What has outlived its ttl goes to `expired`, as Settling.
  std::vector<Delivery> take(ConsumerId consumer, std::size_t max, std::size_t max_bytes,
                             std::int64_t lease_end_ms, std::int64_t wall_ms, std::vector<Handle>& expired);

  // Out → Settling; nothing when the tag is not out at that consumer.
  [[nodiscard]] std::optional<Handle> acknowledge(ConsumerId consumer, DeliveryTag tag);
  // Of a Settling entry.
  [[nodiscard]] const Place* place(Handle handle) const;
  [[nodiscard]] std::size_t payload_bytes(Handle handle) const;
  // Settling → gone. False when it was forgotten meanwhile.
  bool settled(Handle handle);

  // Out → Waiting (or Ready at once); false as above.
  bool give_back(ConsumerId consumer, DeliveryTag tag, std::int64_t due_ms, std::int64_t now_ms);
  bool extend(ConsumerId consumer, DeliveryTag tag, std::int64_t lease_end_ms);
  // All that is out at this consumer becomes ready again and does not count as an attempt.
  void consumer_gone(ConsumerId consumer);

  // Ends leases and delays that are over; gives the time of the next one (INT64_MAX: none).
  std::int64_t advance(std::int64_t now_ms);

  // Forgets entries (of one source; of all): the broker has taken them back. Tags that are out become stale.
  void forget(std::uint32_t source);
  void forget_lane(std::uint32_t source, std::uint8_t lane);
  void forget_all();

  // What is not out in a source: for peek, counts and purge. remove_idle() makes them Settling.
  [[nodiscard]] Held held_of(std::uint32_t source) const;
  [[nodiscard]] std::vector<const Entry*> idle_of(std::uint32_t source, std::size_t max) const;
  std::vector<Handle> remove_idle(std::uint32_t source);
  [[nodiscard]] std::set<std::string> ids_of(std::uint32_t source) const;

 private:
  enum class State : std::uint8_t { kReady, kBehind, kWaiting, kOut, kSettling };
  struct Item {
    Entry entry;
    Handle handle = 0;
    State state = State::kReady;
    std::uint32_t attempt = 1;
    std::uint64_t tag = 0;
    ConsumerId consumer = 0;
    std::int64_t time = 0;  // of the lease's end or the delay's
  };
  // Priority, wall time of publishing, arrival.
  using Rank = std::tuple<std::uint8_t, std::int64_t, Handle>;
  static Rank rank(const Item& item) {
    return {static_cast<std::uint8_t>(item.entry.message.priority), item.entry.published_ms, item.handle};
  }
  static std::string key_of(const Item& item);

  Item* find_out(ConsumerId consumer, DeliveryTag tag);
  void offer(Item& item);     // Ready or Behind
  void withdraw(Item& item);  // out of every index but items_
  void erase(Handle handle);
  template <typename Match>
  void forget_if(Match match);

  Handle next_ = 0;
  std::size_t bytes_ = 0;
  std::map<Handle, Item> items_;  // in order of arrival
  std::set<Rank> ready_;
  std::set<std::pair<std::int64_t, Handle>> times_;  // of Waiting and Out
  std::unordered_map<std::uint64_t, Handle> out_;    // by tag
  std::unordered_map<ConsumerId, std::size_t> out_count_;
  std::unordered_map<std::string, std::deque<Handle>> keys_;  // the first one may go, the others wait
};

}  // namespace ez::queue::broker
