// Changes of runs for those who follow them: consoles, `ez run --follow`, tests.
//
// Every change has an id that grows with the log, is the same on every replica and after every restart. The
// hub keeps the newest kKept changes; a follower that asks for an older id is told so and starts over from
// the run's present state.
//
// A change costs what its followers cost: those of all runs and those of its run, however many follow others.
//
// Threads. publish() on the loop's thread; subscribe and unsubscribe from any. A subscriber's callback runs
// on the loop's thread (or inside subscribe(), for the backlog) and must be quick and not call back into the
// hub.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "core/effects.h"

namespace ez::engine {

struct HubEvent {
  std::uint64_t id = 0;
  core::RunEvent event;
};

class EventHub {
 public:
  static constexpr std::size_t kKept = 200'000;
  static constexpr std::size_t kMaxSubscribers = 10'000;
  using Callback = std::function<void(std::span<const HubEvent>)>;

  struct Subscription {
    std::uint64_t number = 0;  // 0: too many subscribers
    bool gap = false;          // changes after `after_id` are no longer kept: read the run's state again
    std::uint64_t newest = 0;  // id of the newest change of all runs
  };
  // Changes of `run` (all runs when it is not valid) after `after_id`. The backlog is delivered before it
  // returns.
  [[nodiscard]] Subscription subscribe(RunId run, std::uint64_t after_id, Callback callback);
  void unsubscribe(std::uint64_t number);

  // Changes up to `id` are not kept: the log before it was not replayed. Once, before the first publish().
  void begin_after(std::uint64_t id);
  void publish(std::span<const core::RunEvent> events, std::uint64_t first_id);
  [[nodiscard]] std::size_t subscribers() const;

 private:
  using Followers = std::map<std::uint64_t, Callback>;  // by number
  void publish_to_runs(std::span<const HubEvent> events);

  mutable std::mutex mutex_;
  std::deque<HubEvent> kept_;
  Followers of_all_;
  std::map<RunId, Followers> of_runs_;          // those that have some
  std::map<std::uint64_t, RunId> subscribers_;  // by number, all of them
  std::uint64_t next_ = 1;
  std::uint64_t newest_ = 0;
  std::uint64_t dropped_up_to_ = 0;
};

}  // namespace ez::engine
