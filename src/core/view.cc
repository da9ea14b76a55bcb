#include "core/view.h"

#include "base/clock.h"
#include "base/json.h"
#include "core/budget.h"
#include "core/rollback.h"
#include "core/variables.h"

namespace ez::core {
namespace {

Value time_view(std::int64_t unix_ms) { return unix_ms == 0 ? Value() : Value(format_time(unix_ms)); }
Value number(std::uint64_t value) { return Value(static_cast<std::int64_t>(value)); }

Value artifact_list(const Task& task) {
  Value::List out;
  for (const Artifact& artifact : task.get().artifacts) {
    out.push_back(Value(Value::Map{{"name", Value(artifact.name)},
                                   {"sha256", Value(artifact.sha256)},
                                   {"size", number(artifact.size)}}));
  }
  return Value(std::move(out));
}

std::string approval_message(const Run& run, const Task& task) {
  const auto& definition = run.definition_of(task);
  if (task.state == TaskState::kConflict) {
    const bool check = task.get().error.code == "VERIFY_FAILED";
    return "The work of this task does not merge into " + run.branch +
           (check ? ": its check fails on the merged tree. Settle it on " : ". Settle the conflict on ") +
           task.get().branch + " and approve, or retry the task.";
  }
  if (task.state == TaskState::kPaused) {
    return "All attempts failed: " + task.get().error.message +
           ". Retry the task, or reject it to fail the run.";
  }
  if (!definition.approval || !definition.approval->message) return definition.name;
  auto text = render(run, &task, *definition.approval->message, Template::Quoting::kPlain);
  return text.ok() ? std::move(text).value() : definition.name + " (" + text.error().message() + ")";
}

Value resolution_view(const Task& task) {
  const auto& resolution = task.get().resolution;
  if (!resolution) return Value();
  Value::List tries;
  for (const TaskError& error : resolution->tries) {
    tries.push_back(Value(Value::Map{{"number", number(tries.size() + 1)}, {"error", error_view(error)}}));
  }
  return Value(Value::Map{{"agent_type", Value(resolution->agent_type)}, {"tries", Value(std::move(tries))}});
}

std::string_view approval_kind(TaskState state) {
  if (state == TaskState::kConflict) return "conflict";
  return state == TaskState::kPaused ? "failure" : "approval";
}

Value counts_view(const Run& run) {
  Value::Map map;
  map.emplace_back("total", number(run.tasks.size()));
  map.emplace_back("open", number(run.open));
  for (int i = 0; i < kTaskStates; ++i) {
    if (run.counts[i] != 0)
      map.emplace_back(std::string(to_text(static_cast<TaskState>(i))), number(run.counts[i]));
  }
  return Value(std::move(map));
}

Value labels_view(const Run& run) {
  Value::Map map;
  for (const auto& [name, value] : run.get_labels()) map.emplace_back(name, Value(value));
  return Value(std::move(map));
}

Value warnings_view(const Run& run) {
  Value::List out;
  if ((run.warned & kCostWarned) != 0) out.emplace_back("cost");
  if ((run.warned & kDeadlineWarned) != 0) out.emplace_back("deadline");
  return Value(std::move(out));
}

Value migrations_view(const Run& run) {
  Value::List out;
  if (run.migrations) {
    for (const Migration& migration : *run.migrations) {
      out.push_back(Value(Value::Map{{"from", number(migration.from_version)},
                                     {"to", number(migration.to_version)},
                                     {"at", time_view(migration.at_ms)},
                                     {"by", Value(migration.principal)}}));
    }
  }
  return Value(std::move(out));
}

Value parent_view(const Run& run) {
  if (!run.lineage) return Value();
  return Value(Value::Map{{"run", Value(to_text(run.lineage->parent))}, {"task", Value(run.lineage->task)}});
}

// Those that no task has taken yet.
Value signals_view(const Run& run) {
  Value::List out;
  if (!run.mail) return Value(std::move(out));
  for (const Signal& signal : run.mail->kept) {
    out.push_back(Value(Value::Map{{"name", Value(signal.name)},
                                   {"id", signal.id.empty() ? Value() : Value(signal.id)},
                                   {"sent_by", Value(signal.principal)},
                                   {"sent_at", time_view(signal.at_ms)},
                                   {"bytes", number(signal.payload.size())}}));
  }
  return Value(std::move(out));
}

}  // namespace

Value error_view(const TaskError& error) {
  if (error.code.empty()) return Value();
  return Value(Value::Map{{"code", Value(error.code)}, {"message", Value(error.message)}});
}

Value run_summary(const Run& run) {
  std::int64_t waiting = 0;
  for (const TaskState state : {TaskState::kApproval, TaskState::kConflict, TaskState::kPaused}) {
    waiting += run.counts[static_cast<int>(state)];
  }
  return Value(
      Value::Map{{"id", Value(to_text(run.id))},
                 {"namespace", Value(run.workflow->namespace_name)},
                 {"workflow", Value(run.definition().name)},
                 {"version", number(run.workflow->version)},
                 {"state", Value(to_text(run.state))},
                 {"priority", Value(orchestration::to_text(run.priority))},
                 {"created_at", time_view(run.created_ms)},
                 {"finished_at", time_view(run.finished_ms)},
                 {"duration_ms", run.finished_ms == 0 ? Value() : Value(run.finished_ms - run.created_ms)},
                 {"deadline_at", time_view(run.deadline_ms)},
                 {"cost_microusd", Value(run.cost_microusd)},
                 {"budget_microusd", run.budget_microusd == 0 ? Value() : Value(run.budget_microusd)},
                 {"reserved_microusd", Value(run.reserved_microusd)},
                 {"warnings", warnings_view(run)},
                 {"counts", counts_view(run)},
                 {"waiting_for_person", Value(waiting)},
                 {"concurrency_key", run.concurrency_key.empty() ? Value() : Value(run.concurrency_key)},
                 {"repository", run.repository.empty() ? Value() : Value(run.repository)},
                 {"branch", run.branch.empty() ? Value() : Value(run.branch)},
                 {"head", run.head.empty() ? Value() : Value(run.head)},
                 {"error", error_view(run.error)},
                 {"rollback", rollback_view(run)},
                 {"migrations", migrations_view(run)},
                 {"started_by", Value(run.principal)},
                 {"labels", labels_view(run)},
                 {"schedule", run.schedule.empty() ? Value() : Value(run.schedule)},
                 {"scheduled_at", time_view(run.schedule_ms)},
                 {"resumed_from", run.resumed_from.valid() ? Value(to_text(run.resumed_from)) : Value()},
                 {"parent", parent_view(run)}});
}

Value run_view(const Run& run) {
  Value view = run_summary(run);
  view.set("inputs", run.inputs);
  Value::List tasks;
  tasks.reserve(run.tasks.size());
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) tasks.push_back(task_view(run, i));
  view.set("tasks", Value(std::move(tasks)));
  view.set("signals", signals_view(run));
  auto outputs = parse_json(run.outputs.empty() ? "null" : run.outputs);
  view.set("outputs", outputs.ok() ? std::move(outputs).value() : Value());
  return view;
}

Value task_view(const Run& run, std::uint32_t index) {
  const Task& task = run.tasks[index];
  const TaskDetail& detail = task.get();
  const orchestration::Task& definition = run.definition_of(task);
  Value::List dependencies;
  for (const std::uint32_t dependency : definition.dependencies) {
    dependencies.emplace_back(run.definition().tasks[dependency].id);
  }
  const bool group = definition.for_each && task.instance == kNoInstance;
  const std::int64_t end = task.finished_ms != 0 ? task.finished_ms : 0;
  auto output = parse_json(detail.output.empty() ? "null" : detail.output);
  Value::Map map{{"id", Value(run.key_of(task))},
                 {"name", Value(definition.name)},
                 {"state", Value(to_text(task.state))},
                 {"attempt", number(task.attempt)},
                 {"max_attempts", number(definition.retry.max_attempts)},
                 {"dependencies", Value(std::move(dependencies))},
                 {"agent_type", definition.needs_agent() ? Value(definition.agent.type) : Value()},
                 {"agent", task.agent.valid() ? Value(to_text(task.agent)) : Value()},
                 {"scheduled_at", time_view(task.scheduled_ms)},
                 {"started_at", time_view(task.started_ms)},
                 {"finished_at", time_view(task.finished_ms)},
                 {"duration_ms", task.started_ms != 0 && end != 0 ? Value(end - task.started_ms) : Value()},
                 {"next_at", time_view(task.due_ms)},
                 {"output", output.ok() ? std::move(output).value() : Value()},
                 {"output_sha256", detail.output_blob.empty() ? Value() : Value(detail.output_blob)},
                 {"artifacts", artifact_list(task)},
                 {"error", error_view(detail.error)},
                 {"checkpoint", Value(definition.checkpoint)},
                 {"seeded", Value(task.seeded)},
                 {"branch", detail.branch.empty() ? Value() : Value(detail.branch)},
                 {"commit", detail.commit.empty() ? Value() : Value(detail.commit)},
                 {"merged_head", detail.head.empty() ? Value() : Value(detail.head)},
                 {"changed_files", number(detail.changed_files)},
                 {"conflict", detail.conflict.empty() ? Value() : Value(detail.conflict)},
                 {"resolver", resolution_view(task)},
                 {"decided_by", detail.decided_by.empty() ? Value() : Value(detail.decided_by)},
                 {"comment", detail.comment.empty() ? Value() : Value(detail.comment)},
                 {"group", task.instance == kNoInstance ? Value() : Value(definition.id)},
                 {"instances", group ? number(task.child_count) : Value()},
                 {"item", task.instance == kNoInstance ? Value() : item_of(run, task)}};
  if (definition.compensates)
    map.emplace_back("compensates", Value(run.definition().tasks[*definition.compensates].id));
  if (waits_for_person(task.state)) map.emplace_back("message", Value(approval_message(run, task)));
  if (definition.workflow)
    map.emplace_back("child", detail.child.valid() ? Value(to_text(detail.child)) : Value());
  if (definition.wait && !definition.wait->signal.empty())
    map.emplace_back("signal", Value(definition.wait->signal));
  return Value(std::move(map));
}

Value attempts_view(const Run& run, std::uint32_t index) {
  const Task& task = run.tasks[index];
  Value::List out;
  std::uint32_t newest = 0;
  for (const AttemptRecord& record : task.get().attempts) {
    newest = record.number;
    out.push_back(Value(Value::Map{{"number", number(record.number)},
                                   {"agent", record.agent.valid() ? Value(to_text(record.agent)) : Value()},
                                   {"started_at", time_view(record.started_ms)},
                                   {"finished_at", time_view(record.finished_ms)},
                                   {"state", Value("failed")},
                                   {"exit_code", Value(static_cast<std::int64_t>(record.exit_code))},
                                   {"error", error_view(record.error)}}));
  }
  if (task.attempt > newest) {
    out.push_back(Value(Value::Map{{"number", number(task.attempt)},
                                   {"agent", task.agent.valid() ? Value(to_text(task.agent)) : Value()},
                                   {"started_at", time_view(task.started_ms)},
                                   {"finished_at", time_view(task.finished_ms)},
                                   {"state", Value(to_text(task.state))},
                                   {"exit_code", Value()},
                                   {"error", Value()}}));
  }
  return Value(std::move(out));
}

Value workflow_view(const WorkflowVersion& version, bool with_source) {
  Value::Map map{{"name", Value(version.definition->name)},
                 {"namespace", Value(version.namespace_name)},
                 {"version", number(version.version)},
                 {"description", Value(version.definition->description)},
                 {"registered_at", time_view(version.registered_ms)},
                 {"tasks", number(version.definition->tasks.size())}};
  if (with_source) {
    map.emplace_back("source", Value(version.source));
    auto canonical = parse_json(version.canonical);
    map.emplace_back("definition", canonical.ok() ? std::move(canonical).value() : Value());
    Value::List files;
    for (const ShippedFile& file : version.files) {
      files.push_back(Value(Value::Map{
          {"path", Value(file.path)}, {"sha256", Value(file.sha256)}, {"mode", number(file.mode)}}));
    }
    map.emplace_back("files", Value(std::move(files)));
  }
  return Value(std::move(map));
}

Value pause_view(const Pause& pause) {
  return Value(Value::Map{{"kind", Value(to_text(pause.kind))},
                          {"namespace", pause.name_space.empty() ? Value() : Value(pause.name_space)},
                          {"name", Value(pause.name)},
                          {"by", Value(pause.principal)},
                          {"comment", pause.comment.empty() ? Value() : Value(pause.comment)},
                          {"since", time_view(pause.since_ms)}});
}

Value namespace_view(const Namespace& name_space) {
  return Value(
      Value::Map{{"name", Value(name_space.name)},
                 {"weight", number(name_space.weight)},
                 {"max_running", name_space.max_running == 0 ? Value() : number(name_space.max_running)},
                 {"runs", number(name_space.live_runs)},
                 {"ready", number(name_space.ready)},
                 {"running", number(name_space.running)},
                 {"paused", Value(name_space.paused)}});
}

Value agent_view(const Agent& agent) {
  Value::List capabilities(agent.capabilities.begin(), agent.capabilities.end());
  return Value(Value::Map{{"id", Value(to_text(agent.id))},
                          {"name", Value(agent.name)},
                          {"type", Value(agent.type)},
                          {"capabilities", Value(std::move(capabilities))},
                          {"capacity", number(agent.capacity)},
                          {"running", number(agent.running)},
                          {"completed", number(agent.completed)},
                          {"failed", number(agent.failed)},
                          {"registered_at", time_view(agent.registered_ms)}});
}

Value::List approvals_view(const Run& run) {
  Value::List out;
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const Task& task = run.tasks[i];
    if (!waits_for_person(task.state)) continue;
    const auto& definition = run.definition_of(task);
    out.push_back(
        Value(Value::Map{{"run", Value(to_text(run.id))},
                         {"task", Value(run.key_of(task))},
                         {"kind", Value(approval_kind(task.state))},
                         {"message", Value(approval_message(run, task))},
                         {"role", definition.approval ? Value(definition.approval->role) : Value("")},
                         {"workflow", Value(run.definition().name)},
                         {"conflict", task.get().conflict.empty() ? Value() : Value(task.get().conflict)},
                         {"resolver", resolution_view(task)},
                         {"error", error_view(task.get().error)}}));
  }
  return out;
}

Value::List artifacts_view(const Run& run) {
  Value::List out;
  for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
    const Task& task = run.tasks[i];
    for (const Artifact& artifact : task.get().artifacts) {
      out.push_back(Value(Value::Map{{"task", Value(run.key_of(task))},
                                     {"name", Value(artifact.name)},
                                     {"sha256", Value(artifact.sha256)},
                                     {"size", number(artifact.size)}}));
    }
  }
  return out;
}

}  // namespace ez::core
