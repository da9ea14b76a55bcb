#include "core/progress.h"

#include <algorithm>

#include "base/json.h"
#include "core/budget.h"
#include "core/rate.h"
#include "core/ready.h"
#include "core/rollback.h"
#include "core/schedule.h"
#include "core/variables.h"
#include "core/waits.h"
#include "orchestration/retry.h"

namespace ez::core {
namespace {

bool names_item(const Expression& expression) {
  const auto& names = expression.variables();
  return std::find(names.begin(), names.end(), "item") != names.end() ||
         std::find(names.begin(), names.end(), "index") != names.end();
}

bool is_group(const orchestration::Task& definition, const Task& task) {
  return definition.for_each.has_value() && task.instance == kNoInstance;
}

void finish_group(Context& context, Run& run, std::uint32_t group_index) {
  const Task& group = run.tasks[group_index];
  if (group.state != TaskState::kExpanded) return;
  TaskEvent event = TaskEvent::kSucceed;
  for (std::uint32_t i = 0; i < group.child_count; ++i) {
    const TaskState state = run.tasks[group.first_child + i].state;
    if (state == TaskState::kCancelled) event = TaskEvent::kCancel;
    if (state == TaskState::kFailed && event != TaskEvent::kCancel) event = TaskEvent::kFail;
  }
  complete(context, run, group_index, event);
}

void expand(Context& context, Run& run, std::uint32_t index) {
  const orchestration::Task& definition = run.definition_of(run.tasks[index]);
  const Task& before = run.tasks[index];
  auto list = evaluate(run, &before, *definition.for_each);
  if (!list.ok())
    return fail_task(context, run, index, {std::string(list.error().name()), list.error().message()});
  if (!list->is_list()) {
    return fail_task(
        context, run, index,
        {"EXPRESSION_FAILED", "for_each gives a " + std::string(kind_name(list->kind())) + ", not a list"});
  }
  const std::size_t count = list->as_list().size();
  if (count > orchestration::kMaxForEach) {
    return fail_task(
        context, run, index,
        {"WORKFLOW_TOO_LARGE", "for_each gives " + std::to_string(count) + " items, the limit is " +
                                   std::to_string(orchestration::kMaxForEach)});
  }
  {
    Task& group = run.tasks.write(index);
    auto detail = group.edit();
    detail->items = std::move(list).value();
    group.detail = std::move(detail);
    group.first_child = run.tasks.size();
    group.child_count = static_cast<std::uint32_t>(count);
    group.missing = static_cast<std::uint32_t>(count);
    group.scheduled_ms = context.now_ms;
  }
  move(context, run, index, TaskEvent::kExpand);
  for (std::uint32_t i = 0; i < count; ++i) {
    Task child;
    child.definition = run.tasks[index].definition;
    child.instance = i;
    context.activate.push_back(run.tasks.add(std::move(child)));
  }
  run.counts[static_cast<int>(TaskState::kWaiting)] += static_cast<std::uint32_t>(count);
  run.open += static_cast<std::uint32_t>(count);
  if (count == 0) complete(context, run, index, TaskEvent::kSucceed);
}

bool take_seed(Context& context, Run& run, std::uint32_t index) {
  const Task& task = run.tasks[index];
  if (!run.seeds || is_group(run.definition_of(task), task)) return false;
  const auto found = run.seeds->find(run.key_of(task));
  if (found == run.seeds->end()) return false;
  Task& writable = run.tasks.write(index);
  auto detail = writable.edit();
  detail->output = found->second.output;
  detail->output_blob = found->second.output_blob;
  detail->artifacts = found->second.artifacts;
  writable.detail = std::move(detail);
  writable.seeded = true;
  const TaskState state = found->second.state;
  complete(context, run, index,
           state == TaskState::kSkipped  ? TaskEvent::kSkip
           : state == TaskState::kFailed ? TaskEvent::kFail
                                         : TaskEvent::kSucceed);
  return true;
}

// The dependencies of the task are complete: what becomes of it?
void activate(Context& context, Run& run, std::uint32_t index) {
  const Task& task = run.tasks[index];
  if (task.state != TaskState::kWaiting) return;
  const orchestration::Task& definition = run.definition_of(task);
  if (task.instance == kNoInstance && !definition.compensates) {
    for (const std::uint32_t dependency : definition.dependencies) {
      if (run.tasks[dependency].state == TaskState::kCancelled)
        return complete(context, run, index, TaskEvent::kCancel);
    }
  }
  if (take_seed(context, run, index)) return;
  const bool group = is_group(definition, task);
  const bool when_is_per_item = definition.when && definition.for_each && names_item(*definition.when);
  const bool ask_when =
      definition.when && (task.instance == kNoInstance ? !when_is_per_item : when_is_per_item);
  if (ask_when) {
    const auto wanted = evaluate(run, &task, *definition.when);
    if (!wanted.ok()) {
      return fail_task(context, run, index,
                       {std::string(wanted.error().name()), "when: " + wanted.error().message()});
    }
    if (!wanted->is_bool()) {
      return fail_task(
          context, run, index,
          {"EXPRESSION_FAILED", "when gives a " + std::string(kind_name(wanted->kind())) + ", not a bool"});
    }
    if (!wanted->as_bool()) return complete(context, run, index, TaskEvent::kSkip);
  }
  if (group) return expand(context, run, index);
  if (definition.approval && !task.approved) {
    run.tasks.write(index).scheduled_ms = context.now_ms;
    return move(context, run, index, TaskEvent::kAsk);
  }
  enqueue(context, run, index);
}

// What the run gives to those who asked for it; an error when that cannot be told.
TaskError give_outputs(Run& run) {
  if (run.definition().outputs.empty()) return {};
  Value::Map map;
  for (const auto& [name, expression] : run.definition().outputs) {
    auto value = evaluate(run, nullptr, expression);
    if (!value.ok())
      return {std::string(value.error().name()), "outputs." + name + ": " + value.error().message()};
    map.emplace_back(name, std::move(value).value());
  }
  std::string outputs = to_json(Value(std::move(map)));
  if (outputs.size() > kMaxInlineBytes) {
    return {"PAYLOAD_TOO_LARGE", "outputs: they have " + std::to_string(outputs.size()) +
                                     " bytes; at most " + std::to_string(kMaxInlineBytes) + " are allowed"};
  }
  run.outputs = std::move(outputs);
  return {};
}

TaskError key_is_full(const Task& task) {
  return {"CONCURRENCY_FULL", "no place is free under the concurrency key " + task.get().concurrency_key};
}

// False: the task waits for its rate (or has failed).
bool take_start(Context& context, Run& run, std::uint32_t index) {
  if (!run.tasks[index].paid) {
    const orchestration::Rate& rate = *run.definition_of(run.tasks[index]).rate;
    auto key = render(run, &run.tasks[index], rate.key, Template::Quoting::kPlain);
    if (!key.ok()) {
      fail_task(context, run, index, {std::string(key.error().name()), "rate.key: " + key.error().message()});
      return false;
    }
    const std::int64_t start =
        reserve_start(context.state, rate_key(run, key->empty() ? "-" : *key), rate, context.now_ms);
    run.tasks.write(index).paid = true;
    if (start > context.now_ms) {
      move(context, run, index, TaskEvent::kThrottle);
      context.state.set_timer(run.id, index, run.tasks.write(index).due_ms, start);
      return false;
    }
  }
  // Called again while it waits, because its run was resumed.
  return run.tasks[index].state != TaskState::kThrottled || run.tasks[index].due_ms == 0;
}

// The holder of a place goes, because a newer one wants it.
void evict(Context& context, const ReadyKey& holder, const std::string& who) {
  Run* run = context.state.write_run(holder.run);
  EZ_CHECK(run != nullptr, "a run that is gone holds a place");
  TaskError error{"CONCURRENCY_FULL", "cancelled because " + who + " wanted its place"};
  if (holder.task == kRunTimer) {
    stop_run(context, *run, RunState::kCancelled, std::move(error));
  } else {
    end_lease(context, *run, holder.task, true);
    leave_merge_queue(context, *run, holder.task);
    Task& task = run->tasks.write(holder.task);
    auto detail = task.edit();
    detail->error = std::move(error);
    task.detail = std::move(detail);
    complete(context, *run, holder.task, TaskEvent::kCancel);
  }
  settle(context, *run);
}

void clear_place(Context& context, RunId id, std::uint32_t index) {
  while (true) {
    const Run* run = context.state.find_run(id);
    if (run == nullptr || !waits_at_full_key(context.state, *run, index)) return;
    const ReadyKey* oldest = oldest_holder(context.state, *run, index);
    if (oldest == nullptr) return;
    const std::string who =
        index == kRunTimer ? to_text(id) : to_text(id) + "/" + run->key_of(run->tasks[index]);
    evict(context, ReadyKey(*oldest), who);
  }
}

void hand_out_freed(Context& context) {
  for (std::size_t i = 0; i < context.freed_keys.size(); ++i) {
    const std::string key = context.freed_keys[i];
    while (true) {
      const auto throttle = context.state.throttles.find(key);
      if (throttle == context.state.throttles.end() || throttle->second.waiting.empty()) break;
      const ReadyKey first = *throttle->second.waiting.begin();
      Run* run = context.state.write_run(first.run);
      EZ_CHECK(run != nullptr, "a run that is gone stands in line");
      if (first.task == kRunTimer) {
        if (!has_run_room(context.state, *run)) break;
        take_run_place(context.state, *run);
        begin_run(context, *run);
        settle(context, *run);
        continue;
      }
      if (!has_room(context.state, key, *run, run->tasks[first.task])) break;
      throttle->second.waiting.erase(throttle->second.waiting.begin());
      enqueue(context, *run, first.task);
      settle(context, *run);
    }
    forget_if_empty(context.state, key);
    if (key[0] != 'b') continue;
    const auto line = context.state.throttles.find(key);
    if (line == context.state.throttles.end() || line->second.waiting.empty()) continue;
    if (Run* run = context.state.write_run(line->second.waiting.begin()->run)) settle(context, *run);
  }
  context.freed_keys.clear();
}

// Nothing is open any more.
void end_run(Context& context, Run& run) {
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const Task& task = run.tasks[i];
    if (task.state != TaskState::kCancelled) continue;
    return fail_run(context, run, {"TASK_CANCELLED", "task " + run.key_of(task) + " was cancelled"});
  }
  if (TaskError error = give_outputs(run); !error.code.empty())
    return fail_run(context, run, std::move(error));
  run.state = RunState::kSucceeded;
}

}  // namespace

std::uint32_t jitter_permille(const Context& context, RunId run, std::uint32_t task) {
  std::uint64_t z = context.jitter_seed ^ (run.value * 0x9e3779b97f4a7c15ULL) ^ (std::uint64_t{task} << 32);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return static_cast<std::uint32_t>((z ^ (z >> 31)) % 1001);
}

void move(Context& context, Run& run, std::uint32_t index, TaskEvent event) {
  Task& task = run.tasks.write(index);
  const auto to = next_state(task.state, event);
  EZ_CHECK(to.has_value(), "a task was asked for a step that its table does not have");
  if (task.state == TaskState::kReady || task.state == TaskState::kMergeReady)
    erase_ready(context.state, run, index);
  if (task.state == TaskState::kChild) leave_child(context, run, index);
  if (task.state == TaskState::kThrottled) leave_line(context.state, run, index, context.freed_keys);
  context.state.set_timer(run.id, index, task.due_ms, 0);
  if (holds_agent(task.state) != holds_agent(*to)) {
    Namespace& owner = context.state.namespaces[run.workflow->name_space];
    if (holds_agent(*to)) {
      ++owner.running;
    } else {
      --owner.running;
    }
  }
  --run.counts[static_cast<int>(task.state)];
  ++run.counts[static_cast<int>(*to)];
  if (is_terminal(*to)) --run.open;
  if (is_terminal(task.state)) ++run.open;  // done again
  task.state = *to;
  context.effects.events.push_back(
      {run.id, index, static_cast<std::uint8_t>(*to), task.attempt, context.now_ms});
}

void enqueue(Context& context, Run& run, std::uint32_t index) {
  const orchestration::Task& definition = run.definition_of(run.tasks[index]);
  if (definition.wait) return begin_wait(context, run, index);
  if (definition.concurrency && run.tasks[index].get().concurrency_key.empty()) {
    auto key = render(run, &run.tasks[index], definition.concurrency->key, Template::Quoting::kPlain);
    if (!key.ok()) {
      return fail_task(context, run, index,
                       {std::string(key.error().name()), "concurrency.key: " + key.error().message()});
    }
    Task& task = run.tasks.write(index);
    auto detail = task.edit();
    detail->concurrency_key = key->empty() ? "-" : std::move(key).value();
    task.detail = std::move(detail);
  }
  Task& task = run.tasks.write(index);
  // One that comes out of a line keeps its rank.
  if (task.state != TaskState::kThrottled) task.ready_ms = context.now_ms;
  if (task.scheduled_ms == 0) task.scheduled_ms = context.now_ms;
  if (definition.rate && !take_start(context, run, index)) return;
  // A paused run stands in no line and holds no place; ControlRun lets it back in.
  const bool paused = run.state == RunState::kPaused;
  const bool holds_back = needs_places(run, task) || definition.workflow;
  const Admission admission = !paused      ? acquire_places(context.state, run, task, index)
                              : holds_back ? Admission::kInLine
                                           : Admission::kTaken;
  switch (admission) {
    case Admission::kTaken:
      break;
    case Admission::kRejected:
      return fail_task(context, run, index, key_is_full(task));
    case Admission::kCancelled: {
      auto detail = task.edit();
      detail->error = key_is_full(task);
      task.detail = std::move(detail);
      return complete(context, run, index, TaskEvent::kCancel);
    }
    case Admission::kClearing:
      context.clearing.emplace_back(run.id, index);
      [[fallthrough]];
    case Admission::kInLine:
      if (task.state != TaskState::kThrottled) move(context, run, index, TaskEvent::kThrottle);
      return;
  }
  if (definition.workflow) return await_child(context, run, index);
  move(context, run, index, TaskEvent::kEnqueue);
  Task& ready = run.tasks.write(index);
  std::int64_t due = 0;
  if (definition.timeout.schedule_to_start_ms != 0)
    due = context.now_ms + definition.timeout.schedule_to_start_ms;
  if (definition.timeout.schedule_to_close_ms != 0) {
    const std::int64_t close = ready.scheduled_ms + definition.timeout.schedule_to_close_ms;
    due = due == 0 ? close : std::min(due, close);
  }
  if (due != 0) context.state.set_timer(run.id, index, ready.due_ms, due);
  if (!paused) {
    push_ready(context.state, run, index);
    context.effects.ready_grew = true;
  }
}

void complete(Context& context, Run& run, std::uint32_t index, TaskEvent event) {
  move(context, run, index, event);
  Task& task = run.tasks.write(index);
  task.finished_ms = context.now_ms;
  task.done_index = context.index.value;
  release_places(context.state, run, task, index, context.freed_keys);
  if (task.instance != kNoInstance) {
    Task& group = run.tasks.write(task.definition);
    EZ_CHECK(group.missing > 0, "an instance completed twice");
    if (--group.missing == 0) finish_group(context, run, task.definition);
    return;
  }
  for (const std::uint32_t dependent : run.definition_of(task).dependents) {
    // A task that was done again, while what follows kept its results.
    if (run.tasks[dependent].state != TaskState::kWaiting) continue;
    Task& next = run.tasks.write(dependent);
    EZ_CHECK(next.missing > 0, "a dependency completed twice");
    if (--next.missing == 0) context.activate.push_back(dependent);
  }
}

void record_attempt(Context& context, TaskDetail& detail, const Task& task, const TaskError& error,
                    std::int32_t exit_code) {
  if (detail.attempts.size() >= kMaxAttemptRecords) detail.attempts.erase(detail.attempts.begin());
  detail.attempts.push_back({task.attempt, task.agent, task.started_ms, context.now_ms, error, exit_code});
}

void attempt_failed(Context& context, Run& run, std::uint32_t index, TaskError error, std::int32_t exit_code,
                    bool final, bool lost) {
  const orchestration::Task& definition = run.definition_of(run.tasks[index]);
  Task& task = run.tasks.write(index);
  auto detail = task.edit();
  record_attempt(context, *detail, task, error, exit_code);
  detail->error = error;
  task.detail = std::move(detail);
  std::uint32_t tries = 0;
  bool exhausted = final;
  if (lost) {
    tries = ++task.losses;
    exhausted = exhausted || tries >= kMaxLosses;
  } else {
    task.losses = 0;
    tries = ++task.failures;
    exhausted = exhausted || tries >= definition.retry.max_attempts;
  }
  const std::int64_t wait =
      orchestration::backoff_ms(definition.retry, tries + 1, jitter_permille(context, run.id, index));
  if (definition.timeout.schedule_to_close_ms != 0 &&
      context.now_ms + wait >= task.scheduled_ms + definition.timeout.schedule_to_close_ms) {
    exhausted = true;
  }
  if (!exhausted) {
    release_places(context.state, run, task, index, context.freed_keys);
    move(context, run, index, TaskEvent::kBackOff);
    context.state.set_timer(run.id, index, run.tasks.write(index).due_ms, context.now_ms + wait);
    return;
  }
  if (definition.on_failure == orchestration::OnFailure::kPause) {
    release_places(context.state, run, task, index, context.freed_keys);
    return move(context, run, index, TaskEvent::kPause);
  }
  fail_task(context, run, index, std::move(error));
}

void fail_task(Context& context, Run& run, std::uint32_t index, TaskError error) {
  {
    Task& task = run.tasks.write(index);
    auto detail = task.edit();
    detail->error = error;
    task.detail = std::move(detail);
  }
  const std::string key = run.key_of(run.tasks[index]);
  const orchestration::Task& definition = run.definition_of(run.tasks[index]);
  // After a compensation the next one comes: what could not be undone is seen in the end.
  if (definition.on_failure == orchestration::OnFailure::kContinue || definition.compensates)
    return complete(context, run, index, TaskEvent::kFail);
  move(context, run, index, TaskEvent::kFail);
  Task& task = run.tasks.write(index);
  task.finished_ms = context.now_ms;
  task.done_index = context.index.value;
  release_places(context.state, run, task, index, context.freed_keys);
  error.message = "task " + key + ": " + error.message;
  if (definition.on_failure == orchestration::OnFailure::kRollback)
    return begin_rollback(context, run, std::move(error));
  stop_run(context, run, RunState::kFailed, std::move(error));
}

void cancel_open(Context& context, Run& run) {
  context.activate.clear();
  run.merge_queue.clear();
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    if (is_terminal(run.tasks[i].state)) continue;
    end_lease(context, run, i, true);
    move(context, run, i, TaskEvent::kCancel);
    Task& task = run.tasks.write(i);
    task.finished_ms = context.now_ms;
    task.done_index = context.index.value;
    release_places(context.state, run, task, i, context.freed_keys);
  }
}

void stop_run(Context& context, Run& run, RunState state, TaskError error) {
  cancel_open(context, run);
  run.state = state;
  // What began a rollback is why the run has failed.
  if (!run.rollback) run.error = std::move(error);
}

void end_lease(Context& context, Run& run, std::uint32_t index, bool tell) {
  if (!run.tasks[index].fence.valid()) return;
  Task& task = run.tasks.write(index);
  const auto lease = context.state.leases.find(task.fence);
  EZ_CHECK(lease != context.state.leases.end(), "a task names a lease that does not exist");
  task.fence = Fence{};
  if (tell) {
    context.state.cancel_lease(lease->second);
    context.effects.cancelled.push_back(lease->second);
  } else {
    context.effects.ended.push_back(lease->first);
    context.state.remove_lease(lease->first);
  }
}

void queue_merge(Context& context, Run& run, std::uint32_t index) {
  if (run.tasks[index].state != TaskState::kMergeQueued) {
    move(context, run, index, TaskEvent::kQueueMerge);
    if (std::find(run.merge_queue.begin(), run.merge_queue.end(), index) == run.merge_queue.end()) {
      run.merge_queue.push_back(index);
    }
  }
  if (run.merge_queue.front() != index) return;
  run.tasks.write(index).ready_ms = context.now_ms;
  move(context, run, index, TaskEvent::kEnqueueMerge);
  if (run.state != RunState::kPaused) {
    push_ready(context.state, run, index);
    context.effects.ready_grew = true;
  }
}

void leave_merge_queue(Context& context, Run& run, std::uint32_t index) {
  const auto place = std::find(run.merge_queue.begin(), run.merge_queue.end(), index);
  if (place == run.merge_queue.end()) return;
  const bool front = place == run.merge_queue.begin();
  run.merge_queue.erase(place);
  if (front && !run.merge_queue.empty()) queue_merge(context, run, run.merge_queue.front());
}

void settle(Context& context, Run& run) {
  while (true) {
    for (std::size_t i = 0; i < context.activate.size(); ++i) {
      if (is_terminal(run.state)) break;
      const std::uint32_t index = context.activate[i];
      activate(context, run, index);
    }
    context.activate.clear();
    check_budget(context, run);
    if (is_terminal(run.state) || run.open != 0) break;
    if (rolls_back(run)) {
      if (!go_on_rollback(context, run)) break;
      continue;
    }
    end_run(context, run);
  }
  if (!is_terminal(run.state)) return;
  forfeit_allowances(context, run);  // nobody will account for it any more
  run.finished_ms = context.now_ms;
  context.state.set_timer(run.id, kRunTimer, run.deadline_ms, 0);
  context.state.set_timer(run.id, kRunWarnTimer, run.warn_ms, 0);
  leave_run_place(context.state, run, context.freed_keys);
  context.effects.events.push_back(
      {run.id, kNoInstance, static_cast<std::uint8_t>(run.state), 0, context.now_ms});
  if (!run.schedule.empty()) {
    context.ended_scheduled.emplace_back(schedule_key(run.workflow->namespace_name, run.schedule), run.id);
  }
  Cow<Run> over = context.state.remove_run(run.id);
  if (over->lineage) context.family.ends.push_back(over);
  context.effects.finished.push_back(std::move(over));
}

void hand_out_places(Context& context) {
  hand_out_freed(context);
  // One after the other: a place that is cleared is given away before the next one looks for the oldest.
  for (std::size_t i = 0; i < context.clearing.size(); ++i) {
    const auto [run, task] = context.clearing[i];
    clear_place(context, run, task);
    hand_out_freed(context);
  }
  context.clearing.clear();
}

}  // namespace ez::core
