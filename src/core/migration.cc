#include "core/migration.h"

#include <algorithm>

#include "orchestration/parse.h"

namespace ez::core {
namespace {

using Definition = orchestration::Task;

std::string source_of(const std::optional<Template>& text) { return text ? text->source() : std::string(); }
std::string source_of(const std::optional<Expression>& text) { return text ? text->source() : std::string(); }

std::vector<std::pair<std::string, std::string>> environment(const Definition& task) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [name, value] : task.env) out.emplace_back(name, value.source());
  return out;
}

bool same(const std::optional<orchestration::Concurrency>& a,
          const std::optional<orchestration::Concurrency>& b) {
  if (!a || !b) return a.has_value() == b.has_value();
  return a->key.source() == b->key.source() && a->limit == b->limit;
}

bool same(const std::optional<orchestration::Rate>& a, const std::optional<orchestration::Rate>& b) {
  if (!a || !b) return a.has_value() == b.has_value();
  return a->key.source() == b->key.source() && a->limit == b->limit && a->per_ms == b->per_ms;
}

bool same(const std::optional<orchestration::Wait>& a, const std::optional<orchestration::Wait>& b) {
  if (!a || !b) return a.has_value() == b.has_value();
  return a->for_ms == b->for_ms && source_of(a->until) == source_of(b->until) && a->signal == b->signal &&
         a->timeout_ms == b->timeout_ms;
}

bool same(const std::optional<orchestration::SubWorkflow>& a,
          const std::optional<orchestration::SubWorkflow>& b) {
  if (!a || !b) return a.has_value() == b.has_value();
  return a->name == b->name && a->version == b->version &&
         std::equal(a->inputs.begin(), a->inputs.end(), b->inputs.begin(), b->inputs.end(),
                    [](const auto& x, const auto& y) {
                      return x.first == y.first && x.second.source() == y.second.source();
                    });
}

// What is different about the work of a task that has begun; empty: nothing that matters.
std::string difference(const Definition& a, const Definition& b) {
  if (source_of(a.run) != source_of(b.run)) return "run";
  if (source_of(a.prompt) != source_of(b.prompt)) return "prompt";
  if (source_of(a.for_each) != source_of(b.for_each) || a.max_parallel != b.max_parallel) return "for_each";
  if (environment(a) != environment(b)) return "env";
  if (a.agent.type != b.agent.type || a.agent.capabilities != b.agent.capabilities) return "agent";
  if (source_of(a.verify) != source_of(b.verify)) return "verify";
  if (a.workspace != b.workspace || a.artifacts != b.artifacts) return "workspace";
  if (!same(a.concurrency, b.concurrency)) return "concurrency";
  if (!same(a.rate, b.rate)) return "rate";
  if (a.budget_microusd != b.budget_microusd) return "budget";
  if (!same(a.wait, b.wait)) return "wait";
  if (!same(a.workflow, b.workflow)) return "workflow";
  if (a.approval.has_value() != b.approval.has_value() ||
      (a.approval && a.approval->role != b.approval->role))
    return "approval";
  if (a.compensates.has_value() != b.compensates.has_value()) return "compensate";
  return "";
}

// Whether a task that has not begun is another one in the new version, for the preview.
bool is_changed(const orchestration::Workflow& a, const Definition& x, const orchestration::Workflow& b,
                const Definition& y) {
  if (!difference(x, y).empty() || source_of(x.when) != source_of(y.when) || x.on_failure != y.on_failure)
    return true;
  const auto names = [](const orchestration::Workflow& of, const Definition& task) {
    std::vector<std::string> out;
    for (const std::uint32_t dependency : task.dependencies) out.push_back(of.tasks[dependency].id);
    return out;
  };
  return names(a, x) != names(b, y);
}

bool has_begun(const Run& run, std::uint32_t index) {
  const Task& task = run.tasks[index];
  return task.state != TaskState::kWaiting && !run.definition().tasks[index].compensates;
}

Error refused(const Run& run, const WorkflowVersion& to, const std::string& why) {
  return Error(Code::MigrationRefused,
               to_text(run.id) + " cannot move to version " + std::to_string(to.version) + ": " + why);
}

Status check_run(const Run& run, const WorkflowVersion& to) {
  const auto& a = run.definition();
  const auto& b = *to.definition;
  if (!same(a.concurrency, b.concurrency)) return refused(run, to, "it has another concurrency key or limit");
  if (source_of(a.repository) != source_of(b.repository) || source_of(a.branch) != source_of(b.branch) ||
      source_of(a.base) != source_of(b.base)) {
    return refused(run, to, "it works in another repository or on another branch");
  }
  return {};
}

Result<Value> bind(const Run& run, const WorkflowVersion& to) {
  Value given(Value::Map{});
  for (const orchestration::Input& input : to.definition->inputs) {
    if (const Value* value = run.inputs.find(input.name)) given.set(input.name, *value);
  }
  auto bound = orchestration::bind_inputs(*to.definition, given);
  if (!bound.ok()) return refused(run, to, bound.error().message());
  return bound;
}

}  // namespace

Result<MigrationPlan> plan_migration(const State& state, const Run& run, std::uint32_t to_version) {
  const WorkflowVersion& from = *run.workflow;
  MigrationPlan plan;
  plan.to = state.find_workflow(from.namespace_name, from.definition->name, to_version);
  if (!plan.to) {
    return Error(Code::WorkflowNotFound,
                 "no version " + std::to_string(to_version) + " of workflow " + from.definition->name);
  }
  if (plan.to->version == from.version) {
    return Error(Code::WrongState,
                 to_text(run.id) + " has version " + std::to_string(from.version) + " already");
  }
  if (run.rollback) return Error(Code::WrongState, to_text(run.id) + " is being rolled back");
  EZ_TRY(check_run(run, *plan.to));
  EZ_ASSIGN(plan.inputs, bind(run, *plan.to));
  const auto& a = *from.definition;
  const auto& b = *plan.to->definition;
  const auto begun_in_new = [&](std::uint32_t index) {
    const auto old = a.find_task(b.tasks[index].id);
    return old && has_begun(run, *old);
  };
  for (std::uint32_t i = 0; i < a.tasks.size(); ++i) {
    const std::string& id = a.tasks[i].id;
    const auto found = b.find_task(id);
    if (!has_begun(run, i)) {
      if (!found) plan.removed.push_back(id);
      continue;
    }
    const std::string what = "task " + id + " has begun, and ";
    if (!found) return refused(run, *plan.to, what + "that version has no such task");
    if (const std::string other = difference(a.tasks[i], b.tasks[*found]); !other.empty())
      return refused(run, *plan.to, what + "its " + other + " is another one there");
    for (const std::uint32_t dependency : b.tasks[*found].dependencies) {
      if (!begun_in_new(dependency))
        return refused(run, *plan.to,
                       what + "there it waits for " + b.tasks[dependency].id + ", which has not");
    }
    plan.kept.push_back(id);
  }
  for (const Definition& task : b.tasks) {
    const auto old = a.find_task(task.id);
    plan.origin.push_back(old.value_or(kNoInstance));
    if (!old) plan.added.push_back(task.id);
    if (old && !has_begun(run, *old) && is_changed(a, a.tasks[*old], b, task))
      plan.changed.push_back(task.id);
  }
  return plan;
}

Value migration_view(const Run& run, const MigrationPlan& plan) {
  const auto list = [](const std::vector<std::string>& ids) {
    Value::List out(ids.begin(),
                    ids.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(ids.size(), 1000)));
    return Value(std::move(out));
  };
  return Value(Value::Map{{"run", Value(to_text(run.id))},
                          {"from", Value(static_cast<std::int64_t>(run.workflow->version))},
                          {"to", Value(static_cast<std::int64_t>(plan.to->version))},
                          {"kept", list(plan.kept)},
                          {"added", list(plan.added)},
                          {"removed", list(plan.removed)},
                          {"changed", list(plan.changed)}});
}

}  // namespace ez::core
