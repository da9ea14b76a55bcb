#include "core/budget.h"

#include <algorithm>

#include "core/rollback.h"

namespace ez::core {
namespace {

// Nothing adds up to more than this, so that sums cannot overflow.
constexpr std::int64_t kMaxCost = INT64_MAX / 4;

bool takes_all(const Run& run, const Task& task) {
  const orchestration::Task& definition = run.definition_of(task);
  return !definition.budget_microusd && (definition.agent.type != "exec" || definition.workflow);
}

// The lease's reserve is free again.
void free_reserve(Context& context, Run& run, const Lease& lease) {
  if (run.budget_microusd == 0 || lease.reserve_microusd <= 0) return;
  EZ_CHECK(run.reserved_microusd >= lease.reserve_microusd, "a reserve was given back that nobody held");
  run.reserved_microusd -= lease.reserve_microusd;
  context.freed_keys.push_back(budget_key(run.id));
}

}  // namespace

void add_cost(Context& context, Run& run, std::int64_t microusd) {
  run.cost_microusd = std::min(kMaxCost, run.cost_microusd + std::min(kMaxCost, microusd));
  warn_of_cost(context, run);
}

bool needs_reserve(const Run& run, const Task& task) {
  if (run.budget_microusd == 0) return false;
  const orchestration::Task& definition = run.definition_of(task);
  if (definition.budget_microusd) return *definition.budget_microusd > 0;
  return definition.agent.type != "exec" || definition.workflow;
}

std::string budget_key(RunId run) { return "b\n" + to_text(run); }

bool reserve_fits(const Run& run, const Task& task) {
  const std::int64_t left = run.budget_microusd - run.cost_microusd - run.reserved_microusd;
  if (takes_all(run, task)) return run.reserved_microusd == 0 && left > 0;
  return *run.definition_of(task).budget_microusd <= left;
}

void take_reserve(Run& run, Task& task) {
  task.reserve_microusd = takes_all(run, task) ? run.budget_microusd - run.cost_microusd
                                               : *run.definition_of(task).budget_microusd;
  run.reserved_microusd += task.reserve_microusd;
}

void drop_reserve(Run& run, Task& task) {
  EZ_CHECK(run.reserved_microusd >= task.reserve_microusd, "a reserve was given back that nobody held");
  run.reserved_microusd -= task.reserve_microusd;
  task.reserve_microusd = 0;
}

std::int64_t move_reserve(const Run& run, Task& task) {
  const std::int64_t reserve = task.reserve_microusd;
  task.reserve_microusd = 0;
  if (run.budget_microusd != 0) return reserve;
  return run.definition_of(task).budget_microusd.value_or(kNoReserve);
}

std::int64_t settle_reserve(Context& context, Run& run, const Lease& lease, std::int64_t spent_microusd) {
  const std::int64_t spent = std::max<std::int64_t>(spent_microusd, 0);
  const std::int64_t counted =
      lease.reserve_microusd == kNoReserve ? spent : std::min(spent, lease.reserve_microusd);
  free_reserve(context, run, lease);
  add_cost(context, run, counted);
  return spent - counted;
}

void forfeit_reserve(Context& context, Run& run, const Lease& lease) {
  if (run.budget_microusd == 0 || lease.reserve_microusd <= 0) return;
  free_reserve(context, run, lease);
  add_cost(context, run, lease.reserve_microusd);
}

void warn_of_cost(Context& context, Run& run) {
  if (run.budget_microusd == 0 || (run.warned & kCostWarned) != 0) return;
  // Both are at most kMaxMoneyMicrousd here, so the products fit.
  if (run.cost_microusd * 1000 < run.budget_microusd * std::int64_t{run.definition().warn_permille}) return;
  run.warned |= kCostWarned;
  context.effects.events.push_back({run.id, kNoInstance, static_cast<std::uint8_t>(run.state), 0,
                                    context.now_ms, RunNotice::kCostWarning});
}

void check_budget(Context& context, Run& run) {
  if (run.budget_microusd == 0 || run.state != RunState::kRunning || run.reserved_microusd != 0) return;
  const auto line = context.state.throttles.find(budget_key(run.id));
  if (line == context.state.throttles.end() || line->second.waiting.empty()) return;
  const Task& first = run.tasks[line->second.waiting.begin()->task];
  if (reserve_fits(run, first)) return;  // hand_out_places() lets it in
  const std::int64_t left = run.budget_microusd - run.cost_microusd;
  const auto& wanted = run.definition_of(first).budget_microusd;
  TaskError error{"BUDGET_EXCEEDED", "task " + run.key_of(first) + " may cost " +
                                         (wanted ? dollars(*wanted) : std::string("something")) +
                                         ", but of " + dollars(run.budget_microusd) + " only " +
                                         dollars(left) + " are left"};
  context.effects.events.push_back({run.id, kNoInstance, static_cast<std::uint8_t>(run.state), 0,
                                    context.now_ms, RunNotice::kBudgetExceeded});
  if (run.definition().when_exceeded == orchestration::WhenExceeded::kFail) {
    return fail_run(context, run, std::move(error));
  }
  pause_run(context, run);
  run.budget_paused = true;
  run.error = std::move(error);
  context.effects.events.push_back(
      {run.id, kNoInstance, static_cast<std::uint8_t>(run.state), 0, context.now_ms});
}

std::string dollars(std::int64_t microusd) {
  std::string cents = std::to_string(microusd % 1'000'000);
  cents.insert(0, 6 - cents.size(), '0');
  while (cents.size() > 2 && cents.back() == '0') cents.pop_back();
  return "$" + std::to_string(microusd / 1'000'000) + "." + cents;
}

}  // namespace ez::core
