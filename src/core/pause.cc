#include "core/pause.h"

#include <algorithm>
#include <array>

#include "core/state.h"

namespace ez::core {
namespace {

// The records that may hold a task, present or not.
std::array<const Pause*, 3> pauses_of(const State& state, const Run& run, const Task& task) {
  std::array<const Pause*, 3> out{};
  if (state.pauses.empty()) return out;
  const auto find = [&](PauseKind kind, const std::string& name_space, const std::string& name) {
    const auto found = state.pauses.find(pause_key(kind, name_space, name));
    return found == state.pauses.end() ? nullptr : &found->second;
  };
  const WorkflowVersion& workflow = *run.workflow;
  const bool merge = task.state == TaskState::kMergeReady;
  out[0] = find(PauseKind::kNamespace, "", workflow.namespace_name);
  out[1] = find(PauseKind::kWorkflow, workflow.namespace_name, workflow.definition->name);
  out[2] =
      find(PauseKind::kAgentType, "", merge ? serving_type("merge") : run.definition_of(task).agent.type);
  return out;
}

}  // namespace

std::string pause_key(PauseKind kind, const std::string& name_space, const std::string& name) {
  return std::string(to_text(kind)) + "\n" + name_space + "\n" + name;
}

std::string_view to_text(PauseKind kind) {
  switch (kind) {
    case PauseKind::kWorkflow:
      return "workflow";
    case PauseKind::kAgentType:
      return "agent_type";
    case PauseKind::kNamespace:
      return "namespace";
    default:
      return "none";
  }
}

void put_pause(State& state, Pause pause) {
  switch (pause.kind) {
    case PauseKind::kWorkflow:
      if (const auto workflow = state.find_workflow(pause.name_space, pause.name, 0))
        set_queue_paused(state, workflow->queue, pause.active);
      break;
    case PauseKind::kAgentType:
      state.agent_types[state.agent_type_of(pause.name)].paused = pause.active;
      break;
    case PauseKind::kNamespace:
      set_namespace_paused(state, state.namespace_of(pause.name), pause.active);
      break;
    default:
      return;
  }
  const std::string key = pause_key(pause.kind, pause.name_space, pause.name);
  state.pauses[key] = std::move(pause);
  auto board = std::make_shared<std::vector<Pause>>();
  for (const auto& [ignored, one] : state.pauses) {
    if (one.active) board->push_back(one);
  }
  state.pause_board = std::move(board);
}

const Pause* holding_pause(const State& state, const Run& run, const Task& task) {
  for (const Pause* pause : pauses_of(state, run, task)) {
    if (pause != nullptr && pause->active) return pause;
  }
  return nullptr;
}

std::int64_t last_resumed_ms(const State& state, const Run& run, const Task& task) {
  std::int64_t last = 0;
  for (const Pause* pause : pauses_of(state, run, task)) {
    if (pause != nullptr && !pause->active && pause->resumed_ms >= task.ready_ms)
      last = std::max(last, pause->resumed_ms);
  }
  return last;
}

}  // namespace ez::core
