#include "engine/event_hub.h"

#include <algorithm>

namespace ez::engine {

EventHub::Subscription EventHub::subscribe(RunId run, std::uint64_t after_id, Callback callback) {
  std::lock_guard lock(mutex_);
  Subscription out;
  out.newest = newest_;
  if (subscribers_.size() >= kMaxSubscribers) return out;
  out.gap = after_id < dropped_up_to_ || after_id > newest_;
  if (!out.gap && after_id < newest_) {
    const auto from = std::upper_bound(kept_.begin(), kept_.end(), after_id,
                                       [](std::uint64_t id, const HubEvent& event) { return id < event.id; });
    std::vector<HubEvent> backlog;
    for (auto at = from; at != kept_.end(); ++at) {
      if (!run.valid() || at->event.run == run) backlog.push_back(*at);
    }
    if (!backlog.empty()) callback(backlog);
  }
  out.number = next_++;
  subscribers_[out.number] = run;
  (run.valid() ? of_runs_[run] : of_all_)[out.number] = std::move(callback);
  return out;
}

void EventHub::begin_after(std::uint64_t id) {
  std::lock_guard lock(mutex_);
  dropped_up_to_ = newest_ = id;
}

void EventHub::unsubscribe(std::uint64_t number) {
  std::lock_guard lock(mutex_);
  const auto found = subscribers_.find(number);
  if (found == subscribers_.end()) return;
  const RunId run = found->second;
  subscribers_.erase(found);
  if (!run.valid()) {
    of_all_.erase(number);
    return;
  }
  const auto followers = of_runs_.find(run);
  followers->second.erase(number);
  if (followers->second.empty()) of_runs_.erase(followers);
}

void EventHub::publish(std::span<const core::RunEvent> events, std::uint64_t first_id) {
  std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < events.size(); ++i) kept_.push_back({first_id + i, events[i]});
  newest_ = first_id + events.size() - 1;
  while (kept_.size() > kKept) {
    dropped_up_to_ = kept_.front().id;
    kept_.pop_front();
  }
  if (subscribers_.empty()) return;
  std::vector<HubEvent> fresh;
  fresh.reserve(events.size());
  for (std::size_t i = 0; i < events.size(); ++i) fresh.push_back({first_id + i, events[i]});
  for (const auto& [number, callback] : of_all_) callback(fresh);
  if (!of_runs_.empty()) publish_to_runs(fresh);
}

void EventHub::publish_to_runs(std::span<const HubEvent> events) {
  std::map<RunId, std::vector<HubEvent>> wanted;
  for (const HubEvent& event : events) {
    if (of_runs_.contains(event.event.run)) wanted[event.event.run].push_back(event);
  }
  for (const auto& [run, mine] : wanted) {
    for (const auto& [number, callback] : of_runs_.at(run)) callback(mine);
  }
}

std::size_t EventHub::subscribers() const {
  std::lock_guard lock(mutex_);
  return subscribers_.size();
}

}  // namespace ez::engine
