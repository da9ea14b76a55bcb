#include "core/commands/command.h"
#include "core/ready.h"

namespace ez::core {
namespace {

void pause(Context& context, Run& run) {
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
  run.state = RunState::kPaused;
}

void resume(Context& context, Run& run) {
  run.state = RunState::kRunning;
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const TaskState state = run.tasks[i].state;
    if (state == TaskState::kThrottled) enqueue(context, run, i);
    if (state == TaskState::kReady || state == TaskState::kMergeReady) {
      push_ready(context.state, run, i);
      context.effects.ready_grew = true;
    }
  }
}

}  // namespace

void apply_control_run(Context& context, const pb::ControlRun& command) {
  Reply& reply = context.effects.reply;
  Run* run = context.state.write_run(RunId{command.run()});
  if (run == nullptr) {
    reply.error = Error(Code::RunNotFound, "no live run " + to_text(RunId{command.run()}));
    return;
  }
  reply.run = run->id;
  switch (command.action()) {
    case pb::ControlRun::CANCEL:
      stop_run(
          context, *run, RunState::kCancelled,
          {"TASK_CANCELLED", "cancelled by " + command.principal() +
                                 (command.comment().empty() ? std::string() : ": " + command.comment())});
      break;
    case pb::ControlRun::PAUSE:
      if (run->state == RunState::kPaused) return;
      pause(context, *run);
      break;
    case pb::ControlRun::RESUME:
      if (run->state != RunState::kPaused) {
        reply.error = Error(Code::WrongState, to_text(run->id) + " is not paused");
        return;
      }
      resume(context, *run);
      break;
    case pb::ControlRun::RETRY: {
      bool any = false;
      for (std::uint32_t i = 0; i < run->tasks.size(); ++i) {
        const TaskState state = run->tasks[i].state;
        if (state != TaskState::kPaused && state != TaskState::kConflict) continue;
        any = true;
        retry_task(context, *run, i);
      }
      if (!any) {
        reply.error =
            Error(Code::WrongState, to_text(run->id) + " has no paused task",
                  "Only tasks that are paused or in conflict can be retried while the run is live.");
        return;
      }
      break;
    }
    default:
      reply.error = Error(Code::RequestInvalid, "an unknown action on a run");
      return;
  }
  if (!is_terminal(run->state)) {
    context.effects.events.push_back(
        {run->id, kNoInstance, static_cast<std::uint8_t>(run->state), 0, context.now_ms});
  }
  settle(context, *run);
}

}  // namespace ez::core
