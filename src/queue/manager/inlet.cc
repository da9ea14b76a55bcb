#include "queue/manager/inlet.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "base/clock.h"
#include "base/thread_name.h"
#include "queue/manager/copies.h"
#include "telemetry/log.h"

namespace ez::queue {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kTakeWait{1'000};
constexpr std::size_t kTakeBytes = 8U << 20;
constexpr milliseconds kSubscribeWait{1'000};
constexpr std::int64_t kPumpPauseUs = 300'000;  // after a failure
constexpr std::int64_t kBackpressurePauseUs = 50'000;
constexpr milliseconds kLostAfter{2'000};  // the broker is silent, and so long ago it took the message
// The broker brings others, but not this one: it lost some, and the rest of their keys waits behind them.
constexpr milliseconds kLateAfter{4'000};
constexpr std::int64_t kPumpLeaseMs = 12LL * 3600 * 1000;
constexpr milliseconds kInletTick{1'000};
constexpr milliseconds kAgainDelay{500};

std::int64_t inlet_now_us() { return system_clock().monotonic_us(); }

}  // namespace

std::string journal_mark(const std::string& journal, Place place) {
  return journal + "/" + std::to_string(place.topic) + "." + std::to_string(place.sequence);
}

bool read_journal_mark(const Message& message, const std::string& journal, Place& place, bool& stranger) {
  stranger = false;
  for (const auto& [name, value] : message.headers) {
    if (name != kJournalHeader) continue;
    if (!value.starts_with(journal + "/")) {
      stranger = true;
      return false;
    }
    const char* at = value.data() + journal.size() + 1;
    const char* const end = value.data() + value.size();
    const auto topic = std::from_chars(at, end, place.topic);
    if (topic.ec != std::errc() || topic.ptr == end || *topic.ptr != '.') return false;
    const auto sequence = std::from_chars(topic.ptr + 1, end, place.sequence);
    return sequence.ec == std::errc() && sequence.ptr == end;
  }
  return false;
}

Inlet::Inlet(std::string backend, Bus& broker, EmbeddedBus& log, std::string journal, Hooks hooks)
    : backend_(std::move(backend)),
      broker_(broker),
      log_(log),
      journal_(std::move(journal)),
      hooks_(std::move(hooks)),
      thread_([this] { loop(); }) {}

Inlet::~Inlet() {
  {
    std::lock_guard lock(inbox_->mutex);
    inbox_->stop = true;
  }
  inbox_->changed.notify_all();
  thread_.join();
}

void Inlet::want(const std::string& pattern, const std::string& group, std::uint64_t broadcast) {
  std::lock_guard lock(inbox_->mutex);
  ++inbox_->wanted[{pattern, group, broadcast}];
  inbox_->changed.notify_all();
}

void Inlet::unwant(const std::string& pattern, const std::string& group, std::uint64_t broadcast) {
  std::lock_guard lock(inbox_->mutex);
  const auto found = inbox_->wanted.find({pattern, group, broadcast});
  if (found == inbox_->wanted.end()) return;
  if (--found->second == 0) inbox_->wanted.erase(found);
  inbox_->changed.notify_all();
}

void Inlet::hold() {
  std::unique_lock lock(inbox_->mutex);
  inbox_->held = true;
  inbox_->changed.notify_all();
  inbox_->changed.wait(lock, [&] { return inbox_->quiet; });
}

void Inlet::go_on() {
  std::lock_guard lock(inbox_->mutex);
  inbox_->held = false;
  inbox_->changed.notify_all();
}

std::string Inlet::trouble() const {
  std::lock_guard lock(inbox_->mutex);
  return inbox_->trouble;
}

void Inlet::set_trouble(const std::string& text) {
  std::lock_guard lock(inbox_->mutex);
  inbox_->trouble = text;
}

void Inlet::loop() {
  name_thread("ez-queue-in");
  std::map<Key, int> wanted;
  while (true) {
    bool held = false;
    std::deque<Event> events;
    {
      std::unique_lock lock(inbox_->mutex);
      std::int64_t next_us = inlet_now_us() + std::chrono::microseconds(kInletTick).count();
      for (const auto& [key, pump] : pumps_) {
        if (!pump.taking && pump.entering.empty()) next_us = std::min(next_us, pump.next_try_us);
      }
      const std::int64_t wait_us = std::max<std::int64_t>(0, next_us - inlet_now_us());
      inbox_->changed.wait_for(lock, std::chrono::microseconds(wait_us), [&] {
        return inbox_->stop || !inbox_->events.empty() || inbox_->held != inbox_->quiet ||
               (!inbox_->held && inbox_->wanted != wanted);
      });
      if (inbox_->stop) break;
      events = std::exchange(inbox_->events, {});
      wanted = inbox_->held ? std::map<Key, int>{} : inbox_->wanted;
      held = inbox_->held;
      inbox_->quiet = inbox_->quiet && held;
    }
    for (Event& event : events) handle(std::move(event));
    match(wanted);
    if (held) {
      std::lock_guard lock(inbox_->mutex);
      inbox_->quiet = inbox_->held;
      inbox_->changed.notify_all();
    }
    for (auto& [key, pump] : pumps_) serve(key, pump);
  }
  for (auto& [key, pump] : pumps_) close(key, pump);
}

void Inlet::match(const std::map<Key, int>& wanted) {
  for (const auto& [key, times] : wanted) {
    Pump& pump = pumps_[key];
    if (pump.number == 0) pump.number = next_pump_++;
  }
  for (auto at = pumps_.begin(); at != pumps_.end();) {
    if (wanted.contains(at->first)) {
      ++at;
      continue;
    }
    close(at->first, at->second);
    at = pumps_.erase(at);
  }
}

void Inlet::serve(const Key& key, Pump& pump) {
  if (pump.taking || !pump.entering.empty() || inlet_now_us() < pump.next_try_us) return;
  if (!pump.consumer) subscribe(key, pump);
  if (!pump.consumer) return;
  pump.taking = true;
  // The answer may come inside the call, and after the end of this inlet.
  pump.consumer->take(kTake, kTakeBytes, kTakeWait,
                      [inbox = inbox_, number = pump.number](Result<std::vector<Delivery>> taken) {
                        std::lock_guard lock(inbox->mutex);
                        inbox->events.push_back({number, std::move(taken), {}, true});
                        inbox->changed.notify_all();
                      });
}

void Inlet::subscribe(const Key& key, Pump& pump) {
  // A group that was dropped here is not made again, although its consumers are still open.
  if (key.broadcast == 0 && !log_.has_subscription(key.pattern, key.group)) {
    pump.next_try_us = inlet_now_us() + kPumpPauseUs;
    return;
  }
  // Others can publish into a topic that somebody here names before ez has published there.
  const bool make_topic = key.broadcast == 0;
  auto made =
      broker_.subscribe({key.pattern, key.group, kTake * 2, kPumpLeaseMs, make_topic}, kSubscribeWait);
  if (!made.ok()) {
    pump.next_try_us = inlet_now_us() + kPumpPauseUs;
    set_trouble(made.error().to_string());
    return;
  }
  pump.consumer = std::move(*made);
  set_trouble("");
  if (key.broadcast == 0) hooks_.served(key.pattern, key.group, true);
}

void Inlet::close(const Key& key, Pump& pump) {
  if (!pump.consumer) return;
  if (key.broadcast == 0) hooks_.served(key.pattern, key.group, false);
  pump.consumer.reset();
  pump.taking = false;
  pump.entering.clear();
  pump.number = next_pump_++;  // what still comes is of its former life
}

void Inlet::handle(Event event) {
  const auto found = std::find_if(pumps_.begin(), pumps_.end(),
                                  [&](const auto& one) { return one.second.number == event.pump; });
  if (found == pumps_.end() || !found->second.consumer) return;
  const Key& key = found->first;
  Pump& pump = found->second;
  if (!event.is_taken) {
    settle_entered(key, pump, event.entered);
    return;
  }
  pump.taking = false;
  const bool silent = !event.taken.ok() || event.taken->empty();
  // What the broker should have brought by now it has lost, or somebody else holds it: the log has it.
  if (key.broadcast == 0 && (silent || inlet_now_us() >= pump.next_late_us) && hooks_.is_active()) {
    log_.arrived_older(key.pattern, key.group, silent ? kLostAfter : kLateAfter);
    pump.next_late_us = inlet_now_us() + std::chrono::microseconds(kInletTick).count();
  }
  if (event.taken.ok()) {
    sort_out(key, pump, std::move(*event.taken));
    return;
  }
  const Error& error = event.taken.error();
  const bool dropped = error.code() == Code::TopicNotFound && key.broadcast == 0 &&
                       !log_.has_subscription(key.pattern, key.group);
  if (!dropped) set_trouble(error.to_string());
  close(key, pump);
  pump.next_try_us = inlet_now_us() + kPumpPauseUs;
}

void Inlet::sort_out(const Key& key, Pump& pump, std::vector<Delivery> deliveries) {
  std::vector<Place> arrived;
  std::vector<DeliveryTag> done;
  std::vector<Message> strange;
  for (Delivery& delivery : deliveries) {
    Place place;
    bool stranger = false;
    if (read_journal_mark(delivery.message, journal_, place, stranger)) {
      arrived.push_back(place);
      done.push_back(delivery.tag);
      continue;
    }
    if (hooks_.is_direct(delivery.message.topic)) {
      done.push_back(delivery.tag);
      continue;
    }
    if (stranger && !told_of_stranger_) {
      told_of_stranger_ = true;
      EZ_LOG(kWarning, "queue",
             "another ez publishes at this broker under the same prefix; give each its own",
             {"backend", backend_}, {"topic", delivery.message.topic});
    }
    strange.push_back(tamed(std::move(delivery.message)));
    pump.entering.push_back(delivery.tag);
  }
  counters_.own += arrived.size();
  // A broadcast's copies are known by the log's own broadcast.
  if (!arrived.empty() && key.broadcast == 0) log_.arrived(key.group, arrived);
  if (!done.empty()) pump.consumer->ack(std::move(done), [](const std::vector<Status>&) {});
  if (strange.empty()) return;
  log_.publish(std::move(strange),
               [inbox = inbox_, number = pump.number](std::vector<Result<Receipt>> receipts) {
                 std::lock_guard lock(inbox->mutex);
                 inbox->events.push_back({number, std::vector<Delivery>{}, std::move(receipts), false});
                 inbox->changed.notify_all();
               });
}

void Inlet::settle_entered(const Key& key, Pump& pump, const std::vector<Result<Receipt>>& receipts) {
  const std::vector<DeliveryTag> entering = std::exchange(pump.entering, {});
  std::vector<DeliveryTag> done;
  std::vector<DeliveryTag> again;
  for (std::size_t i = 0; i < receipts.size() && i < entering.size(); ++i) {
    if (receipts[i].ok()) {
      ++(receipts[i]->duplicate ? counters_.repeated : counters_.strange);
      done.push_back(entering[i]);
      continue;
    }
    const Error& error = receipts[i].error();
    if (error.retry() || error.code() == Code::OutcomeUnknown || error.code() == Code::LogDiskFull) {
      again.push_back(entering[i]);
      continue;
    }
    ++counters_.refused;
    done.push_back(entering[i]);
    EZ_LOG(kWarning, "queue", "a message of somebody else cannot be taken in and is dropped",
           {"backend", backend_}, {"error", error.to_string()});
  }
  if (!done.empty()) pump.consumer->ack(std::move(done), [](const std::vector<Status>&) {});
  if (!again.empty()) {
    pump.consumer->nack(std::move(again), kAgainDelay, [](const std::vector<Status>&) {});
    pump.next_try_us = inlet_now_us() + kPumpPauseUs;
  } else if (log_.unsettled(key.pattern, key.group) > kMaxUnsettled) {
    pump.next_try_us = inlet_now_us() + kBackpressurePauseUs;
  }
}

}  // namespace ez::queue
