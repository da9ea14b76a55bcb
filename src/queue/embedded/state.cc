#include "queue/embedded/state.h"

#include <openssl/sha.h>

#include <algorithm>
#include <set>

#include "base/check.h"
#include "queue/topic.h"

namespace ez::queue {
namespace {

constexpr std::uint64_t kAll = ~std::uint64_t{0};

std::uint64_t bit_of(std::uint64_t sequence) { return std::uint64_t{1} << (sequence % kChunk); }

void set_bit(std::uint64_t& word, std::uint64_t bit, bool on) { word = on ? word | bit : word & ~bit; }

}  // namespace

IdHash hash_id(std::string_view topic, std::string_view id) {
  std::string text(topic);
  text.push_back('\0');
  text.append(id);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  IdHash out{};
  std::memcpy(out.data(), digest, sizeof out);
  return out;
}

std::uint64_t hash_key(std::string_view key) {
  if (key.empty()) return 0;
  std::uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a: two keys with one hash only wait for each other
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash == 0 ? 1 : hash;
}

// ---- Topic ----

Chunk* Topic::chunk_of(std::uint64_t sequence) const {
  const auto found = chunks.find(sequence / kChunk);
  return found == chunks.end() ? nullptr : found->second.get();
}

const Entry* Topic::find(std::uint64_t sequence) const {
  const Chunk* chunk = chunk_of(sequence);
  if (chunk == nullptr || (chunk->live & bit_of(sequence)) == 0) return nullptr;
  return &chunk->entries[sequence % kChunk];
}

Priority Topic::priority_of(std::uint64_t sequence) const {
  const Chunk* chunk = chunk_of(sequence);
  for (std::size_t i = 0; chunk != nullptr && i < kPriorities; ++i) {
    if ((chunk->priority[i] & bit_of(sequence)) != 0) return static_cast<Priority>(i);
  }
  return Priority::kNormal;
}

Group* Topic::group_named(std::string_view name) const {
  for (const auto& group : slots) {
    if (group != nullptr && group->name == name) return group.get();
  }
  return nullptr;
}

Group* Topic::group_of(std::uint64_t id) const {
  for (const auto& group : slots) {
    if (group != nullptr && group->id == id) return group.get();
  }
  return nullptr;
}

std::uint64_t Topic::waiting_in(std::size_t slot) const {
  std::uint64_t count = 0;
  for (const auto& [number, chunk] : chunks) {
    count += static_cast<std::uint64_t>(__builtin_popcountll(chunk->live & ~chunk->settled[slot]));
  }
  return count;
}

// ---- State: looking ----

Topic* State::topic_named(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

Topic* State::topic_of(std::uint64_t id) const {
  const auto found = topics_.find(id);
  return found == topics_.end() ? nullptr : found->second.get();
}

std::uint64_t State::oldest_record() const {
  return records_.empty() ? applied_ + 1 : records_.begin()->first;
}

std::uint64_t State::record_after(std::uint64_t record) const {
  const auto next = records_.upper_bound(record);
  return next == records_.end() ? applied_ + 1 : next->first;
}

std::vector<std::pair<Topic*, std::vector<std::uint64_t>>> State::kept_of(std::uint64_t record) const {
  std::vector<std::pair<Topic*, std::vector<std::uint64_t>>> out;
  const auto info = records_.find(record);
  if (info == records_.end()) return out;
  for (const Span& span : info->second.spans) {
    Topic* topic = topic_of(span.topic);
    std::vector<std::uint64_t> kept;
    for (std::uint64_t sequence = span.first; topic != nullptr && sequence < span.end; ++sequence) {
      const Entry* entry = topic->find(sequence);
      if (entry != nullptr && entry->ref.record == record) kept.push_back(sequence);
    }
    if (!kept.empty()) out.emplace_back(topic, std::move(kept));
  }
  std::vector<std::uint64_t> dead;
  for (const auto& [number, letter] : dead_) {
    if (letter.ref.record == record) dead.push_back(number);
  }
  if (!dead.empty()) out.emplace_back(nullptr, std::move(dead));
  return out;
}

void State::introduce(StateListener& listener) const {
  for (const auto& [id, topic] : topics_) {
    listener.topic_added(*topic);
    for (const auto& group : topic->slots) {
      if (group != nullptr) listener.group_added(*topic, *group);
    }
  }
}

// ---- State: records ----

Result<Applied> State::apply(std::uint64_t index, std::string_view record, StateListener& listener) {
  EZ_CHECK(index == applied_ + 1, "records are applied in order");
  ByteReader in(record);
  if (const std::uint8_t format = in.byte(); format != kRecordFormat) {
    return Error(Code::LogFormatNewer, "record " + std::to_string(index) + " of the queue log has format " +
                                           std::to_string(format) + "; this ez reads " +
                                           std::to_string(kRecordFormat));
  }
  applied_ = index;
  applied_ms_ = static_cast<std::int64_t>(in.number());
  Applied out;
  bool good = !in.failed();
  while (good && !in.ended()) {
    const std::uint8_t kind = in.byte();
    ByteReader body(in.text());
    good = !in.failed();
    if (!good) break;
    switch (static_cast<Op>(kind)) {
      case Op::kPublish:
        good = publish(body, record, listener, out);
        break;
      case Op::kGroup:
        good = add_group(body, listener);
        break;
      case Op::kDropGroup:
        good = drop_group(body, listener, out);
        break;
      case Op::kAck:
        good = ack(body, listener);
        break;
      case Op::kNack:
        good = nack(body, listener);
        break;
      case Op::kExpire:
        good = expire(body, listener);
        break;
      case Op::kPurge:
        good = purge(body, listener, out);
        break;
      case Op::kMove:
        good = move(body, record);
        break;
      case Op::kNothing:
        break;
      case Op::kPause:
        good = pause(body);
        break;
      case Op::kBury:
        good = bury(body, listener);
        break;
      case Op::kRedrive:
        good = redrive(body, listener, out);
        break;
      case Op::kDiscard:
        good = discard(body, out);
        break;
      case Op::kSetting:
        good = set(body);
        break;
      default:
        return Error(Code::LogFormatNewer, "record " + std::to_string(index) +
                                               " of the queue log holds the unknown operation " +
                                               std::to_string(kind));
    }
    good = good && !body.failed() && body.ended();
  }
  if (good) return out;
  return Error(Code::LogDamaged, "record " + std::to_string(index) + " of the queue log does not make sense");
}

bool State::publish(ByteReader& in, std::string_view record, StateListener& listener, Applied& out) {
  const std::string_view name = in.text();
  const std::uint64_t count = in.number();
  if (in.failed() || !check_topic(name).ok()) return false;
  Topic& topic = topic_for(name, listener);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string_view rest = in.peek();
    MessageView message;
    if (!get_message(in, message)) return false;
    if (!message.own_id) {
      const IdHash hash = hash_id(name, message.id);
      if (ids_.contains(hash)) {
        out.duplicates.push_back(true);
        out.places.push_back({topic.id, 0});
        continue;
      }
      ids_.add(hash);
    }
    out.duplicates.push_back(false);
    const Ref ref{applied_, static_cast<std::uint32_t>(rest.data() - record.data()),
                  static_cast<std::uint32_t>(rest.size() - in.left())};
    const Timing timing{message.delay_ms > 0 ? applied_ms_ + message.delay_ms : 0,
                        message.ttl_ms > 0 ? applied_ms_ + message.ttl_ms : 0};
    ++topic.published;
    const std::uint64_t sequence =
        add(topic, ref, message.priority, hash_key(message.key), timing, nullptr, listener);
    out.places.push_back({topic.id, sequence});
  }
  return true;
}

bool State::add_group(ByteReader& in, StateListener& listener) {
  Subscription subscription;
  subscription.pattern = in.text();
  subscription.group = in.text();
  subscription.durable = in.byte() != 0;
  if (in.failed() || !check_pattern(subscription.pattern).ok()) return false;
  if (!is_wild(subscription.pattern)) topic_for(subscription.pattern, listener);
  if (!subscriptions_.emplace(subscription, true).second) return true;
  for (const auto& [name, topic] : by_name_) {
    if (matches(subscription.pattern, name)) attach(*topic, subscription, listener);
  }
  return true;
}

bool State::drop_group(ByteReader& in, StateListener& listener, Applied& out) {
  const std::string pattern(in.text());
  const std::string name(in.text());
  if (in.failed()) return false;
  const std::size_t before = subscriptions_.size();
  subscriptions_.erase({pattern, name, true});
  subscriptions_.erase({pattern, name, false});
  out.count += before - subscriptions_.size();
  if (before == subscriptions_.size()) return true;
  for (const auto& [topic_name, topic] : by_name_) {
    Group* group = topic->group_named(name);
    if (group == nullptr || !matches(pattern, topic_name)) continue;
    const bool still = std::any_of(subscriptions_.begin(), subscriptions_.end(), [&](const auto& one) {
      return one.first.group == name && matches(one.first.pattern, topic->name);
    });
    if (!still) detach(*topic, *group, listener);
  }
  return true;
}

bool State::ack(ByteReader& in, StateListener& listener) {
  Topic* topic = topic_of(in.number());
  const std::uint64_t group_id = in.number();
  Group* group = topic == nullptr ? nullptr : topic->group_of(group_id);
  for (const std::uint64_t sequence : get_sequences(in)) {
    if (group != nullptr) settle(*topic, *group, sequence, listener);
  }
  return true;
}

bool State::nack(ByteReader& in, StateListener& listener) {
  Topic* topic = topic_of(in.number());
  const std::uint64_t group_id = in.number();
  Group* group = topic == nullptr ? nullptr : topic->group_of(group_id);
  const auto not_before = static_cast<std::int64_t>(in.number());
  const std::string_view reason = in.text().substr(0, kMaxReasonBytes);
  for (const std::uint64_t sequence : get_sequences(in)) {
    if (group == nullptr) continue;
    const Chunk* chunk = topic->chunk_of(sequence);
    if (chunk == nullptr || (chunk->live & ~chunk->settled[group->slot] & bit_of(sequence)) == 0) continue;
    Failure& failure = group->failures[sequence];
    ++failure.attempts;
    failure.not_before_ms = not_before;
    failure.history.emplace_back(applied_ms_, reason);
    if (failure.history.size() > kMaxHistory) failure.history.erase(failure.history.begin());
    listener.returned(*topic, *group, sequence);
  }
  return true;
}

bool State::expire(ByteReader& in, StateListener& listener) {
  Topic* topic = topic_of(in.number());
  for (const std::uint64_t sequence : get_sequences(in)) {
    if (topic == nullptr || topic->find(sequence) == nullptr) continue;
    ++topic->expired;
    settle_all(*topic, sequence, listener);
  }
  return true;
}

bool State::purge(ByteReader& in, StateListener& listener, Applied& out) {
  Topic* topic = topic_of(in.number());
  const std::uint64_t last = in.number();
  const std::vector<std::uint64_t> kept = get_sequences(in);
  if (topic == nullptr) return true;
  std::vector<std::uint64_t> gone;
  for (const auto& [number, chunk] : topic->chunks) {
    for (std::uint64_t left = chunk->live; left != 0; left &= left - 1) {
      const std::uint64_t sequence = number * kChunk + static_cast<std::uint64_t>(__builtin_ctzll(left));
      if (sequence <= last && !std::binary_search(kept.begin(), kept.end(), sequence))
        gone.push_back(sequence);
    }
  }
  for (const std::uint64_t sequence : gone) settle_all(*topic, sequence, listener);
  out.count += gone.size();
  return true;
}

bool State::move(ByteReader& in, std::string_view record) {
  const std::uint64_t topic_id = in.number();
  Topic* topic = topic_of(topic_id);
  for (std::uint64_t count = in.number(); count > 0 && !in.failed(); --count) {
    const std::uint64_t sequence = in.number();
    const std::string_view bytes = in.text();
    if (in.failed()) return false;
    Ref* ref = nullptr;
    if (topic_id == 0) {
      const auto letter = dead_.find(sequence);
      if (letter != dead_.end()) ref = &letter->second.ref;
    } else if (topic != nullptr && topic->find(sequence) != nullptr) {
      ref = &topic->chunk_of(sequence)->entries[sequence % kChunk].ref;
    }
    if (ref == nullptr) continue;
    const Ref old = *ref;
    *ref = {applied_, static_cast<std::uint32_t>(bytes.data() - record.data()),
            static_cast<std::uint32_t>(bytes.size())};
    hold(*ref);
    release(old);
    if (topic_id != 0) note_span(applied_, topic_id, sequence);
  }
  return true;
}

bool State::pause(ByteReader& in) {
  Topic* topic = topic_named(in.text());
  const bool on = in.byte() != 0;
  if (topic != nullptr) topic->paused = on;
  return true;
}

bool State::bury(ByteReader& in, StateListener& listener) {
  Topic* topic = topic_of(in.number());
  const std::uint64_t group_id = in.number();
  const std::uint64_t sequence = in.number();
  const std::string_view reason = in.text().substr(0, kMaxReasonBytes);
  Group* group = topic == nullptr ? nullptr : topic->group_of(group_id);
  if (group == nullptr) return true;
  const Chunk* chunk = topic->chunk_of(sequence);
  if (chunk == nullptr || (chunk->live & ~chunk->settled[group->slot] & bit_of(sequence)) == 0) return true;
  const Entry& entry = chunk->entries[sequence % kChunk];
  DeadLetter letter;
  letter.number = next_dead_++;
  letter.topic = topic->name;
  letter.group = group->name;
  letter.ref = entry.ref;
  letter.priority = topic->priority_of(sequence);
  letter.key = entry.key;
  letter.died_ms = applied_ms_;
  letter.reason = reason;
  if (const auto failure = group->failures.find(sequence); failure != group->failures.end()) {
    letter.attempts = failure->second.attempts;
    letter.history = failure->second.history;
  }
  ++letter.attempts;
  letter.history.emplace_back(applied_ms_, reason);
  if (letter.history.size() > kMaxHistory) letter.history.erase(letter.history.begin());
  hold(letter.ref);
  dead_.emplace(letter.number, std::move(letter));
  settle(*topic, *group, sequence, listener);
  return true;
}

bool State::redrive(ByteReader& in, StateListener& listener, Applied& out) {
  for (const std::uint64_t number : get_sequences(in)) {
    const auto found = dead_.find(number);
    if (found == dead_.end()) continue;
    const DeadLetter letter = std::move(found->second);
    dead_.erase(found);
    Topic& topic = topic_for(letter.topic, listener);
    const Group* only = topic.group_named(letter.group);
    add(topic, letter.ref, letter.priority, letter.key, {}, only, listener);
    release(letter.ref);
    ++out.count;
  }
  return true;
}

bool State::discard(ByteReader& in, Applied& out) {
  for (const std::uint64_t number : get_sequences(in)) {
    const auto found = dead_.find(number);
    if (found == dead_.end()) continue;
    release(found->second.ref);
    dead_.erase(found);
    ++out.count;
  }
  return true;
}

bool State::set(ByteReader& in) {
  const std::string key(in.text());
  const std::string_view value = in.text();
  if (in.failed()) return false;
  if (value.empty()) {
    settings_.erase(key);
  } else {
    settings_[key] = value;
  }
  return true;
}

// ---- State: the parts ----

Topic& State::topic_for(std::string_view name, StateListener& listener) {
  if (Topic* known = topic_named(name)) return *known;
  auto made = std::make_unique<Topic>();
  Topic& topic = *made;
  topic.id = next_topic_++;
  topic.name = name;
  topic.slots.push_back(nullptr);
  topics_.emplace(topic.id, std::move(made));
  by_name_.emplace(topic.name, &topic);
  listener.topic_added(topic);
  for (const auto& [subscription, present] : subscriptions_) {
    if (matches(subscription.pattern, topic.name)) attach(topic, subscription, listener);
  }
  return topic;
}

void State::attach(Topic& topic, const Subscription& subscription, StateListener& listener) {
  if (topic.group_named(subscription.group) != nullptr) return;
  std::size_t slot = 1;
  while (slot < topic.slots.size() && topic.slots[slot] != nullptr) ++slot;
  if (slot == topic.slots.size()) topic.slots.emplace_back();
  topic.slots[slot] = std::make_unique<Group>();
  Group& group = *topic.slots[slot];
  group.id = next_group_++;
  group.name = subscription.group;
  group.durable = subscription.durable;
  group.slot = slot;
  // The first durable group takes what was kept for it.
  const bool heir = group.durable && topic.durable_groups == 0;
  for (auto& [number, chunk] : topic.chunks) {
    chunk->settled.resize(topic.slots.size(), kAll);
    chunk->taken.resize(topic.slots.size(), 0);
    chunk->taken[slot] = 0;
    chunk->settled[slot] = heir ? chunk->settled[0] : kAll;
    if (heir) chunk->settled[0] = kAll;
  }
  if (group.durable) ++topic.durable_groups;
  listener.group_added(topic, group);
}

void State::detach(Topic& topic, Group& group, StateListener& listener) {
  listener.group_removed(topic, group);
  const std::size_t slot = group.slot;
  if (group.durable) --topic.durable_groups;
  topic.slots[slot] = nullptr;
  std::vector<std::uint64_t> open;
  for (auto& [number, chunk] : topic.chunks) {
    for (std::uint64_t left = chunk->live & ~chunk->settled[slot]; left != 0; left &= left - 1) {
      open.push_back(number * kChunk + static_cast<std::uint64_t>(__builtin_ctzll(left)));
    }
    chunk->settled[slot] = kAll;
  }
  for (const std::uint64_t sequence : open) free_if_done(topic, *topic.chunk_of(sequence), sequence);
}

std::uint64_t State::add(Topic& topic, const Ref& ref, Priority priority, std::uint64_t key, Timing timing,
                         const Group* only, StateListener& listener) {
  const std::uint64_t sequence = topic.next_sequence++;
  const std::uint64_t bit = bit_of(sequence);
  auto& held = topic.chunks[sequence / kChunk];
  if (held == nullptr) {
    held = std::make_unique<Chunk>();
    held->settled.assign(topic.slots.size(), kAll);
    held->taken.assign(topic.slots.size(), 0);
  }
  Chunk& chunk = *held;
  chunk.live |= bit;
  chunk.priority[static_cast<std::size_t>(priority)] |= bit;
  chunk.entries[sequence % kChunk] = {ref, key};
  for (std::size_t slot = 0; slot < topic.slots.size(); ++slot) {
    const Group* group = topic.slots[slot].get();
    const bool waits = slot == 0 ? topic.durable_groups == 0 && only == nullptr
                                 : group != nullptr && (only == nullptr || only == group);
    set_bit(chunk.settled[slot], bit, !waits);
    set_bit(chunk.taken[slot], bit, false);
  }
  if (timing.due_ms != 0 || timing.expires_ms != 0) {
    chunk.timed |= bit;
    topic.timing[sequence] = timing;
  }
  ++topic.live;
  topic.bytes += ref.bytes;
  hold(ref);
  note_span(ref.record, topic.id, sequence);
  listener.added(topic, sequence);
  return sequence;
}

void State::settle(Topic& topic, Group& group, std::uint64_t sequence, StateListener& listener) {
  Chunk* chunk = topic.chunk_of(sequence);
  if (chunk == nullptr || (chunk->live & ~chunk->settled[group.slot] & bit_of(sequence)) == 0) return;
  chunk->settled[group.slot] |= bit_of(sequence);
  if (!group.failures.empty()) group.failures.erase(sequence);
  listener.settled(topic, group, sequence);
  free_if_done(topic, *chunk, sequence);
}

void State::settle_all(Topic& topic, std::uint64_t sequence, StateListener& listener) {
  Chunk& chunk = *topic.chunk_of(sequence);
  chunk.settled[0] |= bit_of(sequence);
  for (const auto& group : topic.slots) {
    // The last one frees the entry, and perhaps the chunk.
    if (group != nullptr && topic.find(sequence) != nullptr) settle(topic, *group, sequence, listener);
  }
  if (topic.find(sequence) != nullptr) free_if_done(topic, *topic.chunk_of(sequence), sequence);
}

void State::free_if_done(Topic& topic, Chunk& chunk, std::uint64_t sequence) {
  const std::uint64_t bit = bit_of(sequence);
  for (const std::uint64_t settled : chunk.settled) {
    if ((settled & bit) == 0) return;
  }
  if ((chunk.live & bit) == 0) return;
  const Ref ref = chunk.entries[sequence % kChunk].ref;
  chunk.live &= ~bit;
  for (std::uint64_t& priority : chunk.priority) priority &= ~bit;
  if ((chunk.timed & bit) != 0) {
    chunk.timed &= ~bit;
    topic.timing.erase(sequence);
  }
  --topic.live;
  topic.bytes -= ref.bytes;
  release(ref);
  // The newest chunk stays while it is being filled.
  if (chunk.live == 0 && topic.next_sequence / kChunk != sequence / kChunk)
    topic.chunks.erase(sequence / kChunk);
}

void State::hold(const Ref& ref) {
  ++records_[ref.record].live;
  live_bytes_ += ref.bytes;
}

void State::release(const Ref& ref) {
  live_bytes_ -= ref.bytes;
  const auto found = records_.find(ref.record);
  EZ_CHECK(found != records_.end(), "what is released was held");
  if (--found->second.live == 0) records_.erase(found);
}

void State::note_span(std::uint64_t record, std::uint64_t topic, std::uint64_t sequence) {
  std::vector<Span>& spans = records_[record].spans;
  if (!spans.empty() && spans.back().topic == topic && spans.back().end == sequence) {
    ++spans.back().end;
  } else {
    spans.push_back({topic, sequence, sequence + 1});
  }
}

}  // namespace ez::queue
