#include "core/schedule.h"

#include <algorithm>

#include "core/commands/command.h"

namespace ez::core {
namespace {

constexpr std::size_t kMaxText = 512;

void note(Context& context, Schedule& schedule, const BacklogTick& tick, TickOutcome outcome, RunId run,
          std::string text) {
  if (schedule.events.size() >= kMaxScheduleEvents) schedule.events.erase(schedule.events.begin());
  if (text.size() > kMaxText) text.resize(kMaxText);
  schedule.events.push_back({tick.instant_ms, context.now_ms, tick.cause, outcome, run, std::move(text)});
}

}  // namespace

std::string schedule_key(const std::string& name_space, const std::string& name) {
  return name_space + "/" + name;
}

std::string_view to_text(Overlap overlap) {
  constexpr std::string_view kNames[] = {"skip", "queue", "allow"};
  return kNames[static_cast<int>(overlap)];
}

std::string_view to_text(TickCause cause) {
  constexpr std::string_view kNames[] = {"tick", "backfill", "trigger"};
  return kNames[static_cast<int>(cause)];
}

std::string_view to_text(TickOutcome outcome) {
  constexpr std::string_view kNames[] = {"started", "skipped", "queued", "missed", "failed"};
  return kNames[static_cast<int>(outcome)];
}

const Schedule* find_schedule(const State& state, const std::string& name_space, const std::string& name) {
  const auto found = state.schedules.find(schedule_key(name_space, name));
  return found == state.schedules.end() ? nullptr : &found->second.read();
}

void put_schedule(State& state, Schedule schedule) {
  const std::string key = schedule_key(schedule.name_space, schedule.name);
  state.schedule_numbers[schedule.number] = key;
  Cow<Schedule>& slot = state.schedules[key];
  slot = Cow<Schedule>(std::move(schedule));
  refresh_schedule(state, slot.write());
}

void remove_schedule(State& state, const std::string& key) {
  const auto found = state.schedules.find(key);
  if (found == state.schedules.end()) return;
  const Schedule& schedule = found->second.read();
  if (schedule.timer_ms != 0) state.timers.erase({schedule.timer_ms, kScheduleTimer, schedule.number});
  state.unplanned.erase(schedule.number);
  state.schedule_numbers.erase(schedule.number);
  state.schedules.erase(found);
}

void refresh_schedule(State& state, Schedule& schedule) {
  std::int64_t due = 0;
  const bool wants_plan = !schedule.paused && schedule.again_ms == 0;
  if (!schedule.paused && !wants_plan) {
    due = schedule.again_ms;
    if (!schedule.stalled && !schedule.ticks.empty()) due = std::min(due, schedule.ticks.front().due_ms);
  }
  if (wants_plan) {
    state.unplanned.insert(schedule.number);
  } else {
    state.unplanned.erase(schedule.number);
  }
  state.set_timer(kScheduleTimer, schedule.number, schedule.timer_ms, due);
}

void fire_schedule(Context& context, std::uint32_t number) {
  const auto key = context.state.schedule_numbers.find(number);
  EZ_CHECK(key != context.state.schedule_numbers.end(), "a timer belongs to a schedule that is gone");
  Schedule& schedule = context.state.schedules.at(key->second).write();
  if (context.now_ms >= schedule.again_ms || context.now_ms > schedule.through_ms) {
    schedule.again_ms = 0;
    schedule.stalled = false;
  }
  fire_due(context, schedule);
  refresh_schedule(context.state, schedule);
}

void fire_due(Context& context, Schedule& schedule) {
  // What lies between the plan's end and now may be later than everything that is planned.
  if (context.now_ms > schedule.through_ms || schedule.paused) return;
  std::size_t due = 0;
  while (due < schedule.ticks.size() && schedule.ticks[due].due_ms <= context.now_ms) ++due;
  if (due == 0) return;
  const ScheduleTick last = schedule.ticks[due - 1];
  const auto first = schedule.ticks.begin();
  schedule.ticks.erase(first, first + static_cast<std::ptrdiff_t>(due));
  schedule.missed += due - 1;
  const BacklogTick now{last.instant_ms, TickCause::kTick, {}};
  const std::int64_t late_ms = context.now_ms - last.due_ms;
  if (late_ms > std::max(schedule.catch_up_ms, kTickGraceMs)) {
    ++schedule.missed;
    return note(context, schedule, now, TickOutcome::kMissed, {},
                "it was due " + std::to_string(late_ms / 1000) + " s ago, longer than its catch_up allows");
  }
  if (due > 1) {
    note(context, schedule, now, TickOutcome::kMissed, {},
         std::to_string(due - 1) + " ticks before it were missed; it runs once for all of them");
  }
  tick(context, schedule, now);
}

void tick(Context& context, Schedule& schedule, BacklogTick tick) {
  const bool busy = !schedule.live.empty() || !schedule.backlog.empty();
  if (!busy || schedule.overlap == Overlap::kAllow) {
    start_scheduled(context, schedule, tick);
    return;
  }
  const RunId holder = schedule.live.empty() ? RunId{} : *schedule.live.begin();
  if (schedule.overlap == Overlap::kQueue && schedule.backlog.size() < kMaxBacklog) {
    note(context, schedule, tick, TickOutcome::kQueued, {}, "");
    schedule.backlog.push_back(std::move(tick));
    return;
  }
  ++schedule.skipped;
  note(context, schedule, tick, TickOutcome::kSkipped, {},
       schedule.overlap == Overlap::kQueue ? std::to_string(kMaxBacklog) + " ticks are queued already"
       : holder.valid()                    ? to_text(holder) + " was live"
                                           : std::to_string(schedule.backlog.size()) + " ticks were queued");
}

Reply start_scheduled(Context& context, Schedule& schedule, const BacklogTick& tick,
                      const std::string& idempotency_key) {
  pb::StartRun start;
  start.set_namespace_(schedule.name_space);
  start.set_workflow(schedule.workflow);
  start.set_version(schedule.version);
  start.set_inputs(schedule.inputs);
  start.set_priority(schedule.priority);
  start.set_principal(tick.principal.empty() ? schedule.principal : tick.principal);
  start.set_idempotency_key(idempotency_key);
  start.set_schedule(schedule.name);
  start.set_schedule_ms(tick.instant_ms);
  Reply& reply = context.effects.reply;
  const Reply before = std::move(reply);
  reply = Reply();
  apply_start_run(context, start);
  Reply started = std::move(reply);
  reply = before;
  if (started.error) {
    ++schedule.failed;
    note(context, schedule, tick, TickOutcome::kFailed, {}, started.error->to_string());
    return started;
  }
  if (!started.created) return started;
  ++context.effects.scheduled_starts;
  ++schedule.started;
  note(context, schedule, tick, TickOutcome::kStarted, started.run, "");
  if (context.state.find_run(started.run) != nullptr) schedule.live.insert(started.run);
  return started;
}

bool go_on_schedules(Context& context) {
  bool any = false;
  // What is started here may end at once and come back into this list; a backlog only gets shorter.
  for (std::size_t i = 0; i < context.ended_scheduled.size(); ++i) {
    const auto [key, run] = context.ended_scheduled[i];
    const auto found = context.state.schedules.find(key);
    if (found == context.state.schedules.end()) continue;
    Schedule& schedule = found->second.write();
    schedule.live.erase(run);
    while (!schedule.paused && !schedule.backlog.empty() && schedule.live.empty()) {
      const BacklogTick next = schedule.backlog.front();
      schedule.backlog.erase(schedule.backlog.begin());
      any = start_scheduled(context, schedule, next).created || any;
    }
  }
  context.ended_scheduled.clear();
  return any;
}

}  // namespace ez::core
