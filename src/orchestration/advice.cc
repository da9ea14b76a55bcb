#include "orchestration/advice.h"

#include <algorithm>

#include "orchestration/dag.h"

namespace ez::orchestration {
namespace {

// Sets aside all that is left of the run's budget while it works; core/budget.cc has the rule.
bool takes_all(const Task& task) {
  return !task.compensates && !task.budget_microusd && (task.workflow || task.agent.type != "exec");
}

// Two tasks that nothing puts into an order, or one of which several work at once; by index, the same twice
// for the latter. Empty: they follow each other anyway.
std::vector<std::uint32_t> side_by_side(const Workflow& workflow) {
  std::vector<std::uint32_t> takers;
  for (const std::uint32_t index : topological_order(workflow.tasks)) {
    const Task& task = workflow.tasks[index];
    if (!takes_all(task)) continue;
    if (task.for_each && task.max_parallel != 1) return {index, index};
    takers.push_back(index);
  }
  // They are one chain when each is upstream of the next.
  std::vector<std::pair<std::uint32_t, std::uint32_t>> questions;
  for (std::size_t i = 1; i < takers.size(); ++i) questions.emplace_back(takers[i], takers[i - 1]);
  const std::vector<bool> answers = are_upstream(workflow.tasks, questions);
  const auto gap = std::find(answers.begin(), answers.end(), false);
  if (gap == answers.end()) return {};
  const auto at = static_cast<std::size_t>(gap - answers.begin());
  return {takers[at], takers[at + 1]};
}

}  // namespace

std::vector<Advice> advice_on(const Workflow& workflow) {
  std::vector<Advice> out;
  const bool has_parts = std::any_of(workflow.tasks.begin(), workflow.tasks.end(),
                                     [](const Task& task) { return task.budget_microusd.has_value(); });
  if (workflow.budget_microusd == 0 || has_parts) return out;
  const std::vector<std::uint32_t> pair = side_by_side(workflow);
  if (pair.empty()) return out;
  const std::string first = "`" + workflow.tasks[pair[0]].id + "`";
  const std::string who =
      pair[0] == pair[1] ? "the items of " + first
                         : first + " and `" + workflow.tasks[pair[1]].id + "` could work side by side and";
  out.push_back({"the run has a budget and no task has one: " + who +
                     " will work one at a time, because each sets aside all that is left",
                 "Give each task a part, for example `budget: {cost_usd: 2}`."});
  return out;
}

}  // namespace ez::orchestration
