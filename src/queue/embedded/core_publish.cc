// The embedded bus: what callers ask of the bus itself.
#include <algorithm>
#include <set>

#include "queue/embedded/core.h"
#include "queue/topic.h"

namespace ez::queue {
namespace {

constexpr std::size_t kMaxBatch = 10'000;
constexpr std::uint64_t kMaxBatchBytes = 16ULL << 20;
constexpr std::size_t kMaxPeek = 1000;
constexpr std::size_t kMaxSettings = 1000;
constexpr std::size_t kMaxSettingBytes = 64 * 1024;

Error unknown_topic(const std::string& topic) {
  return Error(Code::TopicNotFound, "there is no topic " + topic);
}

std::uint64_t bytes_of(const Message& message) {
  std::uint64_t bytes = message.payload.size() + message.id.size() + message.key.size();
  for (const auto& [name, value] : message.headers) bytes += name.size() + value.size();
  return bytes;
}

}  // namespace

Status Core::room_for(const std::string& name, std::uint64_t messages, std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  const Topic* topic = state_->topic_named(name);
  if (topic == nullptr) return {};
  if (topic->live + messages > options_.max_topic_messages ||
      topic->bytes + bytes > options_.max_topic_bytes) {
    return Error(Code::QueueFull, "the topic " + name + " holds " + std::to_string(topic->live) +
                                      " messages of " + std::to_string(topic->bytes) +
                                      " bytes; it may hold " + std::to_string(options_.max_topic_messages) +
                                      " and " + std::to_string(options_.max_topic_bytes));
  }
  return {};
}

void Core::publish(std::vector<Message> messages, PublishCallback done) {
  publish(std::move(messages), false,
          [done = std::move(done)](std::vector<Result<Receipt>> answers, const std::vector<Place>&) {
            done(std::move(answers));
          });
}

void Core::publish(std::vector<Message> messages, bool on_the_way, PlacedCallback done) {
  struct ByTopic {
    std::vector<std::size_t> positions;
    std::uint64_t bytes = 0;
  };
  std::vector<Result<Receipt>> answers;
  answers.reserve(messages.size());
  std::vector<char> own(messages.size(), 0);
  std::map<std::string_view, ByTopic> topics;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    Message& message = messages[i];
    Status good = check_message(message);
    const std::uint64_t size = bytes_of(message);
    bytes += size;
    if (good.ok() && messages.size() > kMaxBatch) {
      good = Error(Code::PayloadTooLarge, "at most 10,000 messages are published at once");
    }
    if (good.ok() && bytes > kMaxBatchBytes) {
      good = Error(Code::PayloadTooLarge, "at most 16 MiB are published at once");
    }
    if (!good.ok()) {
      answers.emplace_back(good.error());
      continue;
    }
    if (message.id.empty()) {
      message.id = own_id();
      own[i] = 1;
    }
    answers.emplace_back(Receipt{message.id, false});
    ByTopic& topic = topics[message.topic];
    topic.positions.push_back(i);
    topic.bytes += size;
  }
  RecordWriter writer(clock_.now_ms());
  std::vector<std::size_t> order;
  for (auto& [name, topic] : topics) {
    const Status room = room_for(std::string(name), topic.positions.size(), topic.bytes);
    std::vector<const Message*> group;
    std::vector<char> group_own;
    for (const std::size_t i : topic.positions) {
      if (!room.ok()) {
        answers[i] = room.error();
        continue;
      }
      group.push_back(&messages[i]);
      group_own.push_back(own[i]);
      order.push_back(i);
    }
    if (!group.empty()) writer.publish(name, group, group_own);
  }
  std::vector<Place> places(on_the_way ? messages.size() : 0);
  if (order.empty()) {
    done(std::move(answers), std::move(places));
    return;
  }
  propose(writer.take(), true,
          [this, on_the_way, answers = std::move(answers), places = std::move(places),
           order = std::move(order), done = std::move(done)](const Result<Applied>& applied) mutable {
            for (std::size_t n = 0; n < order.size(); ++n) {
              if (applied.ok()) {
                answers[order[n]].value().duplicate = applied->duplicates[n];
              } else {
                answers[order[n]] = applied.error();
              }
              if (on_the_way && applied.ok()) places[order[n]] = applied->places[n];
            }
            // In the loop's thread, so before anything of it is given to who waits.
            if (on_the_way && applied.ok()) set_out(applied->places);
            done(std::move(answers), std::move(places));
          });
}

void Core::drop_group(std::string pattern, std::string group, Callback<bool> done) {
  Status good = check_pattern(pattern);
  if (good.ok()) good = check_group(group);
  if (!good.ok()) {
    done(good.error());
    return;
  }
  RecordWriter writer(clock_.now_ms());
  writer.drop_group(pattern, group);
  propose(writer.take(), false, [done = std::move(done)](const Result<Applied>& applied) {
    if (!applied.ok()) return done(applied.error());
    done(applied->count > 0);
  });
}

// Sequence numbers of a topic that are out, ascending. O(deliveries that are out).
std::vector<std::uint64_t> Core::out_of(std::uint64_t topic) const {
  std::vector<std::uint64_t> out;
  for (const auto& [id, consumer] : consumers_) {
    for (const auto& [tag, lease] : consumer->leases) {
      if (lease.topic == topic) out.push_back(lease.sequence);
    }
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

void Core::peek(std::string topic, std::size_t max, Callback<std::vector<Delivery>> done) {
  std::vector<Picked> picked;
  bool known = false;
  {
    std::lock_guard lock(mutex_);
    const Topic* found = state_->topic_named(topic);
    known = found != nullptr;
    if (found != nullptr) {
      const std::vector<std::uint64_t> out = out_of(found->id);
      for (const auto& [number, chunk] : found->chunks) {
        for (std::uint64_t left = chunk->live; left != 0 && picked.size() < std::min(max, kMaxPeek);
             left &= left - 1) {
          const auto position = static_cast<std::uint64_t>(__builtin_ctzll(left));
          if (std::binary_search(out.begin(), out.end(), number * kChunk + position)) continue;
          picked.push_back({{}, 1, &found->name, chunk->entries[position].ref});
        }
      }
    }
  }
  if (!known) {
    done(unknown_topic(topic));
    return;
  }
  done(load(picked));
}

void Core::purge(std::string topic, Callback<std::uint64_t> done) {
  RecordWriter writer(clock_.now_ms());
  bool known = false;
  {
    std::lock_guard lock(mutex_);
    const Topic* found = state_->topic_named(topic);
    known = found != nullptr;
    if (known) writer.purge(found->id, found->next_sequence - 1, out_of(found->id));
  }
  if (!known) {
    done(unknown_topic(topic));
    return;
  }
  propose(writer.take(), false, [done = std::move(done)](const Result<Applied>& applied) {
    if (!applied.ok()) return done(applied.error());
    done(applied->count);
  });
}

void Core::pause(std::string topic, bool on, Callback<bool> done) {
  bool known = false;
  {
    std::lock_guard lock(mutex_);
    known = state_->topic_named(topic) != nullptr;
  }
  if (!known) {
    done(unknown_topic(topic));
    return;
  }
  RecordWriter writer(clock_.now_ms());
  writer.pause(topic, on);
  propose(writer.take(), false,
          [this, topic = std::move(topic), on, done = std::move(done)](const Result<Applied>& applied) {
            if (!applied.ok()) return done(applied.error());
            {
              std::lock_guard lock(mutex_);
              const Topic* found = state_->topic_named(topic);
              for (const auto& group : found->slots) {
                if (group != nullptr) lines_.stir(*group->line);
              }
            }
            done(on);
          });
}

TopicCounts Core::counts_of(const Topic& topic) const {
  TopicCounts out;
  out.topic = topic.name;
  out.bytes = topic.bytes;
  out.published = topic.published;
  for (const auto& group : topic.slots) {
    if (group == nullptr) continue;
    const std::uint64_t delayed = lines_.delayed(*group->line);
    const std::uint64_t waiting = topic.waiting_in(group->slot);
    const std::uint64_t busy = delayed + group->line->out;
    out.ready = std::max(out.ready, waiting > busy ? waiting - busy : 0);
    out.delayed = std::max(out.delayed, delayed);
    out.in_flight += group->line->out;
  }
  if (topic.durable_groups == 0) {
    std::uint64_t delayed = 0;
    for (const auto& [sequence, timing] : topic.timing) {
      if (timing.due_ms > clock_.now_ms()) ++delayed;
    }
    const std::uint64_t waiting = topic.waiting_in(0);
    out.delayed = std::max(out.delayed, delayed);
    out.ready = std::max(out.ready, waiting > delayed ? waiting - delayed : 0);
  }
  return out;
}

void Core::counts(std::string pattern, Callback<std::vector<TopicCounts>> done) {
  if (Status good = check_pattern(pattern); !good.ok()) {
    done(good.error());
    return;
  }
  std::vector<TopicCounts> out;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [name, topic] : state_->topics()) {
      if (matches(pattern, name)) out.push_back(counts_of(*topic));
    }
  }
  done(std::move(out));
}

std::vector<EmbeddedTopic> Core::topics(const std::string& pattern) {
  std::vector<EmbeddedTopic> out;
  std::lock_guard lock(mutex_);
  std::map<std::string_view, std::uint64_t> dead;
  for (const auto& [number, letter] : state_->dead()) ++dead[letter.topic];
  for (const auto& [name, topic] : state_->topics()) {
    if (!pattern.empty() && !matches(pattern, name)) continue;
    EmbeddedTopic one;
    one.counts = counts_of(*topic);
    one.paused = topic->paused;
    one.expired = topic->expired;
    one.dead = dead[name];
    for (const auto& group : topic->slots) {
      if (group == nullptr) continue;
      const std::uint64_t delayed = lines_.delayed(*group->line);
      const std::uint64_t waiting = topic->waiting_in(group->slot);
      const std::uint64_t busy = delayed + group->line->out;
      one.groups.push_back(
          {group->name, group->durable, waiting > busy ? waiting - busy : 0, delayed, group->line->out});
    }
    out.push_back(std::move(one));
  }
  return out;
}

void Core::check_health(std::chrono::milliseconds, Callback<std::int64_t> done) {
  RecordWriter writer(clock_.now_ms());
  writer.nothing();
  const std::int64_t began = clock_.monotonic_us();
  propose(writer.take(), false, [this, began, done = std::move(done)](const Result<Applied>& applied) {
    if (!applied.ok()) return done(applied.error());
    done(std::max<std::int64_t>(1, clock_.monotonic_us() - began));
  });
}

Capabilities Core::capabilities() const { return {"embedded", kIdWindow, true, true, true}; }

// ---- dead letters ----

std::vector<DeadLetter> Core::find_dead(const DeadLetterFilter& filter) {
  std::vector<DeadLetter> found;
  const std::set<std::uint64_t> wanted(filter.numbers.begin(), filter.numbers.end());
  std::lock_guard lock(mutex_);
  for (auto at = state_->dead().upper_bound(filter.after); at != state_->dead().end(); ++at) {
    const DeadLetter& letter = at->second;
    if (found.size() == filter.limit) break;
    if (!wanted.empty() && !wanted.contains(letter.number)) continue;
    if (!filter.topic.empty() && !matches(filter.topic, letter.topic)) continue;
    if (!filter.group.empty() && letter.group != filter.group) continue;
    if (letter.reason.find(filter.reason) == std::string::npos) continue;
    found.push_back(letter);
  }
  return found;
}

std::vector<std::uint64_t> Core::dead_numbers(const DeadLetterFilter& filter) {
  std::vector<std::uint64_t> out;
  for (const DeadLetter& letter : find_dead(filter)) out.push_back(letter.number);
  return out;
}

Result<std::vector<DeadLetterView>> Core::dead_letters(const DeadLetterFilter& filter) {
  std::vector<DeadLetter> found = find_dead(filter);
  std::vector<DeadLetterView> out;
  for (DeadLetter& letter : found) {
    auto original = load(letter.ref, letter.topic);
    if (!original.ok()) {
      // Redriven, discarded or moved since we looked.
      if (original.error().code() == Code::InvalidArgument) continue;
      return original.error();
    }
    DeadLetterView view;
    view.number = letter.number;
    view.group = std::move(letter.group);
    view.attempts = letter.attempts;
    view.died_ms = letter.died_ms;
    view.reason = std::move(letter.reason);
    view.history = std::move(letter.history);
    view.original = std::move(*original);
    out.push_back(std::move(view));
  }
  return out;
}

void Core::redrive(std::vector<std::uint64_t> numbers, Callback<std::uint64_t> done) {
  std::sort(numbers.begin(), numbers.end());
  RecordWriter writer(clock_.now_ms());
  writer.redrive(numbers);
  propose(writer.take(), false, [done = std::move(done)](const Result<Applied>& applied) {
    if (!applied.ok()) return done(applied.error());
    done(applied->count);
  });
}

void Core::discard(std::vector<std::uint64_t> numbers, Callback<std::uint64_t> done) {
  std::sort(numbers.begin(), numbers.end());
  RecordWriter writer(clock_.now_ms());
  writer.discard(numbers);
  propose(writer.take(), false, [done = std::move(done)](const Result<Applied>& applied) {
    if (!applied.ok()) return done(applied.error());
    done(applied->count);
  });
}

void Core::set(std::string key, std::string value, Callback<bool> done) {
  bool known = false;
  bool full = false;
  {
    std::lock_guard lock(mutex_);
    known = state_->settings().contains(key);
    full = !known && state_->settings().size() >= kMaxSettings;
  }
  if (value.size() > kMaxSettingBytes) {
    done(Error(Code::PayloadTooLarge,
               key + " has " + std::to_string(value.size()) + " bytes; at most 65536 are possible"));
    return;
  }
  if (full && !value.empty()) {
    done(Error(Code::Overloaded, "1,000 documents are kept in the queue's log already"));
    return;
  }
  RecordWriter writer(clock_.now_ms());
  writer.setting(key, value);
  propose(writer.take(), false, [known, done = std::move(done)](const Result<Applied>& applied) {
    if (!applied.ok()) return done(applied.error());
    done(known);
  });
}

std::vector<std::pair<std::string, std::string>> Core::settings(const std::string& prefix) {
  std::vector<std::pair<std::string, std::string>> out;
  std::lock_guard lock(mutex_);
  for (auto at = state_->settings().lower_bound(prefix);
       at != state_->settings().end() && at->first.starts_with(prefix); ++at) {
    out.emplace_back(at->first, at->second);
  }
  return out;
}

EmbeddedFigures Core::figures() {
  EmbeddedFigures out;
  std::lock_guard lock(mutex_);
  out.topics = state_->topics().size();
  for (const auto& [name, topic] : state_->topics()) {
    out.messages += topic->live;
    out.bytes += topic->bytes;
    out.published += topic->published;
    out.expired += topic->expired;
  }
  out.dead = state_->dead().size();
  out.duplicates = duplicates_;
  out.delivered = delivered_;
  out.acknowledged = acknowledged_;
  out.given_back = given_back_;
  out.log_first = state_->oldest_record();
  out.log_last = state_->applied();
  return out;
}

}  // namespace ez::queue
