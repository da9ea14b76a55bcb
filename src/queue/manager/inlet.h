// Inlet: what comes in from one broker. For each subscription that somebody has at the manager it subscribes
// at the broker too, and takes. Internal to manager/.
//
//   a copy of what the log holds (the header kJournalHeader names the log and the place)
//       → the log is told that it has arrived, and the broker that it is done with;
//   anything else was published by somebody else
//       → goes into the log, under its id, and the broker is told when that is durable;
//   a topic whose consumers speak the broker directly
//       → is not subscribed at the broker (ReaderRule), but by a broadcast: its own copy is dropped.
//
// What a broker delivers again is known by its place or its id, so it changes nothing.
//
// Flow control. At most kTake messages of a subscription are between broker and log; while more than
// kMaxUnsettled wait in the log for the subscription, strangers' messages stay at the broker.
//
// Threads. One of its own, which alone touches the broker's consumers; the others from any.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "queue/embedded/embedded_bus.h"

namespace ez::queue {

inline constexpr std::string_view kJournalHeader = "ez-journal";

// "JOURNAL/TOPIC.SEQUENCE"
[[nodiscard]] std::string journal_mark(const std::string& journal, Place place);
// Whether the message is a copy of what that log holds, and where. `stranger`: it is another log's.
[[nodiscard]] bool read_journal_mark(const Message& message, const std::string& journal, Place& place,
                                     bool& stranger);

struct InletCounters {
  std::atomic<std::uint64_t> own{0};       // copies of the log's messages
  std::atomic<std::uint64_t> strange{0};   // published by somebody else, new
  std::atomic<std::uint64_t> repeated{0};  // by somebody else, and known
  std::atomic<std::uint64_t> refused{0};   // by somebody else, no message for us
};

class Inlet {
 public:
  static constexpr std::size_t kTake = 500;
  static constexpr std::uint64_t kMaxUnsettled = 10'000;

  struct Hooks {
    std::function<bool(const std::string& topic)> is_direct;  // its consumers speak the broker
    std::function<bool()> is_active;                          // something is published to this broker now
    // A subscription is served by this broker from now on, or no more.
    std::function<void(const std::string& pattern, const std::string& group, bool on)> served;
  };

  // All of them outlive it.
  Inlet(std::string backend, Bus& broker, EmbeddedBus& log, std::string journal, Hooks hooks);
  ~Inlet();
  Inlet(const Inlet&) = delete;
  Inlet& operator=(const Inlet&) = delete;

  // As often unwanted as wanted. A broadcast (no group) has a number of its own.
  void want(const std::string& pattern, const std::string& group, std::uint64_t broadcast);
  void unwant(const std::string& pattern, const std::string& group, std::uint64_t broadcast);

  // Takes nothing any more, and has given back what it held, when hold() returns; until go_on(). Not while it
  // is being destroyed.
  void hold();
  void go_on();

  [[nodiscard]] const InletCounters& counters() const { return counters_; }
  // Why the newest subscription or take failed; empty when all is well.
  [[nodiscard]] std::string trouble() const;

 private:
  struct Key {
    std::string pattern;
    std::string group;
    std::uint64_t broadcast = 0;
    auto operator<=>(const Key&) const = default;
  };
  struct Pump {
    std::uint64_t number = 0;
    std::unique_ptr<Consumer> consumer;
    bool taking = false;
    std::vector<DeliveryTag> entering;  // of what is being put into the log
    std::int64_t next_try_us = 0;
    std::int64_t next_late_us = 0;
  };
  struct Event {
    std::uint64_t pump = 0;
    Result<std::vector<Delivery>> taken = std::vector<Delivery>{};
    std::vector<Result<Receipt>> entered;
    bool is_taken = false;
  };
  // Outlives the inlet with the callbacks that may still come.
  struct Inbox {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Event> events;
    std::map<Key, int> wanted;
    bool stop = false;
    bool held = false;
    bool quiet = false;  // held, and nothing is open any more
    std::string trouble;
  };

  void loop();
  void match(const std::map<Key, int>& wanted);
  void serve(const Key& key, Pump& pump);
  void subscribe(const Key& key, Pump& pump);
  void close(const Key& key, Pump& pump);
  void handle(Event event);
  void sort_out(const Key& key, Pump& pump, std::vector<Delivery> deliveries);
  void settle_entered(const Key& key, Pump& pump, const std::vector<Result<Receipt>>& receipts);
  void set_trouble(const std::string& text);

  const std::string backend_;
  Bus& broker_;
  EmbeddedBus& log_;
  const std::string journal_;
  const Hooks hooks_;
  InletCounters counters_;
  std::map<Key, Pump> pumps_;  // of the thread
  std::uint64_t next_pump_ = 1;
  bool told_of_stranger_ = false;
  const std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::thread thread_;
};

}  // namespace ez::queue
