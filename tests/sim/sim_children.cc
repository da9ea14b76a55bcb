// Runs that tasks of other runs start: what the parent got is what the child gave.
#include "world.h"

namespace ez::sim {

void World::check_children(const core::Run& run) {
  if (run.lineage) {
    ended_[run.id] = {run.state, run.outputs};
    ++tally_.children;
  }
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const core::Task& task = run.tasks[i];
    if (!run.definition_of(task).workflow || task.state != core::TaskState::kSucceeded) continue;
    if (run.definition_of(task).for_each && task.instance == core::kNoInstance) continue;
    const auto child = ended_.find(task.get().child);
    if (child == ended_.end() || child->second.first != core::RunState::kSucceeded ||
        child->second.second != task.get().output) {
      broken_ = to_text(run.id) + "/" + run.key_of(task) + " has not got what its child gave";
    }
  }
}

// In peace runs that are paused go on; those for want of money get some, and so do the runs that started
// them.
void World::raise_budgets() {
  std::vector<core::pb::Command> commands;
  kernel_->state().each_run([&](const Cow<core::Run>& run) {
    if (run->state != core::RunState::kPaused) return true;
    if (!run->budget_paused) {
      commands.emplace_back().mutable_control_run()->set_run(run->id.value);
      commands.back().mutable_control_run()->set_action(core::pb::ControlRun::RESUME);
      return true;
    }
    std::vector<RunId> line;
    for (const core::Run* at = &*run; at != nullptr;
         at = at->lineage ? kernel_->state().find_run(at->lineage->parent) : nullptr) {
      line.push_back(at->id);
    }
    for (auto at = line.rbegin(); at != line.rend(); ++at) {
      commands.emplace_back().mutable_adjust_budget()->set_run(at->value);
      commands.back().mutable_adjust_budget()->set_add_microusd(100);
    }
    return true;
  });
  for (core::pb::Command& command : commands)
    kernel_->propose(std::move(command), [](const Result<core::Reply>&) {});
}

}  // namespace ez::sim
