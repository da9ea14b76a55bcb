// A message on the bus, and one delivery of it. Values; owned by whoever holds them.
//
// Limits, checked by check_message() at every door: topic and key at most 200 bytes, id at most 128, payload
// at most 1 MiB, at most 32 headers of together 16 KiB; delay and ttl at most 366 days.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace ez::queue {

inline constexpr std::size_t kMaxTopicBytes = 200;
inline constexpr std::size_t kMaxIdBytes = 128;
inline constexpr std::size_t kMaxKeyBytes = 200;
inline constexpr std::size_t kMaxPayloadBytes = 1024 * 1024;
inline constexpr std::size_t kMaxHeaders = 32;
inline constexpr std::size_t kMaxHeaderBytes = 16 * 1024;  // names and values together
inline constexpr std::int64_t kMaxDelayMs = 366LL * 24 * 3600 * 1000;

// The numbers are in logs and on wires. A lower one is delivered first.
enum class Priority : std::uint8_t { kCritical = 0, kHigh = 1, kNormal = 2, kLow = 3, kDeferred = 4 };
inline constexpr std::size_t kPriorities = 5;
[[nodiscard]] std::string_view to_text(Priority priority);  // critical, high, normal, low, deferred
[[nodiscard]] std::optional<Priority> parse_priority(std::string_view text);

using Headers = std::vector<std::pair<std::string, std::string>>;  // in order; names are unique

struct Message {
  // Unique within the topic: publishing the same id again changes nothing (see bus.h). Empty when publishing:
  // the bus gives one, and nothing can be recognised as a repetition. Printable ASCII without blanks.
  std::string id;
  std::string topic;    // see topic.h
  std::string key;      // messages of one topic and key keep their order; empty: no order
  std::string payload;  // any bytes
  Headers headers;      // names: [A-Za-z0-9_-]{1,64}; names that begin with "ez-" are the bus's own
  Priority priority = Priority::kNormal;
  std::int64_t delay_ms = 0;  // not delivered earlier than this after publishing
  std::int64_t ttl_ms = 0;    // from publishing on; not delivered later than this; 0: for ever
};

// Names one delivery to its own consumer. Opaque; never reused within a process.
struct DeliveryTag {
  std::uint64_t value = 0;
  auto operator<=>(const DeliveryTag&) const = default;
};

struct Delivery {
  Message message;  // as published, with its id; delay_ms and ttl_ms as they were given
  DeliveryTag tag;
  std::uint32_t attempt = 1;      // 1 for the first delivery to this group; grows with nack and lost leases
  std::int64_t published_ms = 0;  // wall time of publishing, milliseconds since 1970
};

// INVALID_ARGUMENT names the field; PAYLOAD_TOO_LARGE the limit. `id` may be empty.
[[nodiscard]] Status check_message(const Message& message);

}  // namespace ez::queue
