// Farewells: groups that were dropped here and may still be at a broker, which was away or has not answered.
// A group that nobody reads would get a copy of every message there, for ever. They are kept in the queue's
// log, so that a restart forgets none. Internal to manager/.
//
// Threads. Any. No callback is called and nothing of a broker is waited for under the lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "queue/embedded/embedded_bus.h"

namespace ez::queue {

class Farewells {
 public:
  // The oldest are given up, with a line in the log. So many fit into one setting with the longest names.
  static constexpr std::size_t kMost = 150;

  // The log outlives it. What belongs to other backends than these is forgotten.
  Farewells(EmbeddedBus& log, std::vector<std::string> backends);
  Farewells(const Farewells&) = delete;
  Farewells& operator=(const Farewells&) = delete;

  // For all backends; before the log is told to drop it.
  void add(const std::string& pattern, const std::string& group);
  // Has the broker drop what the log does not know any more, one after the other.
  void attempt(const std::string& backend, Bus& broker);
  // This one at once.
  void attempt(const std::string& backend, Bus& broker, const std::string& pattern, const std::string& group);
  // To be called between a subscription at the log and the one at a broker: what attempt() has decided to
  // drop is submitted to the broker when this returns, and comes first there.
  void pass() { const std::lock_guard lock(mutex_); }

 private:
  struct Farewell {
    std::uint64_t number = 0;
    std::string backend;
    std::string pattern;
    std::string group;
    bool under_way = false;
    std::int64_t next_try_us = 0;
  };
  struct Answer {
    std::uint64_t number = 0;
    bool done = false;
  };
  // Outlives this with the callbacks that may still come.
  struct Inbox {
    std::mutex mutex;
    std::vector<Answer> answers;
  };

  void load();
  void save();                              // under mutex_
  void take_answers();                      // under mutex_
  bool submit(Farewell& one, Bus& broker);  // under mutex_; false: not now

  EmbeddedBus& log_;
  const std::vector<std::string> backends_;
  std::mutex mutex_;
  std::deque<Farewell> all_;
  std::uint64_t next_number_ = 1;
  const std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
};

}  // namespace ez::queue
