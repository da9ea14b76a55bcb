#include "core/commands/command.h"

namespace ez::core {
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
      pause_run(context, *run);
      break;
    case pb::ControlRun::RESUME:
      if (run->state != RunState::kPaused) {
        reply.error = Error(Code::WrongState, to_text(run->id) + " is not paused");
        return;
      }
      resume_run(context, *run);
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
