#include "engine/work_item.h"

#include "base/json_text.h"
#include "core/variables.h"
#include "core/view.h"

namespace ez::engine {
namespace {

using orchestration::WorkspaceMode;

void artifacts(JsonText& json, const core::Task& task) {
  json.begin('[');
  for (const core::Artifact& artifact : task.get().artifacts) {
    json.begin('{').key("name").text(artifact.name).key("sha256").text(artifact.sha256);
    json.key("size").number(artifact.size).end('}');
  }
  json.end(']');
}

void dependency(JsonText& json, const core::Task& task) {
  const core::TaskDetail& detail = task.get();
  json.begin('{').key("state").text(core::to_text(task.state));
  json.key("output").raw(detail.output.empty() ? "null" : detail.output).key("artifacts");
  artifacts(json, task);
  if (!detail.output_blob.empty()) json.key("output_blob").text(detail.output_blob);
  json.end('}');
}

void dependencies(JsonText& json, const core::Run& run, const orchestration::Task& definition) {
  json.begin('{');
  for (const std::uint32_t index : definition.dependencies) {
    const core::Task& task = run.tasks[index];
    json.key(run.key_of(task));
    dependency(json, task);
    for (std::uint32_t i = 0; i < task.child_count; ++i) {
      const core::Task& child = run.tasks[task.first_child + i];
      json.key(run.key_of(child));
      dependency(json, child);
    }
  }
  json.end('}');
}

void sandbox(JsonText& json, const orchestration::Sandbox& sandbox) {
  json.begin('{').key("network").boolean(sandbox.network).key("memory_mb").number(sandbox.memory_mb);
  json.key("processes").number(sandbox.processes).key("output_mb").number(sandbox.output_mb);
  json.key("disk_mb").number(sandbox.disk_mb).key("cpu_s").number(sandbox.cpu_s).end('}');
}

void agent(JsonText& json, const orchestration::AgentNeed& need) {
  json.begin('{').key("type").text(need.type);
  if (!need.model.empty()) json.key("model").text(need.model);
  if (need.max_turns > 0) json.key("max_turns").number(need.max_turns);
  if (need.max_tokens > 0) json.key("max_tokens").number(need.max_tokens);
  json.end('}');
}

// Null when there is none.
Result<std::optional<std::string>> rendered(const core::Run& run, const core::Task& task,
                                            const std::optional<Template>& text, Template::Quoting quoting,
                                            std::string_view key) {
  if (!text) return std::optional<std::string>();
  auto out = core::render(run, &task, *text, quoting);
  if (!out.ok()) return out.error().in(key);
  return std::optional<std::string>(std::move(out).value());
}

void text_or_null(JsonText& json, std::string_view key, const std::optional<std::string>& text) {
  json.key(key);
  if (text) {
    json.text(*text);
  } else {
    json.raw("null");
  }
}

Status resolver(JsonText& json, const core::Run& run, const core::Task& task,
                const orchestration::Resolver& resolver) {
  EZ_ASSIGN(const auto script, rendered(run, task, resolver.run, Template::Quoting::kShell, "resolver.run"));
  EZ_ASSIGN(const auto prompt,
            rendered(run, task, resolver.prompt, Template::Quoting::kPlain, "resolver.prompt"));
  json.key("resolver").begin('{').key("agent");
  agent(json, resolver.agent);
  text_or_null(json, "run_command", script);
  text_or_null(json, "prompt", prompt);
  json.key("tries").number(resolver.tries).key("timeout_ms").number(resolver.timeout_ms).end('}');
  return {};
}

void files(JsonText& json, const core::WorkflowVersion& version) {
  json.begin('[');
  for (const core::ShippedFile& file : version.files) {
    json.begin('{').key("path").text(file.path).key("sha256").text(file.sha256);
    json.key("mode").number(file.mode).end('}');
  }
  json.end(']');
}

std::string attempt_branch(const core::Run& run, const core::Lease& lease) {
  return "ez/" + to_text(run.id) + "/" + lease.task_key + "." + std::to_string(lease.attempt);
}

void workspace(JsonText& json, const core::Run& run, const core::Lease& lease, WorkspaceMode mode) {
  if (run.repository.empty()) mode = WorkspaceMode::kNone;
  json.begin('{').key("mode").text(orchestration::to_text(mode));
  if (!run.repository.empty()) {
    json.key("repository").text(run.repository).key("base").text(run.base);
    json.key("run_branch").text(run.branch).key("branch").text(attempt_branch(run, lease));
  }
  json.end('}');
}

Status append_item(JsonText& json, const core::Run& run, const core::Lease& lease,
                   const ModelAccess* models) {
  const core::Task& task = run.tasks[lease.task];
  const orchestration::Task& definition = run.definition_of(task);
  EZ_ASSIGN(const auto verify, rendered(run, task, definition.verify, Template::Quoting::kShell, "verify"));
  EZ_ASSIGN(const auto command, rendered(run, task, definition.run, Template::Quoting::kShell, "run"));
  EZ_ASSIGN(const auto prompt, rendered(run, task, definition.prompt, Template::Quoting::kPlain, "prompt"));

  json.begin('{').key("run").text(to_text(run.id)).key("task").text(lease.task_key);
  json.key("attempt").number(lease.attempt).key("fence").number(lease.fence.value);
  json.key("kind").text(lease.merge ? "merge" : "execute");
  json.key("namespace").text(run.workflow->namespace_name).key("workflow").text(run.definition().name);
  json.key("workflow_version").number(run.workflow->version);
  json.key("lease").begin('{').key("heartbeat_ms").number(lease.heartbeat_ms);
  json.key("start_to_close_ms").number(definition.lease_ms(lease.merge)).end('}');
  if (lease.reserve_microusd >= 0) json.key("budget_microusd").number(lease.reserve_microusd);
  const orchestration::Resolver* helper = lease.merge ? definition.resolver.get() : nullptr;
  if (models != nullptr && (!lease.merge || (helper != nullptr && helper->agent.type != "exec"))) {
    json.key("model_gateway").begin('{').key("url").text(models->url).key("key").text(models->key).end('}');
  }
  json.key("agent");
  agent(json, definition.agent);
  if (!definition.output_schema.is_null()) json.key("output_schema").value(definition.output_schema);
  if (!definition.mcp.is_null()) json.key("mcp").value(definition.mcp);
  json.key("workspace");
  workspace(json, run, lease, definition.workspace);
  json.key("sandbox");
  sandbox(json, definition.sandbox);
  if (lease.merge) {
    const core::TaskDetail& detail = task.get();
    json.key("merge").begin('{').key("branch").text(detail.branch).key("commit");
    // A person settled the conflict on the branch: whatever stands there now is merged.
    json.text(detail.commit.empty() ? "refs/heads/" + detail.branch : detail.commit);
    json.key("into").text(run.branch);
    json.key("message").text("Merge " + lease.task_key + " of run " + to_text(run.id) + ": " +
                             definition.name);
    text_or_null(json, "verify", verify);
    if (helper != nullptr) EZ_TRY(resolver(json, run, task, *helper));
    json.end('}');
  }
  text_or_null(json, "verify", verify);
  text_or_null(json, "run_command", command);
  text_or_null(json, "prompt", prompt);
  json.key("env").begin('{');
  for (const auto& [name, text] : definition.env) {
    EZ_ASSIGN(const auto value, rendered(run, task, text, Template::Quoting::kPlain, "env." + name));
    text_or_null(json, name, value);
  }
  json.end('}').key("inputs").value(run.inputs);
  if (task.instance != core::kNoInstance) {
    json.key("item").value(core::item_of(run, task)).key("index").number(task.instance);
  }
  json.key("dependencies");
  dependencies(json, run, definition);
  json.key("artifacts").begin('[');
  for (const std::string& artifact : definition.artifacts) json.text(artifact);
  json.end(']').key("files");
  files(json, *run.workflow);
  json.end('}');
  return {};
}

}  // namespace

Status append_work_item(std::string& out, const core::Run& run, const core::Lease& lease,
                        const ModelAccess* models) {
  const std::size_t before = out.size();
  JsonText json(out);
  Status appended = append_item(json, run, lease, models);
  if (!appended.ok()) out.resize(before);
  return appended;
}

Status append_check_item(std::string& out, const core::Run& run, std::uint32_t index) {
  const core::Task& task = run.tasks[index];
  core::Lease lease;
  lease.run = run.id;
  lease.task = index;
  lease.attempt = task.attempt;
  lease.merge = true;
  lease.task_key = run.key_of(task);
  return append_work_item(out, run, lease);
}

}  // namespace ez::engine
