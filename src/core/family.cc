#include "core/family.h"

#include <algorithm>

#include "core/budget.h"
#include "core/ready.h"
#include "core/start.h"
#include "core/variables.h"
#include "orchestration/text.h"

namespace ez::core {
namespace {

const Run* parent_of(const State& state, const Run& run) {
  return run.lineage ? state.find_run(run.lineage->parent) : nullptr;
}

Result<Value> inputs_of(const Run& parent, const Task& task) {
  Value::Map map;
  for (const auto& [name, text] : parent.definition_of(task).workflow->inputs) {
    auto value = evaluate(parent, &task, text);
    if (!value.ok()) return value.error().in("workflow.inputs." + name);
    map.emplace_back(name, std::move(value).value());
  }
  return Value(std::move(map));
}

Status check_lineage(const State& state, const Run& parent, const Run& child) {
  std::string path = child.definition().name;
  bool circle = false;
  for (const Run* above = &parent; above != nullptr; above = parent_of(state, *above)) {
    path = above->definition().name + " → " + path;
    circle = circle || above->definition().name == child.definition().name;
  }
  if (circle) {
    return Error(Code::SubWorkflowTooDeep, "a workflow may not start itself, nor through others: " + path);
  }
  if (child.lineage->depth <= kMaxDepth) return {};
  return Error(Code::SubWorkflowTooDeep,
               "workflows start one another at most " + std::to_string(kMaxDepth) + " deep: " + path);
}

// A whole tree of runs stands in a line for one place only: who holds one already does not wait for a second,
// since two such trees could wait for each other for ever. A key that the tree holds already is free to it.
Status admit_child(const State& state, const Run& parent, Run& child) {
  const auto& concurrency = child.definition().concurrency;
  if (!concurrency) return {};
  auto key = render(child, nullptr, concurrency->key, Template::Quoting::kPlain);
  if (!key.ok()) return key.error().in("concurrency.key");
  if (key->empty()) key = std::string("-");
  bool holds = false;
  for (const Run* above = &parent; above != nullptr; above = parent_of(state, *above)) {
    if (above->concurrency_key == *key) return {};
    holds = holds || !above->concurrency_key.empty();
  }
  child.concurrency_key = std::move(key).value();
  child.admitted = false;
  if (has_run_room(state, child)) return {};
  if (!holds && concurrency->when_full != orchestration::WhenFull::kReject) return {};
  return Error(Code::ConcurrencyFull,
               "no place is free under the concurrency key " + child.concurrency_key + " of the workflow");
}

std::int64_t smaller_limit(std::int64_t a, std::int64_t b) {  // 0: no limit
  return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b);
}

Status prepare_child(Context& context, const Run& parent, std::uint32_t index, Run& child) {
  const Task& task = parent.tasks[index];
  const orchestration::Task& definition = parent.definition_of(task);
  EZ_ASSIGN(const Value inputs, inputs_of(parent, task));
  Lineage lineage{parent.id, parent.key_of(task), parent.lineage ? parent.lineage->depth + 1 : 1};
  child.lineage = std::make_shared<const Lineage>(std::move(lineage));
  EZ_TRY(prepare_run(
      context, {parent.workflow->namespace_name, definition.workflow->name, definition.workflow->version},
      inputs, child));
  EZ_TRY(check_lineage(context.state, parent, child));
  child.priority = definition.priority.value_or(parent.priority);
  child.principal = parent.principal;
  const std::int64_t limit =
      parent.budget_microusd != 0 ? task.reserve_microusd : definition.budget_microusd.value_or(0);
  child.budget_microusd = smaller_limit(child.budget_microusd, limit);
  return admit_child(context.state, parent, child);
}

bool is_final(Code code) {
  return code != Code::Overloaded && code != Code::ConcurrencyFull && code != Code::WorkflowNotFound;
}

void start_child(Context& context, RunId parent_id, std::uint32_t index) {
  Run* parent = context.state.write_run(parent_id);
  if (parent == nullptr || parent->tasks[index].state != TaskState::kChild) return;
  if (parent->tasks[index].get().child.valid()) return;
  if (++context.family.started > kMaxChildStarts) {
    release_places(context.state, *parent, parent->tasks.write(index), index, context.freed_keys);
    move(context, *parent, index, TaskEvent::kBackOff);
    context.state.set_timer(parent_id, index, parent->tasks.write(index).due_ms, context.now_ms + 1'000);
    return;
  }
  Run draft;
  if (const Status status = prepare_child(context, *parent, index, draft); !status.ok()) {
    const Error& error = status.error();
    attempt_failed(context, *parent, index, {std::string(error.name()), error.message()}, 0,
                   is_final(error.code()), false);
    return settle(context, *parent);
  }
  const RunId id = draft.id;
  {
    Task& task = parent->tasks.write(index);
    auto detail = task.edit();
    detail->child = id;
    task.detail = std::move(detail);
    // What the child may not spend is free for others.
    if (parent->budget_microusd != 0 && draft.budget_microusd < task.reserve_microusd) {
      parent->reserved_microusd -= task.reserve_microusd - draft.budget_microusd;
      task.reserve_microusd = draft.budget_microusd;
      context.freed_keys.push_back(budget_key(parent_id));
    }
  }
  const std::int64_t own = draft.definition().deadline_ms;
  const std::int64_t deadline = smaller_limit(own == 0 ? 0 : context.now_ms + own, parent->deadline_ms);
  const bool paused = parent->state == RunState::kPaused;
  launch_run(context, std::move(draft), deadline);
  if (paused) context.family.pauses.emplace_back(id, true);
}

void stop_child(Context& context, RunId id, RunId parent) {
  Run* child = context.state.write_run(id);
  if (child == nullptr) return;
  stop_run(context, *child, RunState::kCancelled,
           {"TASK_CANCELLED",
            "cancelled because " + to_text(parent) + ", which started it, ended or waits for it no more"});
  settle(context, *child);
}

void pause_child(Context& context, RunId id, bool pause) {
  Run* child = context.state.write_run(id);
  if (child == nullptr) return;
  if (pause) {
    if (child->state == RunState::kPaused) return;
    pause_run(context, *child);
    child->paused_by_parent = true;
  } else {
    if (child->state != RunState::kPaused || !child->paused_by_parent) return;
    resume_run(context, *child);
  }
  if (!is_terminal(child->state)) {
    context.effects.events.push_back(
        {id, kNoInstance, static_cast<std::uint8_t>(child->state), 0, context.now_ms});
  }
  settle(context, *child);
}

void take_back(Context& context, const Run& child) {
  Run* parent = context.state.write_run(child.lineage->parent);
  if (parent == nullptr) return;
  const std::uint32_t index = parent->find(child.lineage->task);
  if (index == UINT32_MAX || parent->tasks[index].state != TaskState::kChild) return;
  if (parent->tasks[index].get().child != child.id) return;
  // Leases that are still out may have spent all that was set aside for them.
  add_child_cost(context, *parent, index, child.id, child.cost_microusd + child.reserved_microusd);
  const std::string name = to_text(child.id) + " (" + child.definition().name + ")";
  if (child.state == RunState::kSucceeded) {
    Task& task = parent->tasks.write(index);
    auto detail = task.edit();
    detail->output = child.outputs;
    detail->error = {};
    task.detail = std::move(detail);
    complete(context, *parent, index, TaskEvent::kSucceed);
  } else if (child.state == RunState::kCancelled) {
    attempt_failed(context, *parent, index, {"TASK_CANCELLED", name + ": " + child.error.message}, 0, true,
                   false);
  } else {
    attempt_failed(context, *parent, index, {child.error.code, name + " failed: " + child.error.message}, 0,
                   false, false);
  }
  settle(context, *parent);
}

void set_child_timer(Context& context, Run& run, std::uint32_t index) {
  const orchestration::Timeouts& timeout = run.definition_of(run.tasks[index]).timeout;
  Task& task = run.tasks.write(index);
  const std::int64_t due =
      smaller_limit(timeout.start_to_close_ms == 0 ? 0 : context.now_ms + timeout.start_to_close_ms,
                    timeout.schedule_to_close_ms == 0 ? 0 : task.scheduled_ms + timeout.schedule_to_close_ms);
  if (due != 0) context.state.set_timer(run.id, index, task.due_ms, due);
}

}  // namespace

void await_child(Context& context, Run& run, std::uint32_t index) {
  {
    Task& task = run.tasks.write(index);
    ++task.attempt;
    task.paid = false;
    task.started_ms = context.now_ms;
    auto detail = task.edit();
    detail->child = RunId{};
    task.detail = std::move(detail);
  }
  move(context, run, index, TaskEvent::kAwaitChild);
  set_child_timer(context, run, index);
  context.family.starts.emplace_back(run.id, index);
}

void leave_child(Context& context, Run& run, std::uint32_t index) {
  const RunId id = run.tasks[index].get().child;
  Run* child = id.valid() ? context.state.write_run(id) : nullptr;
  if (child == nullptr) return;
  forfeit_allowances(context, *child);  // nobody will say any more what its calls of models cost
  add_child_cost(context, run, index, id, child->cost_microusd + child->reserved_microusd);
  context.family.stops.emplace_back(id, run.id);
}

void fire_child(Context& context, Run& run, std::uint32_t index) {
  if (run.state == RunState::kPaused) return;  // resume_child_timers() sets it anew
  const orchestration::Timeouts& timeout = run.definition_of(run.tasks[index]).timeout;
  const bool closed = timeout.schedule_to_close_ms != 0 &&
                      context.now_ms >= run.tasks[index].scheduled_ms + timeout.schedule_to_close_ms;
  attempt_failed(context, run, index,
                 {"TASK_TIMEOUT", std::string(closed ? "schedule_to_close" : "start_to_close") + " of " +
                                      orchestration::format_duration_ms(closed ? timeout.schedule_to_close_ms
                                                                               : timeout.start_to_close_ms) +
                                      " passed"},
                 0, closed, false);
}

void pause_children(Context& context, const Run& run, bool pause) {
  if (run.counts[static_cast<int>(TaskState::kChild)] == 0) return;
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const Task& task = run.tasks[i];
    if (task.state == TaskState::kChild && task.get().child.valid())
      context.family.pauses.emplace_back(task.get().child, pause);
  }
}

void resume_child_timers(Context& context, Run& run) {
  if (run.counts[static_cast<int>(TaskState::kChild)] == 0) return;
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    if (run.tasks[i].state == TaskState::kChild && run.tasks[i].due_ms == 0) set_child_timer(context, run, i);
  }
}

void settle_families(Context& context) {
  hand_out_places(context);
  while (!context.family.empty()) {
    FamilyWork work;
    work.started = context.family.started;
    std::swap(work, context.family);
    for (const auto& [child, parent] : work.stops) stop_child(context, child, parent);
    for (const Cow<Run>& child : work.ends) take_back(context, *child);
    for (const auto& [child, pause] : work.pauses) pause_child(context, child, pause);
    hand_out_places(context);
    for (const auto& [parent, index] : work.starts) {
      start_child(context, parent, index);
      hand_out_places(context);
    }
  }
}

}  // namespace ez::core
