// What the queue log says: topics, their messages, groups and what each group is done with, dead letters. A
// pure function of the log: apply() knows no clock and no randomness. Payloads stay in the log; here is where
// they stand.
//
// Memory: about 48 bytes for a message that is kept, and 8 more for each 64 messages and group.
//
// Who delivers listens: StateListener is told of every change in the order of the log. `taken` in a Chunk
// belongs to the listener and is no part of the state.
//
// Not thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "queue/embedded/id_window.h"
#include "queue/embedded/place.h"
#include "queue/embedded/record.h"
#include "queue/message.h"

namespace ez::queue {

inline constexpr std::size_t kChunk = 64;
inline constexpr std::size_t kMaxHistory = 10;  // failures of a message that are remembered, the last ones
inline constexpr std::size_t kMaxReasonBytes = 300;

struct Ref {
  std::uint64_t record = 0;  // index in the log
  std::uint32_t offset = 0;
  std::uint32_t bytes = 0;
};

struct Entry {
  Ref ref;
  std::uint64_t key = 0;  // hash; 0: none
};

// 64 neighbouring messages of a topic. Bit i belongs to message first + i.
struct Chunk {
  std::uint64_t live = 0;   // kept
  std::uint64_t timed = 0;  // has an entry in Topic::timing
  std::array<std::uint64_t, kPriorities> priority{};
  std::vector<std::uint64_t> settled;  // by slot: that group is done with it
  std::vector<std::uint64_t> taken;    // by slot: the listener's
  std::array<Entry, kChunk> entries{};
};

struct Timing {
  std::int64_t due_ms = 0;      // 0: at once
  std::int64_t expires_ms = 0;  // 0: never
};

struct Failure {
  std::uint32_t attempts = 0;  // deliveries that were given back
  std::int64_t not_before_ms = 0;
  std::vector<std::pair<std::int64_t, std::string>> history;  // when, why; the last kMaxHistory
};

struct Line;

struct Group {
  std::uint64_t id = 0;
  std::string name;
  bool durable = true;
  std::size_t slot = 0;
  std::unordered_map<std::uint64_t, Failure> failures;  // by sequence number
  Line* line = nullptr;                                 // the listener's
};

// Slot 0 is no group: while a topic has no durable group, it holds what is kept for the first one.
struct Topic {
  std::uint64_t id = 0;
  std::string name;
  std::uint64_t next_sequence = 1;
  std::uint64_t published = 0;
  std::uint64_t expired = 0;
  std::uint64_t live = 0;
  std::uint64_t bytes = 0;
  bool paused = false;
  std::size_t durable_groups = 0;
  std::vector<std::unique_ptr<Group>> slots;               // [0] is nullptr; free ones too
  std::map<std::uint64_t, std::unique_ptr<Chunk>> chunks;  // by sequence / kChunk
  std::unordered_map<std::uint64_t, Timing> timing;

  [[nodiscard]] Chunk* chunk_of(std::uint64_t sequence) const;
  [[nodiscard]] const Entry* find(std::uint64_t sequence) const;  // nullptr: not kept
  [[nodiscard]] Priority priority_of(std::uint64_t sequence) const;
  [[nodiscard]] Group* group_named(std::string_view name) const;
  [[nodiscard]] Group* group_of(std::uint64_t id) const;
  [[nodiscard]] std::uint64_t waiting_in(std::size_t slot) const;  // not settled; O(chunks)
};

struct Subscription {
  std::string pattern;
  std::string group;
  bool durable = true;
  auto operator<=>(const Subscription&) const = default;
};

struct DeadLetter {
  std::uint64_t number = 0;
  std::string topic;
  std::string group;
  Ref ref;
  Priority priority = Priority::kNormal;
  std::uint64_t key = 0;
  std::uint32_t attempts = 0;
  std::int64_t died_ms = 0;
  std::string reason;
  std::vector<std::pair<std::int64_t, std::string>> history;
};

class StateListener {
 public:
  virtual ~StateListener() = default;
  virtual void topic_added(Topic& topic) = 0;                  // its groups are told one by one afterwards
  virtual void group_added(Topic& topic, Group& group) = 0;    // may have messages that wait for it
  virtual void group_removed(Topic& topic, Group& group) = 0;  // is about to go
  virtual void added(Topic& topic, std::uint64_t sequence) = 0;
  // The group is done with it. Its entry may still be there.
  virtual void settled(Topic& topic, Group& group, std::uint64_t sequence) = 0;
  virtual void returned(Topic& topic, Group& group, std::uint64_t sequence) = 0;  // a nack
};

// What one record did, for those who proposed it.
struct Applied {
  std::vector<bool> duplicates;  // of kPublish: one for each message, in order
  std::vector<Place> places;     // of kPublish: likewise; of a duplicate {topic, 0}
  std::uint64_t count = 0;       // of kPurge, kRedrive, kDiscard, kDropGroup: how many there were
};

class State {
 public:
  // Records come in the order of the log. LOG_DAMAGED: the bytes make no sense; LOG_FORMAT_NEWER.
  [[nodiscard]] Result<Applied> apply(std::uint64_t index, std::string_view record, StateListener& listener);

  [[nodiscard]] Topic* topic_named(std::string_view name) const;
  [[nodiscard]] Topic* topic_of(std::uint64_t id) const;
  [[nodiscard]] const std::map<std::string, Topic*, std::less<>>& topics() const { return by_name_; }
  [[nodiscard]] const std::map<Subscription, bool>& subscriptions() const { return subscriptions_; }
  [[nodiscard]] const std::map<std::uint64_t, DeadLetter>& dead() const { return dead_; }
  // What others keep beside the messages (triggers), by key.
  [[nodiscard]] const std::map<std::string, std::string, std::less<>>& settings() const { return settings_; }
  [[nodiscard]] std::uint64_t applied() const { return applied_; }
  [[nodiscard]] std::int64_t applied_ms() const { return applied_ms_; }
  // The oldest record that something refers to; applied() + 1 when there is none.
  [[nodiscard]] std::uint64_t oldest_record() const;
  [[nodiscard]] std::uint64_t record_after(std::uint64_t record) const;  // the next one that is referred to
  [[nodiscard]] std::uint64_t live_bytes() const { return live_bytes_; }
  // Messages of that record that are kept: (topic, sequence numbers). For moving them forward.
  // Dead letters come with nullptr and their numbers.
  [[nodiscard]] std::vector<std::pair<Topic*, std::vector<std::uint64_t>>> kept_of(
      std::uint64_t record) const;

  [[nodiscard]] std::string encode() const;  // docs/formats/queue-log.md
  // SNAPSHOT_DAMAGED, LOG_FORMAT_NEWER.
  [[nodiscard]] static Result<std::unique_ptr<State>> decode(std::string_view bytes, std::uint64_t index);
  // Tells a listener of all topics and groups; it looks at their messages itself.
  void introduce(StateListener& listener) const;

 private:
  struct Span {
    std::uint64_t topic = 0;
    std::uint64_t first = 0;
    std::uint64_t end = 0;
  };
  struct RecordInfo {
    std::uint64_t live = 0;   // messages and dead letters that refer to it
    std::vector<Span> spans;  // what it brought; some of it may be gone
  };
  class Decoder;

  bool publish(ByteReader& in, std::string_view record, StateListener& listener, Applied& out);
  bool add_group(ByteReader& in, StateListener& listener);
  bool drop_group(ByteReader& in, StateListener& listener, Applied& out);
  bool ack(ByteReader& in, StateListener& listener);
  bool nack(ByteReader& in, StateListener& listener);
  bool expire(ByteReader& in, StateListener& listener);
  bool purge(ByteReader& in, StateListener& listener, Applied& out);
  bool move(ByteReader& in, std::string_view record);
  bool pause(ByteReader& in);
  bool bury(ByteReader& in, StateListener& listener);
  bool redrive(ByteReader& in, StateListener& listener, Applied& out);
  bool discard(ByteReader& in, Applied& out);
  bool set(ByteReader& in);

  Topic& topic_for(std::string_view name, StateListener& listener);
  void attach(Topic& topic, const Subscription& subscription, StateListener& listener);
  void detach(Topic& topic, Group& group, StateListener& listener);
  // Adds a message; settled for every group but `only` unless that is nullptr.
  std::uint64_t add(Topic& topic, const Ref& ref, Priority priority, std::uint64_t key, Timing timing,
                    const Group* only, StateListener& listener);
  void settle(Topic& topic, Group& group, std::uint64_t sequence, StateListener& listener);
  void settle_all(Topic& topic, std::uint64_t sequence, StateListener& listener);
  void free_if_done(Topic& topic, Chunk& chunk, std::uint64_t sequence);
  void hold(const Ref& ref);
  void release(const Ref& ref);
  void note_span(std::uint64_t record, std::uint64_t topic, std::uint64_t sequence);

  std::map<std::string, Topic*, std::less<>> by_name_;
  std::map<std::uint64_t, std::unique_ptr<Topic>> topics_;
  std::map<Subscription, bool> subscriptions_;
  std::map<std::uint64_t, DeadLetter> dead_;
  std::map<std::uint64_t, RecordInfo> records_;
  std::map<std::string, std::string, std::less<>> settings_;
  IdWindow ids_;
  std::uint64_t next_topic_ = 1;
  std::uint64_t next_group_ = 1;
  std::uint64_t next_dead_ = 1;
  std::uint64_t applied_ = 0;
  std::int64_t applied_ms_ = 0;
  std::uint64_t live_bytes_ = 0;
};

[[nodiscard]] std::uint64_t hash_key(std::string_view key);  // never 0 for a key that is not empty

}  // namespace ez::queue
