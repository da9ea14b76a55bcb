// Snapshots of the queue's state; docs/formats/queue-log.md has the bytes. What follows from other things is
// not in them: which record is referred to how often, which messages a listener has taken.
#include <algorithm>

#include "queue/embedded/state.h"

namespace ez::queue {
namespace {

constexpr std::uint8_t kFormat = 1;

template <typename Map>
std::vector<std::uint64_t> sorted_keys(const Map& map) {
  std::vector<std::uint64_t> keys;
  keys.reserve(map.size());
  for (const auto& [key, value] : map) keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  return keys;
}

void put_word(std::string& out, std::uint64_t word) {
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(word >> (8 * i)));
}

std::uint64_t get_word(ByteReader& in) {
  const std::string_view bytes = in.raw(8);
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    word |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return word;
}

void put_ref(std::string& out, const Ref& ref) {
  put_number(out, ref.record);
  put_number(out, ref.offset);
  put_number(out, ref.bytes);
}

Ref get_ref(ByteReader& in) {
  Ref ref;
  ref.record = in.number();
  ref.offset = static_cast<std::uint32_t>(in.number());
  ref.bytes = static_cast<std::uint32_t>(in.number());
  return ref;
}

using History = std::vector<std::pair<std::int64_t, std::string>>;

void put_history(std::string& out, const History& history) {
  put_number(out, history.size());
  for (const auto& [when, why] : history) {
    put_number(out, static_cast<std::uint64_t>(when));
    put_text(out, why);
  }
}

History get_history(ByteReader& in) {
  History out;
  for (std::uint64_t count = in.number(); count > 0 && !in.failed(); --count) {
    const auto when = static_cast<std::int64_t>(in.number());
    out.emplace_back(when, in.text());
  }
  return out;
}

void put_group(std::string& out, const Group& group) {
  put_number(out, group.slot);
  put_number(out, group.id);
  put_text(out, group.name);
  out.push_back(group.durable ? 1 : 0);
  put_number(out, group.failures.size());
  for (const std::uint64_t sequence : sorted_keys(group.failures)) {
    const Failure& failure = group.failures.at(sequence);
    put_number(out, sequence);
    put_number(out, failure.attempts);
    put_number(out, static_cast<std::uint64_t>(failure.not_before_ms));
    put_history(out, failure.history);
  }
}

void put_chunk(std::string& out, std::uint64_t number, const Chunk& chunk) {
  put_number(out, number);
  put_word(out, chunk.live);
  put_word(out, chunk.timed);
  for (const std::uint64_t word : chunk.priority) put_word(out, word);
  for (const std::uint64_t word : chunk.settled) put_word(out, word | ~chunk.live);
  for (std::uint64_t left = chunk.live; left != 0; left &= left - 1) {
    const Entry& entry = chunk.entries[static_cast<std::size_t>(__builtin_ctzll(left))];
    put_ref(out, entry.ref);
    put_word(out, entry.key);
  }
}

void put_topic(std::string& out, const Topic& topic) {
  put_number(out, topic.id);
  put_text(out, topic.name);
  put_number(out, topic.next_sequence);
  put_number(out, topic.published);
  put_number(out, topic.expired);
  out.push_back(topic.paused ? 1 : 0);
  put_number(out, topic.slots.size());
  put_number(out, static_cast<std::uint64_t>(std::count_if(topic.slots.begin(), topic.slots.end(),
                                                           [](const auto& one) { return one != nullptr; })));
  for (const auto& group : topic.slots) {
    if (group != nullptr) put_group(out, *group);
  }
  // A chunk without messages says nothing.
  put_number(
      out, static_cast<std::uint64_t>(std::count_if(topic.chunks.begin(), topic.chunks.end(),
                                                    [](const auto& one) { return one.second->live != 0; })));
  for (const auto& [number, chunk] : topic.chunks) {
    if (chunk->live != 0) put_chunk(out, number, *chunk);
  }
  put_number(out, topic.timing.size());
  for (const std::uint64_t sequence : sorted_keys(topic.timing)) {
    const Timing& timing = topic.timing.at(sequence);
    put_number(out, sequence);
    put_number(out, static_cast<std::uint64_t>(timing.due_ms));
    put_number(out, static_cast<std::uint64_t>(timing.expires_ms));
  }
}

}  // namespace

std::string State::encode() const {
  std::string out;
  out.push_back(static_cast<char>(kFormat));
  put_number(out, applied_);
  put_number(out, static_cast<std::uint64_t>(applied_ms_));
  put_number(out, next_topic_);
  put_number(out, next_group_);
  put_number(out, next_dead_);
  put_number(out, subscriptions_.size());
  for (const auto& [subscription, present] : subscriptions_) {
    put_text(out, subscription.pattern);
    put_text(out, subscription.group);
    out.push_back(subscription.durable ? 1 : 0);
  }
  put_number(out, topics_.size());
  for (const auto& [id, topic] : topics_) put_topic(out, *topic);
  put_number(out, dead_.size());
  for (const auto& [number, letter] : dead_) {
    put_number(out, number);
    put_text(out, letter.topic);
    put_text(out, letter.group);
    put_ref(out, letter.ref);
    put_number(out, static_cast<std::uint64_t>(letter.priority));
    put_word(out, letter.key);
    put_number(out, letter.attempts);
    put_number(out, static_cast<std::uint64_t>(letter.died_ms));
    put_text(out, letter.reason);
    put_history(out, letter.history);
  }
  put_number(out, settings_.size());
  for (const auto& [key, value] : settings_) {
    put_text(out, key);
    put_text(out, value);
  }
  put_number(out, ids_.oldest_first().size());
  for (const IdHash& id : ids_.oldest_first()) {
    put_word(out, id[0]);
    put_word(out, id[1]);
  }
  return out;
}

// Fills a State; stays failed at the first thing that makes no sense.
class State::Decoder {
 public:
  Decoder(std::string_view bytes, State& state) : in_(bytes), state_(state) {}

  bool run(std::uint64_t index) {
    state_.applied_ = in_.number();
    state_.applied_ms_ = static_cast<std::int64_t>(in_.number());
    state_.next_topic_ = in_.number();
    state_.next_group_ = in_.number();
    state_.next_dead_ = in_.number();
    for (std::uint64_t count = in_.number(); count > 0 && good(); --count) {
      Subscription subscription;
      subscription.pattern = in_.text();
      subscription.group = in_.text();
      subscription.durable = in_.byte() != 0;
      state_.subscriptions_.emplace(std::move(subscription), true);
    }
    for (std::uint64_t count = in_.number(); count > 0 && good(); --count) topic();
    for (std::uint64_t count = in_.number(); count > 0 && good(); --count) dead_letter();
    for (std::uint64_t count = in_.number(); count > 0 && good(); --count) {
      std::string key(in_.text());
      state_.settings_[std::move(key)] = in_.text();
    }
    for (std::uint64_t count = in_.number(); count > 0 && good(); --count) {
      IdHash id;
      id[0] = get_word(in_);
      id[1] = get_word(in_);
      state_.ids_.add(id);
    }
    return good() && in_.ended() && state_.applied_ == index;
  }

  ByteReader& in() { return in_; }

 private:
  [[nodiscard]] bool good() const { return good_ && !in_.failed(); }

  void topic() {
    auto made = std::make_unique<Topic>();
    Topic& topic = *made;
    topic.id = in_.number();
    topic.name = in_.text();
    topic.next_sequence = in_.number();
    topic.published = in_.number();
    topic.expired = in_.number();
    topic.paused = in_.byte() != 0;
    const std::uint64_t slots = in_.number();
    good_ = good_ && slots >= 1 && slots <= in_.left() + 1 && !state_.topics_.contains(topic.id) &&
            !state_.by_name_.contains(topic.name);
    if (!good()) return;
    topic.slots.resize(slots);
    for (std::uint64_t count = in_.number(); count > 0 && good(); --count) group(topic);
    for (std::uint64_t count = in_.number(); count > 0 && good(); --count) chunk(topic);
    for (std::uint64_t count = in_.number(); count > 0 && good(); --count) {
      const std::uint64_t sequence = in_.number();
      Timing timing;
      timing.due_ms = static_cast<std::int64_t>(in_.number());
      timing.expires_ms = static_cast<std::int64_t>(in_.number());
      topic.timing[sequence] = timing;
    }
    state_.by_name_.emplace(topic.name, &topic);
    state_.topics_.emplace(topic.id, std::move(made));
  }

  void group(Topic& topic) {
    auto group = std::make_unique<Group>();
    group->slot = in_.number();
    group->id = in_.number();
    group->name = in_.text();
    group->durable = in_.byte() != 0;
    for (std::uint64_t count = in_.number(); count > 0 && good(); --count) {
      const std::uint64_t sequence = in_.number();
      Failure& failure = group->failures[sequence];
      failure.attempts = static_cast<std::uint32_t>(in_.number());
      failure.not_before_ms = static_cast<std::int64_t>(in_.number());
      failure.history = get_history(in_);
    }
    good_ =
        good_ && group->slot >= 1 && group->slot < topic.slots.size() && topic.slots[group->slot] == nullptr;
    if (!good()) return;
    if (group->durable) ++topic.durable_groups;
    topic.slots[group->slot] = std::move(group);
  }

  void chunk(Topic& topic) {
    const std::uint64_t number = in_.number();
    auto made = std::make_unique<Chunk>();
    Chunk& chunk = *made;
    chunk.live = get_word(in_);
    chunk.timed = get_word(in_);
    for (std::uint64_t& word : chunk.priority) word = get_word(in_);
    chunk.taken.assign(topic.slots.size(), 0);
    chunk.settled.resize(topic.slots.size());
    for (std::uint64_t& word : chunk.settled) word = get_word(in_);
    for (std::uint64_t left = chunk.live; left != 0 && good(); left &= left - 1) {
      const auto position = static_cast<std::uint64_t>(__builtin_ctzll(left));
      Entry& entry = chunk.entries[position];
      entry.ref = get_ref(in_);
      entry.key = get_word(in_);
      ++topic.live;
      topic.bytes += entry.ref.bytes;
      state_.hold(entry.ref);
      state_.note_span(entry.ref.record, topic.id, number * kChunk + position);
    }
    good_ = good_ && !topic.chunks.contains(number);
    topic.chunks[number] = std::move(made);
  }

  void dead_letter() {
    DeadLetter letter;
    letter.number = in_.number();
    letter.topic = in_.text();
    letter.group = in_.text();
    letter.ref = get_ref(in_);
    letter.priority = static_cast<Priority>(in_.number() % kPriorities);
    letter.key = get_word(in_);
    letter.attempts = static_cast<std::uint32_t>(in_.number());
    letter.died_ms = static_cast<std::int64_t>(in_.number());
    letter.reason = in_.text();
    letter.history = get_history(in_);
    if (!good()) return;
    state_.hold(letter.ref);
    state_.dead_.emplace(letter.number, std::move(letter));
  }

  ByteReader in_;
  State& state_;
  bool good_ = true;
};

Result<std::unique_ptr<State>> State::decode(std::string_view bytes, std::uint64_t index) {
  auto state = std::make_unique<State>();
  Decoder decoder(bytes, *state);
  if (const std::uint8_t format = decoder.in().byte(); format != kFormat) {
    return Error(Code::LogFormatNewer, "the snapshot of the queue has format " + std::to_string(format) +
                                           "; this ez reads " + std::to_string(kFormat));
  }
  if (decoder.run(index)) return state;
  return Error(Code::SnapshotDamaged, "the snapshot of the queue does not make sense");
}

}  // namespace ez::queue
