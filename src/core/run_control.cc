// Pausing, resuming and beginning of whole runs; see progress.h.
#include "core/family.h"
#include "core/progress.h"
#include "core/ready.h"
#include "core/waits.h"

namespace ez::core {

void pause_run(Context& context, Run& run) {
  // Ready and throttled tasks leave their lines and give back their places; what runs is left to finish.
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const TaskState state = run.tasks[i].state;
    if (state == TaskState::kMergeReady) erase_ready(context.state, run, i);
    if (state == TaskState::kReady) {
      erase_ready(context.state, run, i);
      Task& task = run.tasks.write(i);
      context.state.set_timer(run.id, i, task.due_ms, 0);
      if (needs_places(run, task)) {
        release_places(context.state, run, task, i, context.freed_keys);
        move(context, run, i, TaskEvent::kThrottle);
      }
    }
    if (state == TaskState::kThrottled) {
      release_places(context.state, run, run.tasks.write(i), i, context.freed_keys);
    }
  }
  // What has not begun gives up its place in line; what has keeps its place under the workflow's key.
  if (!run.admitted) leave_run_place(context.state, run, context.freed_keys);
  run.state = RunState::kPaused;
  pause_children(context, run, true);
}

void resume_run(Context& context, Run& run) {
  run.paused_by_parent = false;
  if (!run.admitted) {
    if (has_run_room(context.state, run)) {
      take_run_place(context.state, run);
      return begin_run(context, run);
    }
    run.state = RunState::kQueued;
    return enter_run_line(context.state, run);
  }
  run.state = RunState::kRunning;
  if (run.budget_paused) run.error = {};
  run.budget_paused = false;
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const TaskState state = run.tasks[i].state;
    if (state == TaskState::kThrottled) enqueue(context, run, i);
    if (state == TaskState::kReady || state == TaskState::kMergeReady) {
      push_ready(context.state, run, i);
      context.effects.ready_grew = true;
    }
  }
  resume_waits(context, run);
  resume_child_timers(context, run);
  pause_children(context, run, false);
}

void begin_run(Context& context, Run& run) {
  const auto& tasks = run.definition().tasks;
  for (std::uint32_t i = 0; i < tasks.size(); ++i) {
    if (tasks[i].dependencies.empty() && run.tasks[i].state == TaskState::kWaiting)
      context.activate.push_back(i);
  }
  if (run.state == RunState::kRunning) return;
  run.state = RunState::kRunning;
  context.effects.events.push_back(
      {run.id, kNoInstance, static_cast<std::uint8_t>(run.state), 0, context.now_ms});
}

}  // namespace ez::core
