#include "core/budget.h"
#include "core/commands/command.h"
#include "core/pause.h"
#include "core/rollback.h"
#include "core/schedule.h"
#include "core/waits.h"

namespace ez::core {
namespace {

// A pause is not the agents' fault: the time to start begins anew when it ends.
bool wait_on(Context& context, Run& run, std::uint32_t index) {
  const orchestration::Timeouts& timeout = run.definition_of(run.tasks[index]).timeout;
  const std::int64_t limit =
      timeout.schedule_to_start_ms != 0 ? timeout.schedule_to_start_ms : timeout.schedule_to_close_ms;
  std::int64_t begin = last_resumed_ms(context.state, run, run.tasks[index]);
  if (holding_pause(context.state, run, run.tasks[index]) != nullptr) begin = context.now_ms;
  if (begin + limit <= context.now_ms) return false;
  context.state.set_timer(run.id, index, run.tasks.write(index).due_ms, begin + limit);
  return true;
}

void fire(Context& context, Run& run, std::uint32_t index) {
  const orchestration::Timeouts& timeout = run.definition_of(run.tasks[index]).timeout;
  const Task& task = run.tasks[index];
  const std::int64_t limit = run.definition_of(task).lease_ms(task.state == TaskState::kMerging);
  const bool closed =
      timeout.schedule_to_close_ms != 0 && context.now_ms >= task.scheduled_ms + timeout.schedule_to_close_ms;
  const std::string close_text =
      "schedule_to_close of " + std::to_string(timeout.schedule_to_close_ms) + " ms passed";
  switch (task.state) {
    case TaskState::kThrottled:  // its rate lets it start
    case TaskState::kBackoff:
      return enqueue(context, run, index);
    case TaskState::kTimer:
    case TaskState::kSignal:
      return fire_wait(context, run, index);
    case TaskState::kChild:
      return fire_child(context, run, index);
    case TaskState::kReady:
      if (wait_on(context, run, index)) return;
      return attempt_failed(
          context, run, index,
          {"TASK_TIMEOUT", closed ? close_text
                                  : "schedule_to_start of " + std::to_string(timeout.schedule_to_start_ms) +
                                        " ms passed without an agent"},
          0, true, false);
    case TaskState::kRunning:
    case TaskState::kMerging:
      end_lease(context, run, index, true);
      if (run.tasks[index].state == TaskState::kMerging) leave_merge_queue(context, run, index);
      return attempt_failed(
          context, run, index,
          {"TASK_TIMEOUT", closed ? close_text : "start_to_close of " + std::to_string(limit) + " ms passed"},
          0, closed, false);
    default:
      EZ_CHECK(false, "a timer fired for a task that has none");
  }
}

}  // namespace

void apply_tick(Context& context, const pb::Tick& command) {
  State& state = context.state;
  for (std::uint32_t fired = 0; fired < command.limit(); ++fired) {
    if (state.timers.empty() || state.timers.begin()->due_ms > context.now_ms) return;
    const TimerKey timer = *state.timers.begin();
    if (timer.run == kScheduleTimer) {
      fire_schedule(context, timer.task);
      continue;
    }
    Run* run = state.write_run(timer.run);
    EZ_CHECK(run != nullptr, "a timer belongs to a run that is gone");
    if (timer.task == kRunTimer) {
      state.set_timer(run->id, kRunTimer, run->deadline_ms, 0);
      fail_run(context, *run, {"TASK_TIMEOUT", "the deadline of the run has passed"});
    } else if (timer.task == kRunWarnTimer) {
      state.set_timer(run->id, kRunWarnTimer, run->warn_ms, 0);
      run->warned |= kDeadlineWarned;
      context.effects.events.push_back({run->id, kNoInstance, static_cast<std::uint8_t>(run->state), 0,
                                        context.now_ms, RunNotice::kDeadlineWarning});
    } else {
      state.set_timer(run->id, timer.task, run->tasks.write(timer.task).due_ms, 0);
      fire(context, *run, timer.task);
    }
    settle(context, *run);
    // What is stopped must not have a timer of its own fire after that.
    if (!context.family.empty()) settle_families(context);
  }
}

}  // namespace ez::core
