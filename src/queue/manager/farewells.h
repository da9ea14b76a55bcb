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
  static constexpr std::size_t kMost = 300;  // the oldest are given up, with a line in the log

  // The log outlives it.
  explicit Farewells(EmbeddedBus& log);
  Farewells(const Farewells&) = delete;
  Farewells& operator=(const Farewells&) = delete;

  // Before the log is told to drop it.
  void add(const std::vector<std::string>& backends, const std::string& pattern, const std::string& group);
  // Somebody subscribes to it again. A drop that was submitted before stays before what is submitted from now
  // on.
  void forget(const std::string& pattern, const std::string& group);
  // Has the broker drop what the log does not know any more.
  void attempt(const std::string& backend, Bus& broker);

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
  void save();          // under mutex_
  void take_answers();  // under mutex_

  EmbeddedBus& log_;
  std::mutex mutex_;
  std::deque<Farewell> all_;
  std::uint64_t next_number_ = 1;
  const std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
};

}  // namespace ez::queue
