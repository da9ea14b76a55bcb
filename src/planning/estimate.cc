#include "planning/estimate.h"

#include <algorithm>

#include "base/check.h"
#include "base/json.h"
#include "planning/texts.h"

namespace ez::planning {
namespace {

using orchestration::Task;

// usual.json.
const Value& usual_effort() {
  static const Value value = [] {
    auto parsed = parse_json(usual_effort_text());
    EZ_CHECK(parsed.ok(), "usual.json is no JSON");
    return *parsed;
  }();
  return value;
}

std::int64_t percent(std::int64_t of, std::int64_t by) { return of / 100 * by + of % 100 * by / 100; }

const Value& member(const Value& of, std::string_view key) {
  static const Value none;
  const Value* found = of.find(key);
  return found == nullptr ? none : *found;
}

void price_task(TaskEstimate& out, const orchestration::AgentType& type, const models::PriceTable& prices) {
  const Value& size = member(member(usual_effort(), "sizes"), out.size);
  const Value& factor = member(member(usual_effort(), "types"), out.agent);
  const std::int64_t tokens_percent = factor.int_or("tokens_percent", 100);
  models::Usage usage;
  usage.input_tokens = percent(size.int_or("input_tokens", 0), tokens_percent);
  usage.cache_read_tokens = percent(size.int_or("cached_tokens", 0), tokens_percent);
  usage.output_tokens = percent(size.int_or("output_tokens", 0), tokens_percent);
  out.tokens = (usage.input_tokens + usage.cache_read_tokens + usage.output_tokens) * out.instances;
  out.minutes =
      std::max<std::int64_t>(1, percent(size.int_or("minutes", 0), factor.int_or("minutes_percent", 100)));
  out.model = type.models.empty() ? "" : type.models.front();
  const Result<models::Price> price = prices.find("", out.model);
  out.priced = price.ok();
  if (price.ok()) {
    models::Price one_call = *price;
    one_call.long_above = 0;  // the tokens are those of many calls
    out.cost_microusd = models::cost_microusd(one_call, usage) * out.instances;
  }
}

TaskEstimate estimate_task(const Task& task, const Plan& plan,
                           const std::vector<orchestration::AgentType>& types,
                           const models::PriceTable& prices) {
  TaskEstimate out;
  out.task = task.id;
  if (task.for_each) out.instances = usual_effort().int_or("for_each_items", 1);
  if (!task.needs_agent()) {
    out.agent = task.approval ? "person" : task.wait ? "wait" : "-";
    if (task.wait) out.minutes = task.wait->for_ms / 60'000;
    return out;
  }
  out.agent = task.agent.type;
  const auto type = std::find_if(types.begin(), types.end(), [&](const orchestration::AgentType& one) {
    return one.name == task.agent.type;
  });
  if (type == types.end()) {
    out.minutes = usual_effort().int_or("command_minutes", 1);
    return out;
  }
  const auto size = plan.sizes.find(task.id);
  out.size = to_text(size == plan.sizes.end() ? Size::kMedium : size->second);
  price_task(out, *type, prices);
  return out;
}

// The end of each task when nothing waits for an agent, and from which dependency it came. Kahn's order: a
// workflow has no cycle.
void find_longest_path(const orchestration::Workflow& workflow, Estimate& out) {
  const std::size_t count = workflow.tasks.size();
  std::vector<std::int64_t> end(count, 0);
  std::vector<std::size_t> from(count, SIZE_MAX);
  std::vector<std::size_t> missing(count, 0);
  std::vector<std::size_t> ready;
  for (std::size_t i = 0; i < count; ++i) {
    missing[i] = workflow.tasks[i].dependencies.size();
    if (missing[i] == 0) ready.push_back(i);
  }
  std::size_t last = SIZE_MAX;
  for (std::size_t next = 0; next < ready.size(); ++next) {
    const std::size_t at = ready[next];
    end[at] += out.tasks[at].minutes;
    if (last == SIZE_MAX || end[at] > end[last]) last = at;
    for (const std::uint32_t dependent : workflow.tasks[at].dependents) {
      if (end[at] > end[dependent] || from[dependent] == SIZE_MAX) {
        end[dependent] = std::max(end[dependent], end[at]);
        from[dependent] = at;
      }
      if (--missing[dependent] == 0) ready.push_back(dependent);
    }
  }
  if (last == SIZE_MAX) return;
  out.minutes = end[last];
  for (std::size_t at = last; at != SIZE_MAX; at = from[at]) out.path.push_back(workflow.tasks[at].id);
  std::reverse(out.path.begin(), out.path.end());
}

}  // namespace

Estimate estimate_plan(const Plan& plan, const std::vector<orchestration::AgentType>& types,
                       const models::PriceTable& prices) {
  Estimate out;
  out.prices_dated = prices.dated();
  for (const Task& task : plan.workflow->tasks) {
    TaskEstimate one = estimate_task(task, plan, types, prices);
    out.cost_microusd += one.cost_microusd;
    out.minutes_alone += one.minutes * one.instances;
    out.people += one.agent == "person" ? 1 : 0;
    out.guessed_lists += task.for_each ? 1 : 0;
    if (!one.priced && std::find(out.unpriced.begin(), out.unpriced.end(), one.model) == out.unpriced.end())
      out.unpriced.push_back(one.model);
    out.tasks.push_back(std::move(one));
  }
  out.cost_low_microusd = percent(out.cost_microusd, usual_effort().int_or("low_percent", 100));
  out.cost_high_microusd = percent(out.cost_microusd, usual_effort().int_or("high_percent", 100));
  find_longest_path(*plan.workflow, out);
  return out;
}

}  // namespace ez::planning
