// Inventory: all that lies at a backend in a topic, looked at without taking it, and removed exactly. For
// moving messages to another backend (manager/migration.h); consumers use bus.h.
//
// What lies there: what waits, is delayed, or was given to a reader that has not settled it, of every group,
// and what is kept for the first one. A message that several groups have still to do is shown for each of
// them. Messages of one key come in their order. What others add or take meanwhile may be shown or not.
//
// Threads: any; both methods block the caller for as long as it takes, each request of the broker at most its
// timeout. `each` runs on the calling thread. Memory: a page of messages (RabbitMQ: the broker holds what is
// shown of one of its queues until that is over).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "queue/message.h"

namespace ez::queue {

struct Lying {
  Message message;                // delay_ms and ttl_ms as they were given
  std::int64_t published_ms = 0;  // wall time; 0: not known
  std::int64_t due_ms = 0;        // wall time; 0: it does not wait for its time
  std::string mark;               // of the embedded queue: where it stands, as "TOPIC.SEQUENCE"
};

class Inventory {
 public:
  virtual ~Inventory() = default;

  // Of all namespaces, by name.
  [[nodiscard]] virtual Result<std::vector<std::string>> known_topics() = 0;

  // Gives whether the message may be removed; an error ends the look.
  using Each = std::function<Result<bool>(Lying&)>;
  // Shows all that lies there; a topic that is not known has nothing. `removing`: what `each` gives true for
  // is removed, durably when this returns. A backend may leave some of it (Kafka: what lies behind something
  // that stays). WRONG_STATE: somebody consumes there whom the look would disturb (RabbitMQ).
  [[nodiscard]] virtual Status look(const std::string& topic, bool removing, const Each& each) = 0;
};

}  // namespace ez::queue
