#include <algorithm>

#include "core/commands/command.h"
#include "core/pause.h"

namespace ez::core {
namespace {

constexpr std::size_t kMaxComment = 4096;

bool agent_type_is_known(const State& state, const std::string& name) {
  if (state.agent_type_ids.contains(name)) return true;
  return std::any_of(state.agents.begin(), state.agents.end(),
                     [&](const auto& agent) { return agent.second.type == name; });
}

std::optional<Error> check(const State& state, const pb::SetPause& command) {
  switch (static_cast<PauseKind>(command.kind())) {
    case PauseKind::kWorkflow:
      if (state.find_workflow(command.namespace_(), command.name(), 0)) return std::nullopt;
      return Error(Code::WorkflowNotFound,
                   "no workflow " + command.name() + " in namespace " + command.namespace_());
    case PauseKind::kAgentType:
      if (agent_type_is_known(state, command.name())) return std::nullopt;
      return Error(Code::AgentNotFound,
                   "no agent has the type " + command.name() + ", and no task asks for it",
                   "`ez agents` lists agents with their types.");
    case PauseKind::kNamespace:
      if (state.namespace_ids.contains(command.name())) return std::nullopt;
      return Error(Code::NamespaceNotFound, "no namespace " + command.name());
    default:
      return Error(Code::RequestInvalid, "a pause of an unknown kind");
  }
}

// Makes room by forgetting the record that was resumed first.
bool make_room(State& state) {
  if (state.pauses.size() < kMaxPauses) return true;
  auto oldest = state.pauses.end();
  for (auto at = state.pauses.begin(); at != state.pauses.end(); ++at) {
    if (at->second.active) continue;
    if (oldest == state.pauses.end() || at->second.resumed_ms < oldest->second.resumed_ms) oldest = at;
  }
  if (oldest == state.pauses.end()) return false;
  state.pauses.erase(oldest);
  return true;
}

}  // namespace

void apply_set_pause(Context& context, const pb::SetPause& command) {
  State& state = context.state;
  Reply& reply = context.effects.reply;
  if (auto error = check(state, command)) {
    reply.error = std::move(error);
    return;
  }
  const auto kind = static_cast<PauseKind>(command.kind());
  const std::string name_space = kind == PauseKind::kWorkflow ? command.namespace_() : std::string();
  const auto known = state.pauses.find(pause_key(kind, name_space, command.name()));
  const bool active = known != state.pauses.end() && known->second.active;
  if (active == command.paused()) {
    if (!active) {
      reply.error =
          Error(Code::WrongState, std::string(to_text(kind)) + " " + command.name() + " is not paused");
    }
    return;
  }
  Pause pause;
  if (known != state.pauses.end()) {
    pause = known->second;
  } else if (!make_room(state)) {
    reply.error = Error(Code::Overloaded, std::to_string(kMaxPauses) + " pauses are in force already");
    return;
  }
  pause.kind = kind;
  pause.name_space = name_space;
  pause.name = command.name();
  pause.active = command.paused();
  if (pause.active) {
    pause.principal = command.principal();
    pause.comment = command.comment().substr(0, kMaxComment);
    pause.since_ms = context.now_ms;
    pause.resumed_ms = 0;
  } else {
    pause.resumed_ms = context.now_ms;
    context.effects.ready_grew = true;
  }
  put_pause(state, std::move(pause));
  reply.created = true;
}

}  // namespace ez::core
