// Relay: the way out for a route whose consumers speak the broker directly. A durable group of the log takes
// what is published, in order, and is done with a message as soon as a broker has confirmed it. While no
// broker is up, messages wait in the log. What a broker will never take becomes a dead letter. Internal to
// manager/.
//
// Threads: one of its own.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "queue/embedded/embedded_bus.h"

namespace ez::queue {

class Relay {
 public:
  static constexpr std::string_view kGroup = "ez-relay";

  struct Hooks {
    // Where to publish that topic now; nullptr: nowhere.
    std::function<Bus*(const std::string& topic)> active;
    std::function<bool(const std::string& topic)> is_mine;  // another route may be before this one
    std::function<void(Bus* broker, std::uint64_t sent, std::uint64_t failed)> count;
  };

  Relay(EmbeddedBus& log, std::string pattern, Hooks hooks);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  void poke();  // the active broker may have changed
  // What was being sent, to whatever broker, is answered when this returns.
  void settle();
  [[nodiscard]] const std::string& pattern() const { return pattern_; }

 private:
  void loop();
  // The deliveries that a broker has not taken.
  [[nodiscard]] std::vector<Delivery> send(EmbeddedConsumer& consumer, std::vector<Delivery> deliveries);
  bool pause(std::chrono::milliseconds length);  // false: it is the end

  EmbeddedBus& log_;
  const std::string pattern_;
  const Hooks hooks_;
  std::mutex sending_;  // held while something is being sent
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  bool poked_ = false;
  std::thread thread_;
};

}  // namespace ez::queue
