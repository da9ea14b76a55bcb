// A load over one bus while faults come and go, and what has to be true afterwards: every message that was
// published has been applied once, and those of one key in their order.
//
// Each publisher has keys of its own and publishes the next message of a key when the one before is accepted;
// what fails is published again with the same id, as queue/bus.h says. The consumer drops ids that it has
// applied, as the log of ez does.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "queue/bus.h"

namespace ez::test {

struct LoadOptions {
  std::string topic;
  int messages = 50'000;
  int publishers = 2;
  int keys = 100;     // of each publisher; one message of each goes into one batch
  bool keyed = true;  // false: messages without keys, whose order nobody promises
  // Batches of a publisher that are under way at a time. With more than one nothing is published again, and
  // all that fails is refused: the order of keys holds by itself.
  int ahead = 1;
  std::size_t payload = 256;           // bytes
  std::int64_t patience_ms = 900'000;  // ends a broken test
  // As long as faults go on there is more, beyond `messages`; a batch each so many milliseconds.
  bool until_faults_end = false;
  std::int64_t pace_ms = 0;
};

struct LoadResult {
  int published = 0;
  int applied = 0;
  int lost = 0;  // accepted and never applied
  int out_of_order = 0;
  int refused = 0;             // errors that a retry does not help with
  std::uint64_t repeated = 0;  // deliveries of what was applied before
  std::uint64_t retried = 0;   // publications that were tried again
  std::int64_t took_ms = 0;    // reported, not judged
  std::string first_problem;
};

// `fault` runs beside the load, on a thread of its own, and returns when all faults have ended; it is told
// how many messages have been applied.
using Fault = std::function<void(const std::function<int()>& applied)>;

LoadResult run_load(queue::Bus& publisher, queue::Bus& consumer, const LoadOptions& options,
                    const Fault& fault);

// For faults: until so many have been applied (or half a minute has gone).
void wait_for_applied(const std::function<int()>& applied, int count);
// A fault lasts for some time: that is what it is.
void last(std::int64_t ms);

// For servers that will be killed: the queues of that topic exist, and have existed for a while.
// RabbitMQ 3.10 writes down where a new quorum queue lives only after it has answered: killed within half a
// second, it has lost the queue for good, with the messages that it confirmed (docs/guide/queue-backends.md).
void make_queues_first(queue::Bus& bus, const std::string& topic);

// 50,000 messages (EZ_LOAD_MESSAGES) into that topic.
LoadOptions load(const std::string& topic);
// Everything was published and applied once, in order.
void expect_whole(const LoadResult& result, const LoadOptions& wanted);

}  // namespace ez::test
