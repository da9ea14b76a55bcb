#include "queue/broker/sequencer.h"

#include <algorithm>
#include <atomic>
#include <limits>

namespace ez::queue::broker {
namespace {

// Tags are unique in the whole process, so that one that is given to the wrong consumer is always recognised.
std::atomic<std::uint64_t> last_tag{0};

}  // namespace

std::string Sequencer::key_of(const Item& item) {
  std::string out = std::to_string(item.entry.place.source);
  out.push_back('\n');
  out += item.entry.message.key;
  return out;
}

void Sequencer::add(Entry entry) {
  const Handle handle = ++next_;
  Item& item = items_[handle];
  item.entry = std::move(entry);
  item.handle = handle;
  item.attempt = item.entry.given_back + 1;
  bytes_ += item.entry.message.payload.size();
  if (!item.entry.message.key.empty()) keys_[key_of(item)].push_back(handle);
  offer(item);
}

void Sequencer::offer(Item& item) {
  if (!item.entry.message.key.empty() && keys_[key_of(item)].front() != item.handle) {
    item.state = State::kBehind;
    return;
  }
  item.state = State::kReady;
  ready_.insert(rank(item));
}

void Sequencer::withdraw(Item& item) {
  switch (item.state) {
    case State::kReady:
      ready_.erase(rank(item));
      break;
    case State::kWaiting:
      times_.erase({item.time, item.handle});
      break;
    case State::kOut: {
      times_.erase({item.time, item.handle});
      out_.erase(item.tag);
      auto count = out_count_.find(item.consumer);
      if (count != out_count_.end() && --count->second == 0) out_count_.erase(count);
      break;
    }
    case State::kBehind:
    case State::kSettling:
      break;
  }
}

void Sequencer::erase(Handle handle) {
  const auto found = items_.find(handle);
  Item& item = found->second;
  withdraw(item);
  bytes_ -= item.entry.message.payload.size();
  if (!item.entry.message.key.empty()) {
    const auto key = keys_.find(key_of(item));
    std::deque<Handle>& line = key->second;
    const bool first = line.front() == handle;
    line.erase(std::find(line.begin(), line.end(), handle));
    if (line.empty()) {
      keys_.erase(key);
    } else if (first) {
      Item& next = items_.at(line.front());
      if (next.state == State::kBehind) offer(next);
    }
  }
  items_.erase(found);
}

std::size_t Sequencer::out_of(ConsumerId consumer) const {
  const auto found = out_count_.find(consumer);
  return found == out_count_.end() ? 0 : found->second;
}

std::vector<Delivery> Sequencer::take(ConsumerId consumer, std::size_t max, std::size_t max_bytes,
                                      std::int64_t lease_end_ms, std::int64_t wall_ms,
                                      std::vector<Handle>& expired) {
  std::vector<Delivery> out;
  std::size_t bytes = 0;
  while (out.size() < max && !ready_.empty()) {
    Item& item = items_.at(std::get<2>(*ready_.begin()));
    const Message& message = item.entry.message;
    if (message.ttl_ms > 0 && item.entry.published_ms + message.ttl_ms <= wall_ms) {
      withdraw(item);
      item.state = State::kSettling;
      expired.push_back(item.handle);
      continue;
    }
    if (!out.empty() && bytes + message.payload.size() > max_bytes) break;
    bytes += message.payload.size();
    withdraw(item);
    item.state = State::kOut;
    item.consumer = consumer;
    item.tag = ++last_tag;
    item.time = lease_end_ms;
    times_.emplace(item.time, item.handle);
    out_.emplace(item.tag, item.handle);
    ++out_count_[consumer];
    out.push_back({message, DeliveryTag{item.tag}, item.attempt, item.entry.published_ms});
  }
  return out;
}

Sequencer::Item* Sequencer::find_out(ConsumerId consumer, DeliveryTag tag) {
  const auto found = out_.find(tag.value);
  if (found == out_.end()) return nullptr;
  Item& item = items_.at(found->second);
  return item.consumer == consumer ? &item : nullptr;
}

std::optional<Handle> Sequencer::acknowledge(ConsumerId consumer, DeliveryTag tag) {
  Item* item = find_out(consumer, tag);
  if (item == nullptr) return std::nullopt;
  withdraw(*item);
  item->state = State::kSettling;
  return item->handle;
}

const Place* Sequencer::place(Handle handle) const {
  const auto found = items_.find(handle);
  return found == items_.end() ? nullptr : &found->second.entry.place;
}

std::size_t Sequencer::payload_bytes(Handle handle) const {
  const auto found = items_.find(handle);
  return found == items_.end() ? 0 : found->second.entry.message.payload.size();
}

bool Sequencer::settled(Handle handle) {
  if (!items_.contains(handle)) return false;
  erase(handle);
  return true;
}

bool Sequencer::give_back(ConsumerId consumer, DeliveryTag tag, std::int64_t due_ms, std::int64_t now_ms) {
  Item* item = find_out(consumer, tag);
  if (item == nullptr) return false;
  withdraw(*item);
  ++item->attempt;
  if (due_ms <= now_ms) {
    offer(*item);
  } else {
    item->state = State::kWaiting;
    item->time = due_ms;
    times_.emplace(due_ms, item->handle);
  }
  return true;
}

bool Sequencer::extend(ConsumerId consumer, DeliveryTag tag, std::int64_t lease_end_ms) {
  Item* item = find_out(consumer, tag);
  if (item == nullptr) return false;
  times_.erase({item->time, item->handle});
  item->time = lease_end_ms;
  times_.emplace(item->time, item->handle);
  return true;
}

void Sequencer::consumer_gone(ConsumerId consumer) {
  if (out_of(consumer) == 0) return;
  for (auto& [handle, item] : items_) {
    if (item.state != State::kOut || item.consumer != consumer) continue;
    withdraw(item);
    offer(item);
  }
}

std::int64_t Sequencer::advance(std::int64_t now_ms) {
  while (!times_.empty() && times_.begin()->first <= now_ms) {
    Item& item = items_.at(times_.begin()->second);
    if (item.state == State::kOut) ++item.attempt;
    withdraw(item);
    offer(item);
  }
  return times_.empty() ? std::numeric_limits<std::int64_t>::max() : times_.begin()->first;
}

template <typename Match>
void Sequencer::forget_if(Match match) {
  std::vector<Handle> gone;
  for (const auto& [handle, item] : items_) {
    if (match(item.entry.place)) gone.push_back(handle);
  }
  // From the back: so that no follower of a key is offered only to be forgotten next.
  for (auto handle = gone.rbegin(); handle != gone.rend(); ++handle) erase(*handle);
}

void Sequencer::forget(std::uint32_t source) {
  forget_if([&](const Place& place) { return place.source == source; });
}

void Sequencer::forget_lane(std::uint32_t source, std::uint8_t lane) {
  forget_if([&](const Place& place) { return place.source == source && place.lane == lane; });
}

void Sequencer::forget_all() {
  forget_if([](const Place&) { return true; });
}

Held Sequencer::held_of(std::uint32_t source) const {
  Held held;
  for (const auto& [handle, item] : items_) {
    if (item.entry.place.source != source) continue;
    ++(item.state == State::kOut || item.state == State::kSettling ? held.out : held.ready);
  }
  return held;
}

std::vector<const Entry*> Sequencer::idle_of(std::uint32_t source, std::size_t max) const {
  std::vector<const Entry*> out;
  for (const auto& [handle, item] : items_) {
    if (out.size() >= max) break;
    if (item.entry.place.source != source) continue;
    if (item.state == State::kOut || item.state == State::kSettling) continue;
    out.push_back(&item.entry);
  }
  return out;
}

std::set<std::string> Sequencer::ids_of(std::uint32_t source) const {
  std::set<std::string> out;
  for (const auto& [handle, item] : items_) {
    if (item.entry.place.source == source) out.insert(item.entry.message.id);
  }
  return out;
}

std::vector<Handle> Sequencer::remove_idle(std::uint32_t source) {
  std::vector<Handle> out;
  for (auto& [handle, item] : items_) {
    if (item.entry.place.source != source) continue;
    if (item.state == State::kOut || item.state == State::kSettling) continue;
    withdraw(item);
    item.state = State::kSettling;
    out.push_back(handle);
  }
  return out;
}

}  // namespace ez::queue::broker
