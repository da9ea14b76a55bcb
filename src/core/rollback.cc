#include "core/rollback.h"

#include <algorithm>
#include <memory>
#include <queue>

namespace ez::core {
namespace {

// When that task had succeeded; 0: it has not, there is nothing to undo. Of a for_each: its last instance.
std::uint64_t succeeded_at(const Run& run, std::uint32_t index) {
  const Task& task = run.tasks[index];
  if (task.child_count == 0) return task.state == TaskState::kSucceeded ? task.done_index : 0;
  std::uint64_t last = 0;
  for (std::uint32_t i = 0; i < task.child_count; ++i) {
    const Task& child = run.tasks[task.first_child + i];
    if (child.state == TaskState::kSucceeded) last = std::max(last, child.done_index);
  }
  return last;
}

}  // namespace

std::vector<std::uint32_t> compensation_order(const Run& run) {
  const auto& tasks = run.definition().tasks;
  // Tasks whose dependents were all looked at; what needs no compensation is passed at once.
  using Entry = std::pair<std::uint64_t, std::uint32_t>;
  std::priority_queue<Entry> free;
  std::vector<std::uint32_t> waits(tasks.size());
  const auto enter = [&](std::uint32_t index) {
    const std::uint64_t at = tasks[index].compensate ? succeeded_at(run, index) : 0;
    free.emplace(at == 0 ? UINT64_MAX : at, index);
  };
  for (std::uint32_t i = 0; i < tasks.size(); ++i) {
    waits[i] = static_cast<std::uint32_t>(tasks[i].dependents.size());
    if (waits[i] == 0 && !tasks[i].compensates) enter(i);
  }
  std::vector<std::uint32_t> order;
  while (!free.empty()) {
    const auto [at, index] = free.top();
    free.pop();
    if (at != UINT64_MAX) order.push_back(*tasks[index].compensate);
    for (const std::uint32_t dependency : tasks[index].dependencies) {
      if (--waits[dependency] == 0) enter(dependency);
    }
  }
  return order;
}

void begin_rollback(Context& context, Run& run, TaskError error) {
  cancel_open(context, run);
  run.error = std::move(error);
  // A pause ends here: who paused it did not mean that half of its work stays.
  run.state = RunState::kRunning;
  run.budget_paused = false;
  run.paused_by_parent = false;
  context.state.set_timer(run.id, kRunTimer, run.deadline_ms, 0);
  context.state.set_timer(run.id, kRunWarnTimer, run.warn_ms, 0);
  Rollback rollback;
  rollback.order = compensation_order(run);
  run.rollback = std::make_shared<const Rollback>(std::move(rollback));
  context.effects.events.push_back(
      {run.id, kNoInstance, static_cast<std::uint8_t>(run.state), 0, context.now_ms});
}

void fail_run(Context& context, Run& run, TaskError error) {
  if (run.definition().rolls_back && !run.rollback && run.admitted)
    return begin_rollback(context, run, std::move(error));
  stop_run(context, run, RunState::kFailed, std::move(error));
}

bool is_stopping(const State& state, const Run& run) {
  return std::any_of(state.leases.begin(), state.leases.end(),
                     [&](const auto& lease) { return lease.second.run == run.id; });
}

bool go_on_rollback(Context& context, Run& run) {
  if (run.state != RunState::kRunning || is_stopping(context.state, run)) return false;
  auto rollback = std::make_shared<Rollback>(*run.rollback);
  if (rollback->next == rollback->order.size()) {
    rollback->over = true;
    run.rollback = std::move(rollback);
    run.state = RunState::kFailed;
    return false;
  }
  const std::uint32_t index = rollback->order[rollback->next++];
  run.rollback = std::move(rollback);
  move(context, run, index, TaskEvent::kRestart);
  Task& task = run.tasks.write(index);
  task.missing = 0;
  task.finished_ms = 0;
  task.done_index = 0;
  context.activate.push_back(index);
  return true;
}

std::string_view rollback_state(const Run& run) {
  if (!run.rollback) return "";
  if (!run.rollback->over) return is_terminal(run.state) ? "incomplete" : "under_way";
  for (const std::uint32_t index : run.rollback->order) {
    const TaskState state = run.tasks[index].state;
    if (state != TaskState::kSucceeded && state != TaskState::kSkipped) return "incomplete";
  }
  return "done";
}

Value rollback_view(const Run& run) {
  if (!run.rollback) return Value();
  Value::List tasks;
  for (const std::uint32_t index : run.rollback->order) tasks.emplace_back(run.key_of(run.tasks[index]));
  return Value(Value::Map{{"state", Value(rollback_state(run))},
                          {"tasks", Value(std::move(tasks))},
                          {"begun", Value(static_cast<std::int64_t>(run.rollback->next))}});
}

}  // namespace ez::core
