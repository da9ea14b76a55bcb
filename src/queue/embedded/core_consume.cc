// The embedded bus: taking and settling.
#include <algorithm>

#include "queue/embedded/core.h"
#include "queue/topic.h"

namespace ez::queue {
namespace {

constexpr std::size_t kMaxInFlight = 100'000;
constexpr std::int64_t kMinLeaseMs = 100;
constexpr std::int64_t kMaxLeaseMs = 12LL * 3600 * 1000;
constexpr std::size_t kMaxDead = 100'000;
constexpr std::size_t kMaxDeadlines = 100'000;
constexpr const char* kLeaseEnded = "the lease ended without an answer";

class CoreConsumer final : public EmbeddedConsumer {
 public:
  CoreConsumer(Core& core, ConsumerState& state) : core_(core), state_(state) {}
  ~CoreConsumer() override { core_.close(state_); }

  void take(std::size_t max, std::size_t max_bytes, std::chrono::milliseconds wait,
            Callback<std::vector<Delivery>> done) override {
    core_.take(state_, max, max_bytes, wait, std::move(done));
  }
  void ack(std::vector<DeliveryTag> tags, SettleCallback done) override {
    core_.settle(state_, tags, Core::Settlement::kAck, {}, {}, std::move(done));
  }
  void nack(std::vector<DeliveryTag> tags, std::chrono::milliseconds delay, SettleCallback done) override {
    core_.settle(state_, tags, Core::Settlement::kNack, delay, "given back", std::move(done));
  }
  void nack_because(std::vector<DeliveryTag> tags, std::chrono::milliseconds delay, std::string reason,
                    SettleCallback done) override {
    core_.settle(state_, tags, Core::Settlement::kNack, delay, std::move(reason), std::move(done));
  }
  void bury(std::vector<DeliveryTag> tags, std::string reason, SettleCallback done) override {
    core_.settle(state_, tags, Core::Settlement::kBury, {}, std::move(reason), std::move(done));
  }
  void extend(std::vector<DeliveryTag> tags, std::chrono::milliseconds lease, SettleCallback done) override {
    core_.extend(state_, tags, lease, std::move(done));
  }

 private:
  Core& core_;
  ConsumerState& state_;  // the core's, until close()
};

}  // namespace

Result<std::unique_ptr<Consumer>> Core::subscribe(SubscribeOptions options, std::chrono::milliseconds wait) {
  EZ_ASSIGN(auto consumer, subscribe_embedded(std::move(options), wait));
  return std::unique_ptr<Consumer>(std::move(consumer));
}

Result<std::unique_ptr<EmbeddedConsumer>> Core::subscribe_embedded(SubscribeOptions options,
                                                                   std::chrono::milliseconds wait) {
  EZ_TRY(check_pattern(options.pattern));
  if (!options.group.empty()) EZ_TRY(check_group(options.group));
  if (options.max_in_flight < 1 || options.max_in_flight > kMaxInFlight) {
    return Error(Code::InvalidArgument, "max_in_flight is " + std::to_string(options.max_in_flight) +
                                            ", 1 to " + std::to_string(kMaxInFlight) + " are possible");
  }
  if (options.lease_ms < kMinLeaseMs || options.lease_ms > kMaxLeaseMs) {
    return Error(Code::InvalidArgument,
                 "the lease is " + std::to_string(options.lease_ms) + " ms, 100 ms to 12 h are possible");
  }
  const bool broadcast = options.group.empty();
  if (broadcast) options.group = "broadcast-" + own_id();
  bool known = false;
  {
    std::lock_guard lock(mutex_);
    known = state_->subscriptions().contains({options.pattern, options.group, true});
  }
  if (!known) {
    RecordWriter writer(clock_.now_ms());
    writer.group(options.pattern, options.group, !broadcast);
    auto made = propose_and_wait(writer.take(), wait);
    if (!made.ok()) return made.error();
  }
  std::lock_guard lock(mutex_);
  auto held = std::make_unique<ConsumerState>();
  ConsumerState& state = *held;
  state.id = next_consumer_++;
  state.pattern = options.pattern;
  state.group = options.group;
  state.broadcast = broadcast;
  state.options = std::move(options);
  consumers_.emplace(state.id, std::move(held));
  lines_.join(*state_, state);
  return std::unique_ptr<EmbeddedConsumer>(std::make_unique<CoreConsumer>(*this, state));
}

void Core::close(ConsumerState& consumer) {
  std::optional<PendingTake> take;
  std::string pattern;
  std::string group;
  bool broadcast = false;
  {
    std::unique_lock lock(mutex_);
    take = std::exchange(consumer.take, std::nullopt);
    if (take) --consumer.outstanding;
    quiet_.wait(lock, [&] { return consumer.outstanding == 0; });
    lines_.leave(consumer);
    for (const auto& [tag, lease] : consumer.leases) {
      Line* line = lines_.find(lease.group);
      if (line == nullptr) continue;
      lines_.ended(*line);
      lines_.again(*line, lease.sequence);
    }
    broadcast = consumer.broadcast;
    pattern = consumer.pattern;
    group = consumer.group;
    consumers_.erase(consumer.id);
  }
  log_->wake();
  if (broadcast) {
    RecordWriter writer(clock_.now_ms());
    writer.drop_group(pattern, group);
    propose(writer.take(), false, [](const Result<Applied>&) {});
  }
  if (take) take->done(Error(Code::ShuttingDown, "the consumer was closed"));
}

void Core::one_less(ConsumerState& consumer) {
  std::lock_guard lock(mutex_);
  if (--consumer.outstanding == 0) quiet_.notify_all();
}

// ---- taking ----

void Core::collect(ConsumerState& consumer, std::size_t max, std::size_t max_bytes,
                   std::vector<Picked>& out) {
  const std::size_t free =
      consumer.options.max_in_flight - std::min(consumer.leases.size(), consumer.options.max_in_flight);
  const std::size_t room = std::min(max, free);
  const std::int64_t deadline_us = clock_.monotonic_us() + consumer.options.lease_ms * 1000;
  const std::uint64_t first = next_tag_;
  std::size_t bytes = 0;
  const std::size_t lines = consumer.lines.size();
  for (std::size_t i = 0; i < lines && out.size() < room; ++i) {
    Line& line = *consumer.lines[(consumer.next_line + i) % lines];
    if (line.topic->paused) continue;
    while (out.size() < room && (out.empty() || bytes < max_bytes)) {
      const auto sequence = lines_.pick(line);
      if (!sequence) break;
      const Entry& entry = *line.topic->find(*sequence);
      Picked picked;
      picked.tag = {next_tag_++};
      picked.topic = &line.topic->name;
      picked.ref = entry.ref;
      if (!line.group->failures.empty()) {
        const auto failure = line.group->failures.find(*sequence);
        if (failure != line.group->failures.end()) picked.attempt += failure->second.attempts;
      }
      consumer.leases.emplace(picked.tag.value,
                              Lease{line.topic->id, line.group->id, *sequence, deadline_us});
      bytes += entry.ref.bytes;
      out.push_back(picked);
    }
  }
  if (out.empty()) return;
  consumer.next_line = (consumer.next_line + 1) % lines;
  delivered_ += out.size();
  deadlines_.emplace(deadline_us, Deadline{consumer.id, first, next_tag_ - 1});
  if (deadlines_.size() <= kMaxDeadlines) return;
  std::erase_if(deadlines_, [&](const auto& one) {
    const auto found = consumers_.find(one.second.consumer);
    if (found == consumers_.end()) return true;
    if (one.second.first == 0) return !found->second->take.has_value();
    for (std::uint64_t tag = one.second.first; tag <= one.second.last; ++tag) {
      if (found->second->leases.contains(tag)) return false;
    }
    return true;
  });
}

void Core::take(ConsumerState& consumer, std::size_t max, std::size_t max_bytes,
                std::chrono::milliseconds wait, Callback<std::vector<Delivery>> done) {
  std::vector<Picked> picked;
  std::optional<Error> refused;
  bool now = false;
  {
    std::lock_guard lock(mutex_);
    if (consumer.ended) {
      refused = Error(Code::TopicNotFound, "the group " + consumer.group + " was dropped");
    } else if (consumer.take) {
      refused = Error(Code::Overloaded, "the consumer waits already");
    } else {
      collect(consumer, max, max_bytes, picked);
      now = !picked.empty() || max == 0 || wait.count() <= 0;
      ++consumer.outstanding;
      if (!now) {
        const std::int64_t deadline_us = clock_.monotonic_us() + wait.count() * 1000;
        consumer.take = PendingTake{max, max_bytes, deadline_us, std::move(done)};
        deadlines_.emplace(deadline_us, Deadline{consumer.id, 0, 0});
      }
    }
  }
  if (refused) {
    done(*refused);
    return;
  }
  if (!now) {
    log_->wake();
    return;
  }
  done(load(picked));
  one_less(consumer);
}

// Under the lock: answers waiting takes out of lines that got something.
void Core::serve(std::vector<Answer>& answers) {
  if (lines_.take_members_ended()) {
    for (const auto& [id, consumer] : consumers_) {
      if (!consumer->ended || !consumer->take) continue;
      answers.push_back({consumer.get(),
                         std::move(*consumer->take),
                         {},
                         Error(Code::TopicNotFound, "the group " + consumer->group + " was dropped")});
      consumer->take.reset();
    }
  }
  for (Line* line : lines_.take_stirred()) {
    if (line->topic->paused) continue;
    for (std::size_t left = line->members.size(); left > 0; --left) {
      auto& consumer = static_cast<ConsumerState&>(*line->members.front());
      std::rotate(line->members.begin(), line->members.begin() + 1, line->members.end());
      if (!consumer.take) continue;
      std::vector<Picked> picked;
      collect(consumer, consumer.take->max, consumer.take->max_bytes, picked);
      if (picked.empty()) continue;
      answers.push_back({&consumer, std::move(*consumer.take), std::move(picked)});
      consumer.take.reset();
    }
  }
}

void Core::finish(Answer answer) {
  if (answer.error) {
    answer.take.done(*answer.error);
  } else {
    answer.take.done(load(answer.picked));
  }
  one_less(*answer.consumer);
}

Result<RecordCache::Record> Core::record(std::uint64_t index) {
  if (auto held = cache_.get(index)) return held;
  EZ_ASSIGN(std::string bytes, log_->read(LogIndex{index}));
  auto held = std::make_shared<const std::string>(std::move(bytes));
  cache_.put(index, held);
  return RecordCache::Record(held);
}

Result<Delivery> Core::load(const Ref& ref, const std::string& topic) {
  EZ_ASSIGN(const RecordCache::Record held, record(ref.record));
  if (std::uint64_t{ref.offset} + ref.bytes > held->size()) {
    return Error(Code::LogDamaged, "a message lies beyond the end of its record");
  }
  return decode_message(std::string_view(*held).substr(ref.offset, ref.bytes), topic);
}

Result<std::vector<Delivery>> Core::load(const std::vector<Picked>& picked) {
  std::vector<Delivery> out;
  out.reserve(picked.size());
  RecordCache::Record held;
  std::uint64_t held_index = 0;
  for (const Picked& one : picked) {
    if (held == nullptr || held_index != one.ref.record) {
      EZ_ASSIGN(held, record(one.ref.record));
      held_index = one.ref.record;
    }
    if (std::uint64_t{one.ref.offset} + one.ref.bytes > held->size()) {
      return Error(Code::LogDamaged, "a message lies beyond the end of its record");
    }
    EZ_ASSIGN(Delivery delivery,
              decode_message(std::string_view(*held).substr(one.ref.offset, one.ref.bytes), *one.topic));
    delivery.tag = one.tag;
    delivery.attempt = one.attempt;
    out.push_back(std::move(delivery));
  }
  return out;
}

// ---- settling ----

// Under the lock. What has run out of deliveries becomes a dead letter instead.
void Core::write_nack(RecordWriter& writer, std::uint64_t topic, std::uint64_t group,
                      std::int64_t not_before_ms, const std::string& reason,
                      const std::vector<std::uint64_t>& sequences) const {
  std::vector<std::uint64_t> again;
  const Line* line = lines_.find(group);
  for (const std::uint64_t sequence : sequences) {
    std::uint32_t attempts = 1;
    if (line != nullptr) {
      const auto failure = line->group->failures.find(sequence);
      if (failure != line->group->failures.end()) attempts += failure->second.attempts;
    }
    const bool last = options_.max_deliveries != 0 && attempts >= options_.max_deliveries;
    if (last && state_->dead().size() < kMaxDead) {
      writer.bury(topic, group, sequence, "no delivery is left: " + reason);
    } else {
      again.push_back(sequence);
    }
  }
  if (!again.empty()) writer.nack(topic, group, not_before_ms, reason, again);
}

void Core::settle(ConsumerState& consumer, const std::vector<DeliveryTag>& tags, Settlement kind,
                  std::chrono::milliseconds delay, std::string reason, SettleCallback done) {
  std::vector<Status> answers(tags.size());
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::vector<std::uint64_t>> by_line;  // topic, group
  std::vector<std::size_t> valid;
  bool reconsider = false;
  const std::int64_t now_ms = clock_.now_ms();
  RecordWriter writer(now_ms);
  {
    std::lock_guard lock(mutex_);
    const bool full = kind == Settlement::kBury && state_->dead().size() + tags.size() > kMaxDead;
    for (std::size_t i = 0; i < tags.size(); ++i) {
      const auto found = consumer.leases.find(tags[i].value);
      if (found == consumer.leases.end()) {
        answers[i] = Error(Code::LeaseStale, "the delivery was settled before, or its lease has ended");
        continue;
      }
      if (full) {
        answers[i] = Error(Code::Overloaded, "100,000 dead letters are kept; redrive or discard some");
        continue;
      }
      const Lease lease = found->second;
      consumer.leases.erase(found);
      if (Line* line = lines_.find(lease.group)) lines_.ended(*line);
      by_line[{lease.topic, lease.group}].push_back(lease.sequence);
      valid.push_back(i);
    }
    if (kind == Settlement::kAck) acknowledged_ += valid.size();
    if (kind == Settlement::kNack) given_back_ += valid.size();
    reconsider = consumer.take.has_value() && !valid.empty();
    if (reconsider) {
      for (Line* line : consumer.lines) lines_.stir(*line);
    }
    for (auto& [line, sequences] : by_line) {
      std::sort(sequences.begin(), sequences.end());
      if (kind == Settlement::kAck) writer.ack(line.first, line.second, sequences);
      if (kind == Settlement::kNack) {
        const std::int64_t not_before_ms = delay.count() > 0 ? now_ms + delay.count() : 0;
        write_nack(writer, line.first, line.second, not_before_ms, reason, sequences);
      }
      if (kind != Settlement::kBury) continue;
      for (const std::uint64_t sequence : sequences) writer.bury(line.first, line.second, sequence, reason);
    }
    if (!valid.empty()) ++consumer.outstanding;
  }
  if (valid.empty()) {
    done(std::move(answers));
    return;
  }
  propose(writer.take(), false,
          [this, &consumer, answers = std::move(answers), valid = std::move(valid),
           by_line = std::move(by_line), done = std::move(done)](const Result<Applied>& applied) mutable {
            if (!applied.ok()) {
              for (const std::size_t i : valid) answers[i] = applied.error();
              std::lock_guard lock(mutex_);
              for (const auto& [line, sequences] : by_line) {
                Line* found = lines_.find(line.second);
                for (const std::uint64_t sequence : sequences) {
                  if (found != nullptr) lines_.again(*found, sequence);
                }
              }
            }
            done(std::move(answers));
            one_less(consumer);
          });
}

void Core::extend(ConsumerState& consumer, const std::vector<DeliveryTag>& tags,
                  std::chrono::milliseconds lease, SettleCallback done) {
  std::vector<Status> answers(tags.size());
  {
    std::lock_guard lock(mutex_);
    const std::int64_t length_ms = std::clamp<std::int64_t>(lease.count(), kMinLeaseMs, kMaxLeaseMs);
    const std::int64_t deadline_us = clock_.monotonic_us() + length_ms * 1000;
    for (std::size_t i = 0; i < tags.size(); ++i) {
      const auto found = consumer.leases.find(tags[i].value);
      if (found == consumer.leases.end()) {
        answers[i] = Error(Code::LeaseStale, "the delivery was settled before, or its lease has ended");
        continue;
      }
      found->second.deadline_us = deadline_us;
      deadlines_.emplace(deadline_us, Deadline{consumer.id, tags[i].value, tags[i].value});
    }
  }
  log_->wake();
  done(std::move(answers));
}

// Under the lock: takes that waited long enough, leases that ended.
void Core::run_deadlines(std::vector<Answer>& answers) {
  const std::int64_t now_us = clock_.monotonic_us();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_us) {
    const Deadline due = deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    const auto found = consumers_.find(due.consumer);
    if (found == consumers_.end()) continue;
    ConsumerState& consumer = *found->second;
    if (due.first != 0) {
      give_up(consumer, due, now_us);
    } else if (consumer.take && consumer.take->deadline_us <= now_us) {
      answers.push_back({&consumer, std::move(*consumer.take), {}});
      consumer.take.reset();
    }
  }
}

void Core::give_up(ConsumerState& consumer, const Deadline& range, std::int64_t now_us) {
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::vector<std::uint64_t>> by_line;
  for (std::uint64_t tag = range.first; tag <= range.last; ++tag) {
    const auto found = consumer.leases.find(tag);
    if (found == consumer.leases.end() || found->second.deadline_us > now_us) continue;
    const Lease lease = found->second;
    consumer.leases.erase(found);
    Line* line = lines_.find(lease.group);
    if (line == nullptr) continue;
    lines_.ended(*line);
    by_line[{lease.topic, lease.group}].push_back(lease.sequence);
    ++given_back_;
  }
  if (by_line.empty()) return;
  RecordWriter writer(clock_.now_ms());
  for (auto& [line, sequences] : by_line) {
    std::sort(sequences.begin(), sequences.end());
    write_nack(writer, line.first, line.second, 0, kLeaseEnded, sequences);
  }
  later_.emplace_back(writer.take(), [this, by_line = std::move(by_line)](const Result<Applied>& applied) {
    if (applied.ok()) return;
    std::lock_guard lock(mutex_);
    for (const auto& [line, sequences] : by_line) {
      Line* found = lines_.find(line.second);
      for (const std::uint64_t sequence : sequences) {
        if (found != nullptr) lines_.again(*found, sequence);
      }
    }
  });
}

}  // namespace ez::queue
