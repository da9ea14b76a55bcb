#include <algorithm>

#include "core/budget.h"
#include "core/commands/command.h"

namespace ez::core {
namespace {

// What the resolver of a merge may cost in a run without a budget.
std::int64_t resolver_budget(const orchestration::Task& definition) {
  return definition.resolver ? definition.resolver->budget_microusd.value_or(kNoReserve) : kNoReserve;
}

// The ability class of a task that the agent may take now.
std::optional<ClassId> takeable(const State& state, const Agent& agent, const Run& run, std::uint32_t index) {
  if (run.state != RunState::kRunning || index >= run.tasks.size()) return std::nullopt;
  const Task& task = run.tasks[index];
  ClassId ability = 0;
  if (task.state == TaskState::kReady) {
    ability = run.workflow->classes[task.definition];
  } else if (task.state == TaskState::kMergeReady) {
    const auto merge = state.class_ids.find("merge");
    if (merge == state.class_ids.end()) return std::nullopt;
    ability = merge->second;
  } else {
    return std::nullopt;
  }
  const Namespace& owner = state.namespaces[run.workflow->name_space];
  if (owner.is_full() || owner.paused || state.queues[run.workflow->queue].paused ||
      state.agent_types[state.classes[ability].agents].paused) {
    return std::nullopt;
  }
  if (!std::binary_search(agent.serves.begin(), agent.serves.end(), ability)) return std::nullopt;
  return ability;
}

}  // namespace

void apply_assign(Context& context, const pb::Assign& command) {
  State& state = context.state;
  Reply& reply = context.effects.reply;
  const auto found = state.agents.find(AgentId{command.agent()});
  if (found == state.agents.end()) {
    reply.error = Error(Code::AgentNotFound, "no agent " + to_text(AgentId{command.agent()}));
    return;
  }
  const Agent& agent = found->second;
  reply.agent = agent.id;
  for (const pb::Assign::Item& item : command.items()) {
    if (agent.running >= agent.capacity) break;
    const RunId id{item.run()};
    const Run* seen = state.find_run(id);
    if (seen == nullptr) continue;
    const std::optional<ClassId> ability = takeable(state, agent, *seen, item.task());
    if (!ability) continue;
    Run& run = *state.write_run(id);
    const std::uint32_t index = item.task();
    const orchestration::Task& definition = run.definition_of(run.tasks[index]);
    const bool merge = run.tasks[index].state == TaskState::kMergeReady;
    if (!merge) ++run.tasks.write(index).attempt;
    move(context, run, index, merge ? TaskEvent::kLeaseMerge : TaskEvent::kLease);
    if (!merge) run.tasks.write(index).paid = false;
    charge_share(state, *ability, run.workflow->name_space);
    Task& task = run.tasks.write(index);
    task.fence = Fence{state.next_fence++};
    task.agent = agent.id;
    if (!merge) task.started_ms = context.now_ms;
    std::int64_t due = 0;
    if (const std::int64_t limit = definition.lease_ms(merge); limit != 0) due = context.now_ms + limit;
    if (definition.timeout.schedule_to_close_ms != 0) {
      const std::int64_t close = task.scheduled_ms + definition.timeout.schedule_to_close_ms;
      due = due == 0 ? close : std::min(due, close);
    }
    if (due != 0) state.set_timer(run.id, index, task.due_ms, due);
    Lease lease{task.fence,
                run.id,
                index,
                task.attempt,
                agent.id,
                merge,
                false,
                context.now_ms,
                definition.timeout.heartbeat_ms,
                run.key_of(task),
                merge ? std::int64_t{0} : move_reserve(run, task)};
    if (merge && run.budget_microusd == 0) lease.reserve_microusd = resolver_budget(definition);
    task.held &= static_cast<std::uint8_t>(~kBudgetBit);
    reply.granted.push_back(lease);
    state.add_lease(std::move(lease));
  }
}

}  // namespace ez::core
