// RegistryLog: the registry's events on RabbitMQ, in one order that all handles see.
//
// AMQP has nothing that many can read without taking it away, but streams, and those of RabbitMQ 3.10 may
// stay away for minutes after the broker was killed (docs/adr/0051). So the log is one message in a durable
// queue: it holds all events, and is replaced by a longer one. Who replaces it holds a lock (an exclusive
// queue, which ends with its connection), and then tells the event through a fanout exchange to a queue of
// each handle. A handle that misses one notices by its number, and opens anew.
//
// What ends without a trace (a broadcast group that was dropped) is left out of the message; its numbers
// stay. Threads: one at a time. Errors: those of Link.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "queue/rabbitmq/link.h"

namespace ez::queue::rabbitmq {

class RegistryLog {
 public:
  [[nodiscard]] static Result<std::unique_ptr<RegistryLog>> open(const RabbitOptions& options);
  // Events since the last call, up to the end as it is now.
  [[nodiscard]] Result<std::vector<std::string>> read();
  // Durable, and told to all handles, when it returns. On a connection of its own.
  [[nodiscard]] static Status append(const RabbitOptions& options, const std::string& event);

 private:
  explicit RegistryLog(const RabbitOptions& options) : options_(options) {}

  const RabbitOptions& options_;
  std::unique_ptr<Link> link_;
  std::string inbox_;
  std::uint64_t seen_ = 0;          // how many events were given
  std::vector<std::string> first_;  // of the log when it was opened
};

// The text of the message, pure: "COUNT\n", then a line for each event, or "skip N" for N that are left out.
namespace registry_text {
[[nodiscard]] std::uint64_t count(const std::string& text);
[[nodiscard]] std::vector<std::string> events(const std::string& text);  // one that is left out is empty
[[nodiscard]] std::string write(const std::vector<std::string>& events);
// Empties what a dropped broadcast group leaves behind.
void tidy(std::vector<std::string>& events);
}  // namespace registry_text

}  // namespace ez::queue::rabbitmq
