#include "core/commands/command.h"
#include "core/schedule.h"

namespace ez::core {
namespace {

Error no_schedule(const std::string& name, const std::string& name_space) {
  return Error(Code::ScheduleNotFound, "no schedule " + name + " in namespace " + name_space);
}

void pause(Schedule& schedule, const pb::ControlSchedule& command) {
  schedule.paused = true;
  schedule.paused_by = command.principal();
  schedule.pause_comment = command.comment().substr(0, 1024);
  schedule.ticks.clear();
}

void resume(Context& context, Schedule& schedule) {
  schedule.paused = false;
  schedule.paused_by.clear();
  schedule.pause_comment.clear();
  // What passed meanwhile was not wanted.
  schedule.through_ms = context.now_ms;
  schedule.again_ms = 0;
  schedule.stalled = false;
  schedule.problem.clear();
  // Who waited while it was paused goes on as if a run had just ended.
  context.ended_scheduled.emplace_back(schedule_key(schedule.name_space, schedule.name), RunId{});
}

}  // namespace

void apply_control_schedule(Context& context, const pb::ControlSchedule& command) {
  State& state = context.state;
  Reply& reply = context.effects.reply;
  const std::string key = schedule_key(command.namespace_(), command.name());
  const auto found = state.schedules.find(key);
  if (found == state.schedules.end()) {
    reply.error = no_schedule(command.name(), command.namespace_());
    return;
  }
  Schedule& schedule = found->second.write();
  switch (command.action()) {
    case pb::ControlSchedule::PAUSE:
      if (schedule.paused) return;
      pause(schedule, command);
      break;
    case pb::ControlSchedule::RESUME:
      if (!schedule.paused) {
        reply.error = Error(Code::WrongState, "schedule " + command.name() + " is not paused");
        return;
      }
      resume(context, schedule);
      break;
    case pb::ControlSchedule::DELETE:
      reply.created = true;
      return remove_schedule(state, key);
    case pb::ControlSchedule::TRIGGER: {
      reply = start_scheduled(context, schedule, {context.now_ms, TickCause::kTrigger, command.principal()},
                              command.idempotency_key());
      return;
    }
    default:
      reply.error = Error(Code::RequestInvalid, "an unknown action on a schedule");
      return;
  }
  reply.created = true;
  refresh_schedule(state, schedule);
}

void apply_backfill_schedule(Context& context, const pb::BackfillSchedule& command) {
  State& state = context.state;
  Reply& reply = context.effects.reply;
  const auto found = state.schedules.find(schedule_key(command.namespace_(), command.name()));
  if (found == state.schedules.end()) {
    reply.error = no_schedule(command.name(), command.namespace_());
    return;
  }
  Schedule& schedule = found->second.write();
  if (schedule.revision != command.revision()) {
    reply.error = Error(Code::WrongState, "schedule " + command.name() + " was changed meanwhile",
                        "Look at it again and ask for the backfill once more.");
    return;
  }
  const auto count = static_cast<std::size_t>(command.instants_ms_size());
  if (count == 0 || schedule.backlog.size() + count > kMaxBacklog) {
    reply.error = Error(Code::InvalidArgument,
                        std::to_string(count) +
                            " ticks cannot be backfilled: " + std::to_string(schedule.backlog.size()) +
                            " wait already, the limit is " + std::to_string(kMaxBacklog));
    return;
  }
  reply.created = true;
  for (const std::int64_t instant_ms : command.instants_ms()) {
    BacklogTick tick{instant_ms, TickCause::kBackfill, command.principal()};
    if (command.at_once()) {
      start_scheduled(context, schedule, tick);
    } else {
      schedule.backlog.push_back(std::move(tick));
    }
  }
  context.ended_scheduled.emplace_back(schedule_key(command.namespace_(), command.name()), RunId{});
}

void apply_plan_schedules(Context& context, const pb::PlanSchedules& command) {
  State& state = context.state;
  for (const pb::PlanSchedules::Plan& plan : command.plans()) {
    const auto key = state.schedule_numbers.find(plan.schedule());
    if (key == state.schedule_numbers.end()) continue;
    const Cow<Schedule>& seen = state.schedules.at(key->second);
    // Another plan, or a change, came first; a plan that nobody waits for is no plan.
    if (seen->revision != plan.revision() || seen->through_ms != plan.after_ms() || seen->paused ||
        seen->again_ms != 0) {
      continue;
    }
    Schedule& schedule = state.schedules.at(key->second).write();
    schedule.problem = plan.problem().substr(0, 512);
    schedule.stalled = !plan.problem().empty();
    schedule.again_ms = plan.again_ms();
    if (!schedule.stalled) {
      for (const auto& tick : plan.ticks()) schedule.ticks.push_back({tick.instant_ms(), tick.due_ms()});
      schedule.missed += plan.missed();
      schedule.through_ms = plan.through_ms();
      fire_due(context, schedule);
    }
    refresh_schedule(state, schedule);
  }
}

}  // namespace ez::core
