// Delays: the thread of a handle that moves messages whose time has come. Kafka delivers in order only, so a
// message that waits lies in a partition where every message waits equally long (names.h: levels); when that
// is over it goes to the level of what is left, or to its topic. All handles that read share the work as one
// consumer group.
//
// At least once: a message is moved, and then its old place is committed. A handle that dies in between moves
// it twice; a transaction would prevent that, but one that a dead process left open holds back all readers of
// its partitions until it times out (docs/adr/0050).
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "queue/kafka/sessions.h"

namespace ez::queue::kafka {

class Delays {
 public:
  // Both outlive it.
  Delays(const KafkaOptions& options, Shared& shared);
  ~Delays();
  Delays(const Delays&) = delete;
  Delays& operator=(const Delays&) = delete;
  void start();  // from the first reader on; again: nothing

 private:
  void loop();
  void pause(std::chrono::milliseconds time);
  [[nodiscard]] bool stopped();

  const KafkaOptions& options_;
  Shared& shared_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace ez::queue::kafka
