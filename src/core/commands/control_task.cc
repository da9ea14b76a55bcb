#include "core/commands/command.h"
#include "core/ready.h"

namespace ez::core {
namespace {

void note_decision(Run& run, std::uint32_t index, const pb::ControlTask& command) {
  Task& task = run.tasks.write(index);
  auto detail = task.edit();
  detail->decided_by = command.principal();
  detail->comment = command.comment();
  task.detail = std::move(detail);
}

std::optional<Error> approve(Context& context, Run& run, std::uint32_t index) {
  Task& task = run.tasks.write(index);
  if (task.state == TaskState::kConflict) {
    // The person settled it on the task's branch: whatever stands there now is merged.
    auto detail = task.edit();
    detail->commit.clear();
    task.detail = std::move(detail);
    queue_merge(context, run, index);
    return std::nullopt;
  }
  if (task.state != TaskState::kApproval) {
    return Error(Code::WrongState, "task " + run.key_of(task) + " does not wait for an approval; it is " +
                                       std::string(to_text(task.state)));
  }
  task.approved = true;
  if (run.definition_of(task).is_approval_only()) {
    complete(context, run, index, TaskEvent::kSucceed);
  } else {
    enqueue(context, run, index);
  }
  return std::nullopt;
}

std::optional<Error> reject(Context& context, Run& run, std::uint32_t index, const pb::ControlTask& command) {
  const Task& task = run.tasks[index];
  if (!waits_for_person(task.state)) {
    return Error(Code::WrongState, "task " + run.key_of(task) + " does not wait for a person; it is " +
                                       std::string(to_text(task.state)));
  }
  fail_task(context, run, index,
            {"REJECTED", "rejected by " + command.principal() +
                             (command.comment().empty() ? std::string() : ": " + command.comment())});
  return std::nullopt;
}

}  // namespace

void retry_task(Context& context, Run& run, std::uint32_t index) {
  Task& task = run.tasks.write(index);
  // After a conflict it still holds its places, by the age that it is about to lose.
  release_places(context.state, run, task, index, context.freed_keys);
  task.failures = 0;
  task.losses = 0;
  task.scheduled_ms = context.now_ms;
  enqueue(context, run, index);
}

void apply_control_task(Context& context, const pb::ControlTask& command) {
  Reply& reply = context.effects.reply;
  Run* run = context.state.write_run(RunId{command.run()});
  if (run == nullptr) {
    reply.error = Error(Code::RunNotFound, "no live run " + to_text(RunId{command.run()}));
    return;
  }
  reply.run = run->id;
  const std::uint32_t index = run->find(command.task());
  if (index == UINT32_MAX) {
    reply.error = Error(Code::TaskNotFound, "run " + to_text(run->id) + " has no task " + command.task());
    return;
  }
  switch (command.action()) {
    case pb::ControlTask::APPROVE:
      reply.error = approve(context, *run, index);
      break;
    case pb::ControlTask::REJECT:
      reply.error = reject(context, *run, index, command);
      break;
    case pb::ControlTask::RETRY: {
      const TaskState state = run->tasks[index].state;
      if (state != TaskState::kPaused && state != TaskState::kConflict) {
        reply.error = Error(Code::WrongState, "task " + command.task() + " is not paused; it is " +
                                                  std::string(to_text(state)));
        break;
      }
      retry_task(context, *run, index);
      break;
    }
    case pb::ControlTask::CANCEL: {
      const Task& task = run->tasks[index];
      if (is_terminal(task.state)) {
        reply.error = Error(Code::WrongState,
                            "task " + command.task() + " is over; it is " + std::string(to_text(task.state)));
        break;
      }
      if (task.state == TaskState::kExpanded) {
        // The group ends once the last of its instances has.
        for (std::uint32_t i = 0; i < run->tasks[index].child_count; ++i) {
          const std::uint32_t child = run->tasks[index].first_child + i;
          if (is_terminal(run->tasks[child].state)) continue;
          end_lease(context, *run, child, true);
          leave_merge_queue(context, *run, child);
          complete(context, *run, child, TaskEvent::kCancel);
        }
        break;
      }
      end_lease(context, *run, index, true);
      leave_merge_queue(context, *run, index);
      complete(context, *run, index, TaskEvent::kCancel);
      break;
    }
    default:
      reply.error = Error(Code::RequestInvalid, "an unknown action on a task");
  }
  if (reply.error) return;
  note_decision(*run, index, command);
  settle(context, *run);
}

}  // namespace ez::core
