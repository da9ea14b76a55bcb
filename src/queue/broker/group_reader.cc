#include "queue/broker/group_reader.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>

#include "base/clock.h"
#include "base/random.h"
#include "base/thread_name.h"
#include "telemetry/log.h"

namespace ez::queue::broker {
namespace {

constexpr std::size_t kSettleBatch = 2000;
constexpr std::size_t kFetchMost = 2000;
constexpr std::size_t kFormerMost = 16;
constexpr std::chrono::milliseconds kAbsorb{500};
constexpr std::int64_t kMaxPauseMs = 500;
constexpr std::int64_t kLongestSleepMs = 500;
constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

std::int64_t now_ms() { return system_clock().monotonic_us() / 1000; }

Error stale() {
  return Error(Code::LeaseStale, "the lease of the delivery has ended or it was settled before");
}

std::string random_name() {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "r%016llx",
                static_cast<unsigned long long>(system_random().next()));
  return text.data();
}

void run(std::vector<std::function<void()>>& calls) {
  for (auto& call : calls) call();
  calls.clear();
}

}  // namespace

GroupReader::GroupReader(Driver& driver, GroupName group, const BrokerOptions& options, Lacking lacking)
    : driver_(driver),
      group_(std::move(group)),
      options_(options),
      lacking_(std::move(lacking)),
      thread_([this] { loop(); }) {}

GroupReader::~GroupReader() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify();
  thread_.join();
  Calls calls;
  const Error error(Code::ShuttingDown, "the queue is being closed");
  for (Settling& settling : settling_) answer(settling, error, calls);
  run(calls);
}

void GroupReader::poke() {
  if (asleep_) wake_.notify();
}

void GroupReader::set_queues(const std::vector<TopicQueue>& queues) {
  std::lock_guard lock(mutex_);
  if (dropped_) return;
  // A source keeps its number; one that is gone loses its name.
  for (std::uint32_t i = 0; i < sources_.size(); ++i) {
    const bool there = std::ranges::any_of(queues, [&](const TopicQueue& queue) {
      return queue.topic == sources_[i].topic && queue.queue == sources_[i].queue;
    });
    if (there || sources_[i].topic.empty()) continue;
    sequencer_.forget(i);
    sources_[i].topic.clear();
    sources_changed_ = true;
  }
  for (const TopicQueue& queue : queues) {
    const bool known = std::ranges::any_of(sources_, [&](const TopicQueue& source) {
      return queue.topic == source.topic && queue.queue == source.queue;
    });
    if (known) continue;
    sources_.push_back(queue);
    sources_changed_ = true;
  }
  if (sources_changed_) poke();
}

void GroupReader::mark_dropped() {
  std::lock_guard lock(mutex_);
  if (dropped_) return;
  dropped_ = true;
  // What is made under the same name from now on is somebody else's.
  for (std::uint32_t i = 0; i < sources_.size(); ++i) {
    sequencer_.forget(i);
    sources_[i].topic.clear();
  }
  sources_changed_ = true;
  poke();
}

ConsumerId GroupReader::add_consumer(const SubscribeOptions& options) {
  std::lock_guard lock(mutex_);
  consumers_[++next_consumer_] = {options.max_in_flight, options.lease_ms, std::nullopt};
  return next_consumer_;
}

std::size_t GroupReader::consumers() const {
  std::lock_guard lock(mutex_);
  return consumers_.size();
}

bool GroupReader::dropped() const {
  std::lock_guard lock(mutex_);
  return dropped_;
}

void GroupReader::remove_consumer(ConsumerId id) {
  Calls calls;
  {
    std::lock_guard lock(mutex_);
    const auto found = consumers_.find(id);
    if (found == consumers_.end()) return;
    const Error error(Code::ShuttingDown, "the consumer was closed");
    if (found->second.take) {
      calls.push_back([done = std::move(found->second.take->done), error] { done(error); });
    }
    // What it acknowledged is still settled; nobody waits for it any more.
    for (Settling& settling : settling_) {
      if (settling.call && settling.call->consumer == id) answer(settling, error, calls);
    }
    sequencer_.consumer_gone(id);
    consumers_.erase(found);
    poke();
  }
  run(calls);
}

void GroupReader::take(ConsumerId id, std::size_t max, std::size_t max_bytes, std::chrono::milliseconds wait,
                       Callback<std::vector<Delivery>> done) {
  Calls calls;
  {
    std::lock_guard lock(mutex_);
    State& state = consumers_.at(id);
    if (state.take) {
      calls.push_back([done = std::move(done)] {
        done(Error(Code::Overloaded, "a take of this consumer is outstanding already"));
      });
    } else if (max == 0) {
      calls.push_back([done = std::move(done)] { done(std::vector<Delivery>{}); });
    } else {
      const std::int64_t now = now_ms();
      state.take = Take{max, max_bytes, now + wait.count(), std::move(done)};
      if (sequencer_.ready() > 0) serve_one(id, state, now, calls);
      poke();
    }
  }
  run(calls);
}

void GroupReader::acknowledge(ConsumerId id, std::vector<DeliveryTag> tags, SettleCallback done) {
  Calls calls;
  {
    std::lock_guard lock(mutex_);
    auto call = std::make_shared<AckCall>();
    call->consumer = id;
    call->answers.resize(tags.size());
    call->done = std::move(done);
    const std::int64_t deadline = now_ms() + 2 * options_.request_timeout_ms;
    for (std::size_t i = 0; i < tags.size(); ++i) {
      const auto handle = sequencer_.acknowledge(id, tags[i]);
      if (!handle) {
        call->answers[i] = stale();
        continue;
      }
      ++call->open;
      settling_.push_back({*handle, call, i, deadline});
    }
    if (call->open == 0) {
      calls.push_back([call] { call->done(std::move(call->answers)); });
    }
    poke();
  }
  run(calls);
}

void GroupReader::give_back(ConsumerId id, const std::vector<DeliveryTag>& tags,
                            std::chrono::milliseconds delay, SettleCallback done) {
  std::vector<Status> answers;
  {
    std::lock_guard lock(mutex_);
    const std::int64_t now = now_ms();
    for (const DeliveryTag tag : tags) {
      const bool good = sequencer_.give_back(id, tag, now + delay.count(), now);
      answers.push_back(good ? Status{} : Status(stale()));
    }
    poke();
  }
  done(std::move(answers));
}

void GroupReader::extend(ConsumerId id, const std::vector<DeliveryTag>& tags, std::chrono::milliseconds lease,
                         SettleCallback done) {
  std::vector<Status> answers;
  {
    std::lock_guard lock(mutex_);
    const std::int64_t end = now_ms() + lease.count();
    for (const DeliveryTag tag : tags) {
      answers.push_back(sequencer_.extend(id, tag, end) ? Status{} : Status(stale()));
    }
    poke();
  }
  done(std::move(answers));
}

std::optional<std::uint32_t> GroupReader::source_of(const std::string& topic) const {
  for (std::uint32_t i = 0; i < sources_.size(); ++i) {
    if (sources_[i].topic == topic) return i;
  }
  return std::nullopt;
}

bool GroupReader::reads(const std::string& topic) const {
  std::lock_guard lock(mutex_);
  return source_of(topic).has_value();
}

void GroupReader::absorb() {
  std::unique_lock lock(mutex_);
  absorbing_ = true;
  poke();
  absorbed_.wait_for(lock, kAbsorb, [&] { return !absorbing_; });
}

std::vector<Delivery> GroupReader::idle(const std::string& topic, std::size_t max) const {
  std::lock_guard lock(mutex_);
  std::vector<Delivery> out;
  const auto source = source_of(topic);
  if (!source) return out;
  for (const Entry* entry : sequencer_.idle_of(*source, max)) {
    out.push_back({entry->message, {}, 1, entry->published_ms});
  }
  return out;
}

Held GroupReader::held(const std::string& topic) const {
  std::lock_guard lock(mutex_);
  const auto source = source_of(topic);
  return source ? sequencer_.held_of(*source) : Held{};
}

std::set<std::string> GroupReader::ids(const std::string& topic) const {
  std::lock_guard lock(mutex_);
  const auto source = source_of(topic);
  return source ? sequencer_.ids_of(*source) : std::set<std::string>{};
}

std::uint64_t GroupReader::purge(const std::string& topic) {
  std::lock_guard lock(mutex_);
  const auto source = source_of(topic);
  if (!source) return 0;
  const std::vector<Handle> removed = sequencer_.remove_idle(*source);
  for (const Handle handle : removed) settling_.push_back({handle, nullptr, 0, kNever});
  poke();
  return removed.size();
}

// ---- the thread ----

void GroupReader::serve_one(ConsumerId id, State& state, std::int64_t now, Calls& calls) {
  if (!state.take) return;
  Take& take = *state.take;
  const std::size_t out = sequencer_.out_of(id);
  const std::size_t free = state.max_in_flight > out ? state.max_in_flight - out : 0;
  const std::size_t most = std::min(take.max, free);
  if (most > 0 && sequencer_.ready() > 0) {
    std::vector<Handle> expired;
    auto got =
        sequencer_.take(id, most, take.max_bytes, now + state.lease_ms, system_clock().now_ms(), expired);
    for (const Handle handle : expired) settling_.push_back({handle, nullptr, 0, kNever});
    if (!got.empty()) {
      ahead_ = take.max;
      calls.push_back([done = std::move(take.done), got = std::make_shared<std::vector<Delivery>>(
                                                        std::move(got))] { done(std::move(*got)); });
      state.take.reset();
      last_served_ = id;
      return;
    }
  }
  if (dropped_) {
    calls.push_back([done = std::move(take.done), name = group_] {
      done(Error(Code::TopicNotFound, "the group " + name.group + " of " + name.pattern + " was dropped"));
    });
    state.take.reset();
  } else if (now >= take.deadline_ms) {
    if (!failing_) {
      calls.push_back([done = std::move(take.done)] { done(std::vector<Delivery>{}); });
    } else {
      calls.push_back([done = std::move(take.done), error = last_error_] { done(error); });
    }
    state.take.reset();
    ahead_ = 0;
  }
}

void GroupReader::serve(std::int64_t now, Calls& calls) {
  // After the one that was served last, so that all have their turn.
  const auto start = consumers_.upper_bound(last_served_);
  for (auto it = start; it != consumers_.end(); ++it) serve_one(it->first, it->second, now, calls);
  for (auto it = consumers_.begin(); it != start; ++it) serve_one(it->first, it->second, now, calls);
}

std::size_t GroupReader::wanted() const {
  std::size_t asked = 0;
  std::size_t room = 0;
  for (const auto& [id, state] : consumers_) {
    const std::size_t out = sequencer_.out_of(id);
    const std::size_t free = state.max_in_flight > out ? state.max_in_flight - out : 0;
    room += free;
    if (state.take) asked += std::min(state.take->max, free);
  }
  const std::size_t target = std::min(room, std::max(asked, ahead_));
  const std::size_t ready = sequencer_.ready();
  if (target <= ready) return 0;
  if (sequencer_.held() >= kMaxHeld || sequencer_.held_bytes() >= kMaxHeldBytes) return 0;
  return std::min({target - ready, kFetchMost, kMaxHeld - sequencer_.held()});
}

std::int64_t GroupReader::next_deadline() const {
  std::int64_t next = kNever;
  for (const auto& [id, state] : consumers_) {
    if (state.take) next = std::min(next, state.take->deadline_ms);
  }
  return next;
}

void GroupReader::answer(Settling& settling, Status status, Calls& calls) {
  const std::shared_ptr<AckCall> call = std::move(settling.call);
  settling.call = nullptr;
  if (!call) return;
  call->answers[settling.index] = std::move(status);
  if (--call->open == 0) calls.push_back([call] { call->done(std::move(call->answers)); });
}

void GroupReader::loop() {
  name_thread("queue-read");
  Calls calls;
  while (true) {
    std::size_t want = 0;
    std::int64_t sleep = 0;
    bool work = false;
    bool absorb = false;
    std::optional<std::vector<TopicQueue>> sources;
    {
      std::lock_guard lock(mutex_);
      asleep_ = false;
      // Acknowledgements that were made are carried out even while everything ends.
      if (stop_ && (settling_.empty() || !session_)) break;
      const std::int64_t now = now_ms();
      const std::int64_t next = sequencer_.advance(now);
      serve(now, calls);
      if (!session_) fail_late(now, calls);
      want = stop_ ? 0 : wanted();
      absorb = session_ && absorbing_ && !stop_;
      if (absorb) {
        // Of the others nothing is taken that no consumer here has room for.
        if (session_->expect_more() && sequencer_.held() < kMaxHeld) want = kFetchMost;
      }
      if (session_ && sources_changed_) {
        sources = sources_;
        sources_changed_ = false;
      }
      work = session_ && (absorb || !settling_.empty() || sources || (want > 0 && session_->hot()));
      if (!work && calls.empty()) {
        sleep = std::clamp<std::int64_t>(std::min(next, next_deadline()) - now, 0, kLongestSleepMs);
        asleep_ = true;
        wake_.drain();
      }
    }
    run(calls);
    if (!session_) {
      if (now_ms() >= next_try_ms_) {
        connect(calls);
        run(calls);
        continue;
      }
      if (sleep > 0)
        wake_.wait(
            std::chrono::milliseconds(std::min(sleep, std::max<std::int64_t>(1, next_try_ms_ - now_ms()))));
      continue;
    }
    Status status;
    bool used = false;
    if (sources) {
      status = session_->set_sources(*sources);
      if (status.ok()) {
        former_.clear();
        has_sources_ = true;
      }
    }
    if (status.ok() && work) {
      status = settle_some(calls);
      run(calls);
      if (status.ok() && want > 0 && session_->hot()) {
        status = fetch(want);
        used = true;
      }
    } else if (status.ok() && sleep > 0) {
      used = true;
      status = session_->wait(wake_.descriptor(), std::chrono::milliseconds(sleep));
      // Counts, looks and purges know what the sequencer holds.
      if (status.ok() && session_->pushed()) status = fetch(0);
    }
    if (auto lacking = session_->take_lacking(); !lacking.empty()) lacking_(std::move(lacking));
    std::unique_ptr<ReadSession> ended;  // its end may take a while: not under the lock
    std::lock_guard lock(mutex_);
    if (status.ok() && has_sources_ && used) {
      serves_ = true;
      failing_ = false;
      pause_ms_ = 0;
    }
    forget_lost();
    if (!status.ok()) ended = broken(status.error(), calls);
    if (absorb) {
      absorbing_ = false;
      absorbed_.notify_all();
    }
  }
  if (session_) session_->leave();
  session_.reset();
}

void GroupReader::connect(Calls& calls) {
  member_ = random_name();
  auto opened = driver_.open_reader(group_, member_, former_);
  std::lock_guard lock(mutex_);
  if (opened.ok()) {
    session_ = std::move(*opened);
    sources_changed_ = true;
    has_sources_ = false;
    serves_ = false;
    return;
  }
  last_error_ = opened.error();
  failing_ = true;
  pause();
  if (last_error_.retry()) return;
  for (auto& [id, state] : consumers_) {
    if (!state.take) continue;
    calls.push_back([done = std::move(state.take->done), error = last_error_] { done(error); });
    state.take.reset();
  }
}

void GroupReader::pause() {
  pause_ms_ = std::clamp<std::int64_t>(pause_ms_ * 2, 20, kMaxPauseMs);
  next_try_ms_ = now_ms() + pause_ms_;
}

std::unique_ptr<ReadSession> GroupReader::broken(const Error& error, Calls& calls) {
  EZ_LOG(kDebug, "queue", "a connection of a group broke", {"group", group_.group},
         {"error", error.to_string()});
  if (has_sources_) {
    if (former_.size() >= kFormerMost) former_.erase(former_.begin());
    former_.push_back(member_);
  }
  last_error_ = error;
  next_try_ms_ = 0;
  // The next one would fare no better at once. Queues that are not there yet are no failure to tell of.
  if (!serves_) pause();
  if (!serves_ && error.retry()) failing_ = true;
  // The broker gives it to somebody else now, perhaps to us again.
  sequencer_.forget_all();
  for (Settling& settling : settling_) answer(settling, stale(), calls);
  settling_.clear();
  return std::move(session_);
}

void GroupReader::fail_late(std::int64_t now, Calls& calls) {
  for (Settling& settling : settling_) {
    if (settling.call && settling.deadline_ms <= now) answer(settling, last_error_, calls);
  }
}

Status GroupReader::settle_some(Calls& calls) {
  std::vector<Settling> batch;
  std::vector<ReadSession::Settled> done;
  {
    std::lock_guard lock(mutex_);
    while (!settling_.empty() && batch.size() < kSettleBatch) {
      Settling one = std::move(settling_.front());
      settling_.pop_front();
      const Place* place = sequencer_.place(one.handle);
      if (place == nullptr) {
        answer(one, stale(), calls);
        continue;
      }
      done.push_back({*place, sequencer_.payload_bytes(one.handle)});
      batch.push_back(std::move(one));
    }
  }
  if (batch.empty()) return {};
  auto settled = session_->settle(done);
  std::lock_guard lock(mutex_);
  if (!settled.ok()) {
    for (auto one = batch.rbegin(); one != batch.rend(); ++one) settling_.push_front(std::move(*one));
    return settled.error();
  }
  EZ_CHECK(settled->size() == batch.size(), "a driver settled another number of messages");
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const bool known = sequencer_.settled(batch[i].handle);
    answer(batch[i], (*settled)[i] && known ? Status{} : Status(stale()), calls);
  }
  // Before what is fetched from the same lanes next.
  forget_lost();
  return {};
}

void GroupReader::forget_lost() {
  for (const ReadSession::LostLane lost : session_->take_lost()) {
    sequencer_.forget_lane(lost.source, lost.lane);
  }
}

Status GroupReader::fetch(std::size_t want) {
  auto fetched = session_->fetch(want);
  if (!fetched.ok()) return fetched.error();
  std::lock_guard lock(mutex_);
  for (const std::uint32_t source : fetched->lost) sequencer_.forget(source);
  for (const std::uint32_t source : fetched->lost_keys) sequencer_.forget_lane(source, kKeyedLane);
  for (const std::uint32_t source : fetched->gone) sequencer_.forget(source);
  forget_lost();
  for (Entry& entry : fetched->entries) {
    const bool there = entry.place.source < sources_.size() && !sources_[entry.place.source].topic.empty();
    if (there) sequencer_.add(std::move(entry));
  }
  return {};
}

}  // namespace ez::queue::broker
