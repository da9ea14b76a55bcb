// The records of the queue log: what happened to topics, messages and groups. docs/formats/queue-log.md
// describes the bytes. Pure functions.
//
// A record is a format number, the wall time at which the leader made it, and operations. The bytes of a
// message stand in it once; the state refers to them by record, offset and length.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "queue/embedded/bytes.h"
#include "queue/message.h"

namespace ez::queue {

inline constexpr std::uint8_t kRecordFormat = 1;

enum class Op : std::uint8_t {
  kPublish = 1,    // topic; messages
  kGroup = 2,      // pattern, group, durable
  kDropGroup = 3,  // pattern, group
  kAck = 4,        // topic id, group id, sequence numbers
  kNack = 5,       // topic id, group id, not before (ms), reason, sequence numbers
  kExpire = 6,     // topic id, sequence numbers
  kPurge = 7,      // topic id, last sequence number, those that are kept
  kMove = 8,       // topic id, (sequence number, message)…
  kNothing = 9,    // for round trips
  kPause = 10,     // topic, on or off
  kBury = 11,      // topic id, group id, sequence number, reason: becomes a dead letter
  kRedrive = 12,   // dead letter numbers: published again
  kDiscard = 13,   // dead letter numbers
  kSetting = 14,   // key, value; an empty value removes it
};

// The fixed part of a message's bytes; the texts point into them.
struct MessageView {
  std::string_view id, key, payload;
  Priority priority = Priority::kNormal;
  bool own_id = false;  // the bus gave the id: it is in no window
  std::int64_t delay_ms = 0;
  std::int64_t ttl_ms = 0;
  std::int64_t published_ms = 0;
  std::string_view headers;  // still encoded
};

class RecordWriter {
 public:
  explicit RecordWriter(std::int64_t now_ms);
  // `own_id`: message.id was given by the bus.
  void publish(std::string_view topic, std::span<const Message* const> messages,
               std::span<const char> own_ids);
  void group(std::string_view pattern, std::string_view group, bool durable);
  void drop_group(std::string_view pattern, std::string_view group);
  void ack(std::uint64_t topic, std::uint64_t group, std::span<const std::uint64_t> sequences);
  void nack(std::uint64_t topic, std::uint64_t group, std::int64_t not_before_ms, std::string_view reason,
            std::span<const std::uint64_t> sequences);
  void expire(std::uint64_t topic, std::span<const std::uint64_t> sequences);
  void purge(std::uint64_t topic, std::uint64_t last, std::span<const std::uint64_t> kept);
  void move(std::uint64_t topic, std::span<const std::pair<std::uint64_t, std::string>> messages);
  void nothing();
  void pause(std::string_view topic, bool on);
  void bury(std::uint64_t topic, std::uint64_t group, std::uint64_t sequence, std::string_view reason);
  void redrive(std::span<const std::uint64_t> numbers);
  void discard(std::span<const std::uint64_t> numbers);
  void setting(std::string_view key, std::string_view value);
  [[nodiscard]] std::string take() { return std::move(bytes_); }

 private:
  void op(Op kind, std::string_view body);
  std::int64_t now_ms_;
  std::string bytes_;
  std::string body_;
};

// Appends the bytes of one message as they stand in kPublish and kMove.
void put_message(std::string& out, const Message& message, bool own_id, std::int64_t published_ms);
// Reads one; false when the bytes are wrong.
[[nodiscard]] bool get_message(ByteReader& in, MessageView& out);
// The whole message out of its bytes; tag and attempt are the caller's. LOG_DAMAGED.
[[nodiscard]] Result<Delivery> decode_message(std::string_view bytes, std::string_view topic);
// Ascending numbers as differences.
void put_sequences(std::string& out, std::span<const std::uint64_t> ascending);
[[nodiscard]] std::vector<std::uint64_t> get_sequences(ByteReader& in);

}  // namespace ez::queue
