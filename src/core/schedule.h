// Schedules: runs that start by the calendar. docs/guide/schedules.md is the promise, this is how it is kept.
//
// The leader computes which instants come next, with the zone data of its machine, and proposes them
// (PlanSchedules); the state keeps them and fires them by its timers. So apply() never reads a zone, every
// replica starts the same runs, and an instant can start one run at most: it leaves the state with the
// command that starts it. A plan reaches a day ahead; a tick that is late because the plan does not reach up
// to now waits for the next plan, so that a server that was down starts one run and not one for each instant.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/cow.h"
#include "base/ids.h"

namespace ez::core {

class State;
struct Context;
struct Reply;

inline constexpr std::size_t kMaxSchedules = 10'000;
inline constexpr std::size_t kMaxBacklog = 1'000;  // of one schedule
inline constexpr std::size_t kMaxScheduleEvents = 20;
inline constexpr std::size_t kMaxScheduleInputs = 64 * 1024;
inline constexpr std::int64_t kMaxJitterMs = 24LL * 3600 * 1000;
// A tick that is fired this late is still in time: the log takes a moment.
inline constexpr std::int64_t kTickGraceMs = 10'000;
inline constexpr std::uint32_t kMaxPlansPerCommand = 100;
// In TimerKey::run: the timer belongs to a schedule, whose number stands in TimerKey::task.
inline constexpr RunId kScheduleTimer{};

// Numbers are logged: append only.
enum class Overlap : std::uint8_t { kSkip = 0, kQueue = 1, kAllow = 2 };
enum class TickCause : std::uint8_t { kTick = 0, kBackfill = 1, kTrigger = 2 };
enum class TickOutcome : std::uint8_t {
  kStarted = 0,
  kSkipped = 1,  // a run of it was live
  kQueued = 2,   // until that one ends
  kMissed = 3,   // too late, or a later one was due already
  kFailed = 4,   // the run could not start
};

struct ScheduleTick {
  std::int64_t instant_ms = 0;
  std::int64_t due_ms = 0;
};

struct BacklogTick {
  std::int64_t instant_ms = 0;
  TickCause cause = TickCause::kTick;
  std::string principal;  // who asked for it; empty: the schedule's
};

struct ScheduleEvent {
  std::int64_t instant_ms = 0;
  std::int64_t at_ms = 0;
  TickCause cause = TickCause::kTick;
  TickOutcome outcome = TickOutcome::kStarted;
  RunId run;
  std::string text;
};

struct Schedule {
  std::uint32_t number = 0;  // unique among those that exist
  std::string name_space;
  std::string name;
  std::string workflow;
  std::uint32_t version = 0;  // 0: the newest
  std::string inputs;         // JSON
  std::uint32_t priority = 0;
  std::string cadence;  // orchestration::Cadence
  std::string zone;
  std::int64_t jitter_ms = 0;
  Overlap overlap = Overlap::kSkip;
  std::int64_t catch_up_ms = 0;
  std::string comment;
  std::string principal;  // who set it; its runs are theirs
  std::uint32_t revision = 1;
  std::int64_t created_ms = 0;
  std::int64_t updated_ms = 0;
  bool paused = false;
  std::string paused_by;
  std::string pause_comment;

  std::vector<ScheduleTick> ticks;  // planned, not fired yet; ascending
  std::int64_t through_ms = 0;      // up to where it is planned
  std::int64_t again_ms = 0;        // when it wants the next plan; 0: now
  bool stalled = false;             // the last plan failed; nothing fires before the next
  std::string problem;              // why
  std::vector<BacklogTick> backlog;
  std::set<RunId> live;               // its runs that are live
  std::vector<ScheduleEvent> events;  // the newest kMaxScheduleEvents, oldest first
  std::uint64_t started = 0;
  std::uint64_t skipped = 0;
  std::uint64_t missed = 0;
  std::uint64_t failed = 0;

  std::int64_t timer_ms = 0;  // derived
};

[[nodiscard]] std::string schedule_key(const std::string& name_space, const std::string& name);
[[nodiscard]] std::string_view to_text(Overlap overlap);
[[nodiscard]] std::string_view to_text(TickCause cause);
[[nodiscard]] std::string_view to_text(TickOutcome outcome);

// nullptr when there is none.
[[nodiscard]] const Schedule* find_schedule(const State& state, const std::string& name_space,
                                            const std::string& name);
// Into the state, with what is derived of it; replaces the one of that name.
void put_schedule(State& state, Schedule schedule);
void remove_schedule(State& state, const std::string& key);
// The timer and the wish for a plan, after any change.
void refresh_schedule(State& state, Schedule& schedule);

// The timer of that schedule is due.
void fire_schedule(Context& context, std::uint32_t number);
// What is due now and planned; the caller refreshes.
void fire_due(Context& context, Schedule& schedule);
// Starts or queues a run for that instant; the caller has looked at nothing.
void tick(Context& context, Schedule& schedule, BacklogTick tick);
// Starts it whatever else is live; the answer is that of the start.
Reply start_scheduled(Context& context, Schedule& schedule, const BacklogTick& tick,
                      const std::string& idempotency_key = "");
// Runs of schedules ended: those that wait for them start. Whether anything was started.
bool go_on_schedules(Context& context);

}  // namespace ez::core
