#include "core/commands/command.h"
#include "core/ready.h"

namespace ez::core {
namespace {

// What is done again: the chosen task first, then what follows it, when that is wanted.
std::vector<std::uint32_t> again(const Run& run, std::uint32_t chosen, bool redo) {
  std::vector<std::uint32_t> out{chosen};
  if (!redo) return out;
  std::vector<bool> seen(run.definition().tasks.size());
  std::vector<std::uint32_t> open{run.tasks[chosen].definition};
  while (!open.empty()) {
    const std::uint32_t index = open.back();
    open.pop_back();
    for (const std::uint32_t dependent : run.definition().tasks[index].dependents) {
      if (seen[dependent]) continue;
      seen[dependent] = true;
      out.push_back(dependent);
      open.push_back(dependent);
    }
  }
  return out;
}

std::optional<Error> check(const Run& run, const std::vector<std::uint32_t>& tasks) {
  const Task& chosen = run.tasks[tasks[0]];
  if (run.rollback || run.definition_of(chosen).compensates) {
    return Error(Code::WrongState, run.rollback ? to_text(run.id) + " is rolled back"
                                                : "task " + run.key_of(chosen) + " is a compensation");
  }
  if (!run.admitted) {
    return Error(Code::WrongState, to_text(run.id) + " has not begun: it waits for its concurrency key");
  }
  const bool stopped = is_terminal(chosen.state) || chosen.state == TaskState::kPaused ||
                       chosen.state == TaskState::kConflict || chosen.state == TaskState::kBackoff;
  if (!stopped && chosen.state != TaskState::kExpanded) {
    return Error(Code::WrongState, "task " + run.key_of(chosen) + " has not ended; it is " +
                                       std::string(to_text(chosen.state)));
  }
  for (const std::uint32_t index : tasks) {
    const Task& task = run.tasks[index];
    if (task.child_count == 0 && task.state != TaskState::kExpanded) continue;
    return Error(Code::WrongState,
                 "task " + run.key_of(task) +
                     " is a for_each that was expanded already; a live run cannot do it again",
                 "Cancel the run and start from this task with `ez retry RUN TASK --redo`.");
  }
  return std::nullopt;
}

void reset(Context& context, Run& run, std::uint32_t index) {
  if (run.tasks[index].state == TaskState::kWaiting) return;
  end_lease(context, run, index, true);
  leave_merge_queue(context, run, index);
  release_places(context.state, run, run.tasks.write(index), index, context.freed_keys);
  move(context, run, index, TaskEvent::kRestart);
  Task& task = run.tasks.write(index);
  task.approved = false;
  task.seeded = false;
  task.failures = 0;
  task.losses = 0;
  task.scheduled_ms = 0;
  task.started_ms = 0;
  task.finished_ms = 0;
  task.done_index = 0;
  auto detail = std::make_shared<TaskDetail>();
  detail->attempts = task.get().attempts;
  task.detail = std::move(detail);
}

void forget_seeds(Run& run, const std::vector<std::uint32_t>& tasks) {
  if (!run.seeds) return;
  auto seeds = std::make_shared<std::map<std::string, Seed>>(*run.seeds);
  for (const std::uint32_t index : tasks) seeds->erase(run.key_of(run.tasks[index]));
  run.seeds = std::move(seeds);
}

// Those who wait for the task have one more to wait for.
void wait_again(Run& run, std::uint32_t definition) {
  for (const std::uint32_t dependent : run.definition().tasks[definition].dependents) {
    if (run.tasks[dependent].state == TaskState::kWaiting) ++run.tasks.write(dependent).missing;
  }
}

void reopen_group(Context& context, Run& run, std::uint32_t group) {
  if (run.tasks[group].state != TaskState::kExpanded) {
    move(context, run, group, TaskEvent::kReopen);
    Task& task = run.tasks.write(group);
    task.finished_ms = 0;
    task.done_index = 0;
    task.missing = 0;
    wait_again(run, group);
  }
  ++run.tasks.write(group).missing;
}

}  // namespace

void apply_restart_task(Context& context, const pb::RestartTask& command) {
  Reply& reply = context.effects.reply;
  Run* run = context.state.write_run(RunId{command.run()});
  if (run == nullptr) {
    reply.error = Error(Code::RunNotFound, "no live run " + to_text(RunId{command.run()}));
    return;
  }
  reply.run = run->id;
  const std::uint32_t chosen = run->find(command.task());
  if (chosen == UINT32_MAX) {
    reply.error = Error(Code::TaskNotFound, "run " + to_text(run->id) + " has no task " + command.task());
    return;
  }
  const std::vector<std::uint32_t> tasks = again(*run, chosen, command.redo());
  reply.error = check(*run, tasks);
  if (reply.error) return;
  const bool was_over = is_terminal(run->tasks[chosen].state);
  forget_seeds(*run, tasks);
  for (const std::uint32_t index : tasks) reset(context, *run, index);
  if (was_over) {
    if (run->tasks[chosen].instance == kNoInstance) {
      wait_again(*run, run->tasks[chosen].definition);
    } else {
      reopen_group(context, *run, run->tasks[chosen].definition);
    }
  }
  for (const std::uint32_t index : tasks) {
    if (run->tasks[index].instance != kNoInstance) continue;
    std::uint32_t missing = 0;
    for (const std::uint32_t dependency : run->definition_of(run->tasks[index]).dependencies) {
      if (!is_terminal(run->tasks[dependency].state)) ++missing;
    }
    run->tasks.write(index).missing = missing;
  }
  {
    Task& task = run->tasks.write(chosen);
    auto detail = task.edit();
    detail->decided_by = command.principal();
    detail->comment = command.comment();
    task.detail = std::move(detail);
    if (task.missing == 0) context.activate.push_back(chosen);
  }
  settle(context, *run);
}

}  // namespace ez::core
