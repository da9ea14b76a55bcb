#include "engine/resume.h"

#include <set>

#include "base/json.h"

namespace ez::engine {

namespace {

// What a new run takes over: every completed task but those that are done again.
struct Kept {
  std::uint64_t up_to = UINT64_MAX;  // log index
  std::vector<bool> again;           // by definition; empty: none
  std::set<std::string> keys;        // single instances that are done again
};

core::pb::StartRun new_run(const core::Run& run, const Kept& keep) {
  core::pb::StartRun command;
  command.set_namespace_(run.workflow->namespace_name);
  command.set_workflow(run.definition().name);
  command.set_version(run.workflow->version);
  command.set_inputs(to_json(run.inputs));
  command.set_priority(static_cast<std::uint32_t>(run.priority) + 1);
  command.set_resumed_from(run.id.value);
  for (const auto& [name, value] : run.get_labels()) {
    core::pb::Label* label = command.add_labels();
    label->set_name(name);
    label->set_value(value);
  }
  std::string base = run.base;
  std::uint64_t base_index = 0;
  // What was rolled back is undone: the new run begins at the beginning.
  const std::uint32_t tasks = run.rollback ? 0 : run.tasks.size();
  for (std::uint32_t i = 0; i < tasks; ++i) {
    const core::Task& task = run.tasks[i];
    const orchestration::Task& definition = run.definition_of(task);
    const bool group = definition.for_each && task.instance == core::kNoInstance;
    const bool kept = task.state == core::TaskState::kSucceeded || task.state == core::TaskState::kSkipped ||
                      (task.state == core::TaskState::kFailed &&
                       definition.on_failure == orchestration::OnFailure::kContinue);
    if (!kept || task.done_index > keep.up_to || definition.compensates) continue;
    if (!keep.again.empty() && keep.again[task.definition]) continue;
    if (!keep.keys.empty() && keep.keys.contains(run.key_of(task))) continue;
    // The branch starts at the last merge that is kept; merges are complete in the order of their commits.
    if (!task.get().head.empty() && task.done_index >= base_index) {
      base = task.get().head;
      base_index = task.done_index;
    }
    // Groups are expanded again from their (kept) inputs; their instances are taken over one by one.
    if (group && task.state != core::TaskState::kSkipped) continue;
    core::pb::SeedTask* seed = command.add_seeds();
    seed->set_task(run.key_of(task));
    seed->set_state(static_cast<std::uint32_t>(task.state));
    seed->set_output(task.get().output);
    seed->set_output_blob(task.get().output_blob);
    for (const core::Artifact& artifact : task.get().artifacts) {
      core::pb::Artifact* slot = seed->add_artifacts();
      slot->set_name(artifact.name);
      slot->set_sha256(artifact.sha256);
      slot->set_size(artifact.size);
    }
  }
  command.set_resume_base(base);
  return command;
}

}  // namespace

Result<core::pb::StartRun> resume_command(const core::Run& run, const std::string& checkpoint) {
  if (!core::is_terminal(run.state)) {
    return Error(Code::WrongState, to_text(run.id) + " is still live",
                 "Cancel it first, or retry its paused tasks.");
  }
  if (run.state == core::RunState::kSucceeded && checkpoint.empty()) {
    return Error(Code::WrongState, to_text(run.id) + " succeeded: there is nothing to take up",
                 "Start a new run, or name a checkpoint to restart from.");
  }
  Kept keep;
  if (run.rollback && !checkpoint.empty()) {
    return Error(Code::WrongState,
                 to_text(run.id) + " was rolled back: there is no checkpoint to restart from",
                 "Start it from the beginning with `ez retry RUN`.");
  }
  if (!checkpoint.empty()) {
    const std::uint32_t index = run.find(checkpoint);
    if (index == UINT32_MAX || !run.definition_of(run.tasks[index]).checkpoint ||
        run.tasks[index].state != core::TaskState::kSucceeded) {
      return Error(Code::TaskNotFound, to_text(run.id) + " has no completed checkpoint " + checkpoint);
    }
    keep.up_to = run.tasks[index].done_index;
  }
  return new_run(run, keep);
}

core::pb::StartRun continue_command(const core::Run& run) { return new_run(run, Kept{}); }

Result<core::pb::StartRun> restart_command(const core::Run& run, const std::vector<std::string>& tasks,
                                           bool redo) {
  if (!core::is_terminal(run.state)) {
    return Error(Code::WrongState, to_text(run.id) + " is still live", "Retry its tasks one by one.");
  }
  if (run.rollback) {
    return Error(Code::WrongState, to_text(run.id) + " was rolled back: nothing of it can be kept",
                 "Start it from the beginning with `ez retry RUN`.");
  }
  Kept keep;
  keep.again.resize(run.definition().tasks.size());
  std::vector<std::uint32_t> open;
  for (const std::string& key : tasks) {
    const std::uint32_t index = run.find(key);
    if (index == UINT32_MAX) {
      return Error(Code::TaskNotFound, "run " + to_text(run.id) + " has no task " + key);
    }
    const core::Task& task = run.tasks[index];
    open.push_back(task.definition);
    if (task.instance == core::kNoInstance) {
      keep.again[task.definition] = true;
    } else {
      keep.keys.insert(key);
    }
  }
  while (redo && !open.empty()) {
    const std::uint32_t index = open.back();
    open.pop_back();
    for (const std::uint32_t dependent : run.definition().tasks[index].dependents) {
      if (keep.again[dependent]) continue;
      keep.again[dependent] = true;
      open.push_back(dependent);
    }
  }
  return new_run(run, keep);
}

}  // namespace ez::engine
