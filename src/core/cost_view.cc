#include "core/view.h"

namespace ez::core {
namespace {

Value number(std::uint64_t value) { return Value(static_cast<std::int64_t>(value)); }

void put_sum(Value& line, const CostSum& sum) {
  line.set("calls", number(sum.calls));
  line.set("failed_calls", number(sum.failed));
  line.set("input_tokens", number(sum.input_tokens));
  line.set("cache_read_tokens", number(sum.cache_read_tokens));
  line.set("cache_write_tokens", number(sum.cache_write_tokens));
  line.set("output_tokens", number(sum.output_tokens));
  line.set("cost_microusd", Value(sum.microusd));
}

Value line_of(const CostKey& key, const CostSum& sum) {
  Value line(Value::Map{{"provider", Value(key.provider)},
                        {"model", Value(key.model)},
                        {"key", Value(key.key)},
                        {"source", Value(to_text(key.source))},
                        {"replayed", Value(key.replayed)}});
  put_sum(line, sum);
  return line;
}

}  // namespace

Value costs_view(const Run& run) {
  Value::List lines;
  CostSum all;
  std::int64_t unsettled = 0;
  if (run.costs) {
    for (const auto& [key, sum] : *run.costs) {
      Value line = line_of(key, sum);
      line.set("task", key.task < run.tasks.size() ? Value(run.key_of(run.tasks[key.task])) : Value());
      line.set("agent", key.agent.empty() ? Value() : Value(key.agent));
      lines.push_back(std::move(line));
      all.add(sum);
      if (key.source == CostSource::kUnsettled) unsettled += sum.microusd;
    }
  }
  Value view(Value::Map{
      {"run", Value(to_text(run.id))},
      {"state", Value(to_text(run.state))},
      {"budget_microusd", run.budget_microusd == 0 ? Value() : Value(run.budget_microusd)},
      {"reserved_microusd", Value(is_terminal(run.state) ? std::int64_t{0} : run.reserved_microusd)},
      {"unsettled_microusd", Value(unsettled)},
      {"items", Value(std::move(lines))}});
  put_sum(view, all);
  return view;
}

Value cost_totals_view(const CostTable& totals, const std::string& name_space) {
  Value::List lines;
  CostSum all;
  for (const auto& [key, sum] : totals) {
    if (!name_space.empty() && key.name_space != name_space) continue;
    Value line = line_of(key, sum);
    line.set("namespace", key.name_space.empty() ? Value() : Value(key.name_space));
    lines.push_back(std::move(line));
    all.add(sum);
  }
  Value view(Value::Map{{"items", Value(std::move(lines))}});
  put_sum(view, all);
  return view;
}

}  // namespace ez::core
