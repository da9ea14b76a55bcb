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

// A line of what it was for: who worked on which task.
CostKey cost_key(const State& state, const Lease& lease, CostSource source) {
  CostKey key;
  key.task = lease.task;
  if (const auto agent = state.agents.find(lease.agent); agent != state.agents.end())
    key.agent = agent->second.name;
  key.source = source;
  return key;
}

void add_cost(Context& context, Run& run, CostKey key, CostSum sum) {
  sum.microusd = std::clamp<std::int64_t>(sum.microusd, 0, kMaxCost - run.cost_microusd);
  run.cost_microusd += sum.microusd;
  if (!run.costs) run.costs = Cow<CostTable>(CostTable());
  // What a child cost is in the totals already, by its own lines.
  if (key.source != CostSource::kChild) {
    CostKey total = key;
    total.task = kNoTask;
    total.agent.clear();
    total.name_space = run.workflow->namespace_name;
    add_cost_line(context.state.cost_totals, kMaxCostTotals, std::move(total), sum);
  }
  add_cost_line(run.costs.write(), kMaxRunCosts, std::move(key), sum);
  if (sum.microusd > 0) warn_of_cost(context, run);
}

void set_open(State& state, Lease& lease, std::int64_t microusd) {
  if (lease.open_microusd == 0 && microusd > 0) state.open_allowances.insert({lease.run, lease.fence});
  if (lease.open_microusd > 0 && microusd == 0) state.open_allowances.erase({lease.run, lease.fence});
  lease.open_microusd = microusd;
}

// So much of the lease's reserve is spent.
void spend_reserve(Context& context, Run& run, Lease& lease, std::int64_t microusd) {
  if (lease.reserve_microusd == kNoReserve) return;
  EZ_CHECK(lease.reserve_microusd >= microusd, "more was spent than was set aside");
  lease.reserve_microusd -= microusd;
  if (run.budget_microusd == 0) return;
  EZ_CHECK(run.reserved_microusd >= microusd, "a reserve was spent that nobody held");
  run.reserved_microusd -= microusd;
  // A task that takes all that is left goes once nothing is set aside any more.
  if (microusd > 0 && run.reserved_microusd == 0) context.freed_keys.push_back(budget_key(run.id));
}

// The lease's reserve is free again.
void free_reserve(Context& context, Run& run, const Lease& lease) {
  if (run.budget_microusd == 0 || lease.reserve_microusd <= 0) return;
  EZ_CHECK(run.reserved_microusd >= lease.reserve_microusd, "a reserve was given back that nobody held");
  run.reserved_microusd -= lease.reserve_microusd;
  context.freed_keys.push_back(budget_key(run.id));
}

// What could be lent to the lease of a merge.
std::int64_t lendable(const Run& run, const Lease& lease) {
  const auto& resolver = run.definition_of(run.tasks[lease.task]).resolver;
  if (!lease.merge || !resolver || run.budget_microusd == 0) return 0;
  const std::int64_t free = run.budget_microusd - run.cost_microusd - run.reserved_microusd;
  const std::int64_t cap = resolver->budget_microusd.value_or(kMaxCost) - lease.lent_microusd;
  return std::max<std::int64_t>(std::min(free, cap), 0);
}

}  // namespace

std::int64_t may_cost(const Run& run, const Lease& lease) {
  if (lease.reserve_microusd == kNoReserve) return kNoReserve;
  return lease.reserve_microusd + lendable(run, lease);
}

void add_child_cost(Context& context, Run& run, std::uint32_t task, RunId child, std::int64_t microusd) {
  if (microusd <= 0) return;
  CostKey key;
  key.task = task;
  key.model = to_text(child);
  key.source = CostSource::kChild;
  CostSum sum;
  sum.microusd = microusd;
  add_cost(context, run, std::move(key), sum);
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
  if (takes_all(run, task)) {
    // But for what the resolvers of merges meanwhile may need.
    const std::int64_t left = run.budget_microusd - run.cost_microusd;
    const std::int64_t kept = run.definition().resolver_microusd;
    task.reserve_microusd = left > kept ? left - kept : left;
  } else {
    task.reserve_microusd = *run.definition_of(task).budget_microusd;
  }
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

std::int64_t draw_allowance(State& state, Run& run, Lease& lease, std::int64_t need, std::int64_t want) {
  const std::int64_t missing = std::max(need, want) + lease.open_microusd - lease.reserve_microusd;
  const std::int64_t lent = std::min(missing, lendable(run, lease));
  if (need > 0 && lent > 0 && lease.reserve_microusd + lent - lease.open_microusd >= need) {
    lease.reserve_microusd += lent;
    lease.lent_microusd += lent;
    run.reserved_microusd += lent;
  }
  const std::int64_t limit = lease.reserve_microusd == kNoReserve ? kMaxCost : lease.reserve_microusd;
  const std::int64_t drawn = std::min(std::max(need, want), limit - lease.open_microusd);
  if (need <= 0 || drawn < need) return 0;
  set_open(state, lease, lease.open_microusd + drawn);
  lease.metered = true;
  return drawn;
}

void meter_usage(Context& context, Run& run, Lease& lease, CostKey key, CostSum sum) {
  sum.microusd = std::clamp<std::int64_t>(sum.microusd, 0, lease.open_microusd);
  set_open(context.state, lease, lease.open_microusd - sum.microusd);
  spend_reserve(context, run, lease, sum.microusd);
  lease.metered = true;
  const CostKey place = cost_key(context.state, lease, CostSource::kGateway);
  key.task = place.task;
  key.agent = place.agent;
  key.source = CostSource::kGateway;
  add_cost(context, run, std::move(key), sum);
}

void return_allowance(State& state, Lease& lease, std::int64_t microusd) {
  set_open(state, lease, lease.open_microusd - std::clamp<std::int64_t>(microusd, 0, lease.open_microusd));
}

void forfeit_allowance(Context& context, Run& run, Lease& lease) {
  const std::int64_t open = lease.open_microusd;
  if (open == 0) return;
  set_open(context.state, lease, 0);
  spend_reserve(context, run, lease, open);
  CostSum sum;
  sum.microusd = open;
  add_cost(context, run, cost_key(context.state, lease, CostSource::kUnsettled), sum);
}

void forfeit_allowances(Context& context, Run& run) {
  auto& open = context.state.open_allowances;
  for (auto at = open.lower_bound({run.id, Fence{}}); at != open.end() && at->first == run.id;
       at = open.lower_bound({run.id, Fence{}})) {
    forfeit_allowance(context, run, context.state.leases.at(at->second));
  }
}

std::int64_t settle_reserve(Context& context, Run& run, Lease lease, std::int64_t spent_microusd) {
  forfeit_allowance(context, run, lease);
  const std::int64_t spent = lease.metered ? 0 : std::max<std::int64_t>(spent_microusd, 0);
  const std::int64_t counted =
      lease.reserve_microusd == kNoReserve ? spent : std::min(spent, lease.reserve_microusd);
  free_reserve(context, run, lease);
  if (counted > 0) {
    CostSum sum;
    sum.microusd = counted;
    add_cost(context, run, cost_key(context.state, lease, CostSource::kAgent), sum);
  }
  return spent - counted;
}

void forfeit_reserve(Context& context, Run& run, Lease lease) {
  forfeit_allowance(context, run, lease);
  if (run.budget_microusd == 0 || lease.reserve_microusd <= 0) return;
  free_reserve(context, run, lease);
  if (lease.metered) return;  // what it spent is known
  CostSum sum;
  sum.microusd = lease.reserve_microusd;
  add_cost(context, run, cost_key(context.state, lease, CostSource::kUnsettled), sum);
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
