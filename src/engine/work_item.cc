#include "engine/work_item.h"

#include "base/json.h"
#include "core/variables.h"
#include "core/view.h"

namespace ez::engine {
namespace {

using orchestration::WorkspaceMode;

Value number(std::uint64_t value) { return Value(static_cast<std::int64_t>(value)); }

Value artifacts(const core::Task& task) {
  Value::List out;
  for (const core::Artifact& artifact : task.get().artifacts) {
    out.push_back(Value(Value::Map{{"name", Value(artifact.name)},
                                   {"sha256", Value(artifact.sha256)},
                                   {"size", number(artifact.size)}}));
  }
  return Value(std::move(out));
}

Value dependency(const core::Task& task) {
  auto output = parse_json(task.get().output.empty() ? "null" : task.get().output);
  Value::Map map{{"state", Value(core::to_text(task.state))},
                 {"output", output.ok() ? std::move(output).value() : Value()},
                 {"artifacts", artifacts(task)}};
  if (!task.get().output_blob.empty()) map.emplace_back("output_blob", Value(task.get().output_blob));
  return Value(std::move(map));
}

Value dependencies(const core::Run& run, const orchestration::Task& definition) {
  Value::Map map;
  for (const std::uint32_t index : definition.dependencies) {
    const core::Task& task = run.tasks[index];
    map.emplace_back(run.key_of(task), dependency(task));
    for (std::uint32_t i = 0; i < task.child_count; ++i) {
      const core::Task& child = run.tasks[task.first_child + i];
      map.emplace_back(run.key_of(child), dependency(child));
    }
  }
  return Value(std::move(map));
}

Value sandbox(const orchestration::Sandbox& sandbox) {
  return Value(Value::Map{{"network", Value(sandbox.network)},
                          {"memory_mb", number(sandbox.memory_mb)},
                          {"processes", number(sandbox.processes)},
                          {"output_mb", number(sandbox.output_mb)},
                          {"disk_mb", number(sandbox.disk_mb)},
                          {"cpu_s", number(sandbox.cpu_s)}});
}

Value files(const core::WorkflowVersion& version) {
  Value::List out;
  for (const core::ShippedFile& file : version.files) {
    out.push_back(Value(
        Value::Map{{"path", Value(file.path)}, {"sha256", Value(file.sha256)}, {"mode", number(file.mode)}}));
  }
  return Value(std::move(out));
}

Result<Value> rendered(const core::Run& run, const core::Task& task, const std::optional<Template>& text,
                       Template::Quoting quoting, std::string_view key) {
  if (!text) return Value();
  auto out = core::render(run, &task, *text, quoting);
  if (!out.ok()) return out.error().in(key);
  return Value(std::move(out).value());
}

std::string attempt_branch(const core::Run& run, const core::Lease& lease) {
  return "ez/" + to_text(run.id) + "/" + lease.task_key + "." + std::to_string(lease.attempt);
}

Value workspace(const core::Run& run, const core::Lease& lease, WorkspaceMode mode) {
  Value::Map map{
      {"mode", Value(orchestration::to_text(run.repository.empty() ? WorkspaceMode::kNone : mode))}};
  if (!run.repository.empty()) {
    map.emplace_back("repository", Value(run.repository));
    map.emplace_back("base", Value(run.base));
    map.emplace_back("run_branch", Value(run.branch));
    map.emplace_back("branch", Value(attempt_branch(run, lease)));
  }
  return Value(std::move(map));
}

}  // namespace

Result<Value> work_item(const core::Run& run, const core::Lease& lease) {
  const core::Task& task = run.tasks[lease.task];
  const orchestration::Task& definition = run.definition_of(task);
  Value::Map map{
      {"run", Value(to_text(run.id))},
      {"task", Value(lease.task_key)},
      {"attempt", number(lease.attempt)},
      {"fence", number(lease.fence.value)},
      {"kind", Value(lease.merge ? "merge" : "execute")},
      {"namespace", Value(run.workflow->namespace_name)},
      {"workflow", Value(run.definition().name)},
      {"workflow_version", number(run.workflow->version)},
      {"lease", Value(Value::Map{{"heartbeat_ms", Value(lease.heartbeat_ms)},
                                 {"start_to_close_ms", Value(definition.timeout.start_to_close_ms)}})},
      {"agent", Value(Value::Map{{"type", Value(definition.agent.type)}})},
      {"workspace", workspace(run, lease, definition.workspace)},
      {"sandbox", sandbox(definition.sandbox)}};
  EZ_ASSIGN(Value verify, rendered(run, task, definition.verify, Template::Quoting::kShell, "verify"));
  if (lease.merge) {
    const core::TaskDetail& detail = task.get();
    map.emplace_back("merge", Value(Value::Map{{"branch", Value(detail.branch)},
                                               {"commit", Value(detail.commit)},
                                               {"into", Value(run.branch)},
                                               {"message", Value("Merge " + lease.task_key + " of run " +
                                                                 to_text(run.id) + ": " + definition.name)},
                                               {"verify", verify}}));
  }
  map.emplace_back("verify", std::move(verify));
  EZ_ASSIGN(Value command, rendered(run, task, definition.run, Template::Quoting::kShell, "run"));
  map.emplace_back("run_command", std::move(command));
  EZ_ASSIGN(Value prompt, rendered(run, task, definition.prompt, Template::Quoting::kPlain, "prompt"));
  map.emplace_back("prompt", std::move(prompt));
  Value::Map env;
  for (const auto& [name, text] : definition.env) {
    EZ_ASSIGN(Value value, rendered(run, task, text, Template::Quoting::kPlain, "env." + name));
    env.emplace_back(name, std::move(value));
  }
  map.emplace_back("env", Value(std::move(env)));
  map.emplace_back("inputs", run.inputs);
  if (task.instance != core::kNoInstance) {
    map.emplace_back("item", core::item_of(run, task));
    map.emplace_back("index", number(task.instance));
  }
  map.emplace_back("dependencies", dependencies(run, definition));
  map.emplace_back("artifacts", Value(Value::List(definition.artifacts.begin(), definition.artifacts.end())));
  map.emplace_back("files", files(*run.workflow));
  return Value(std::move(map));
}

}  // namespace ez::engine
