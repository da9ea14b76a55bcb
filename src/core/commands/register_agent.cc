#include <algorithm>

#include "core/commands/command.h"

namespace ez::core {
namespace {

constexpr std::size_t kMaxCapabilities = 64;
constexpr std::uint32_t kMaxCapacity = 1024;

std::optional<Error> check(const Context& context, const pb::RegisterAgent& command) {
  if (command.name().empty() || command.name().size() > 128) {
    return Error(Code::InvalidArgument, "an agent's name has 1 to 128 bytes");
  }
  if (command.type().empty() || command.type().size() > 63 || command.type() == "merge") {
    return Error(Code::InvalidArgument, "an agent's type has 1 to 63 bytes and is not the word merge");
  }
  if (command.capacity() == 0 || command.capacity() > kMaxCapacity) {
    return Error(Code::InvalidArgument, "an agent's capacity is 1 to " + std::to_string(kMaxCapacity));
  }
  if (static_cast<std::size_t>(command.capabilities_size()) > kMaxCapabilities) {
    return Error(Code::InvalidArgument,
                 "an agent has at most " + std::to_string(kMaxCapabilities) + " capabilities");
  }
  if (context.state.agents.size() >= kMaxAgents && !context.state.agent_names.contains(command.name())) {
    return Error(Code::Overloaded, std::to_string(kMaxAgents) + " agents are registered already");
  }
  return std::nullopt;
}

void end_leases_of(Context& context, AgentId agent, const std::string& reason) {
  std::vector<Fence> fences;
  for (const auto& [fence, lease] : context.state.leases) {
    if (lease.agent == agent) fences.push_back(fence);
  }
  for (const Fence fence : fences) lose_lease(context, fence, reason);
}

}  // namespace

void apply_register_agent(Context& context, const pb::RegisterAgent& command) {
  Reply& reply = context.effects.reply;
  if (auto error = check(context, command)) {
    reply.error = std::move(error);
    return;
  }
  if (const auto earlier = context.state.agent_names.find(command.name());
      earlier != context.state.agent_names.end()) {
    const AgentId old = earlier->second;
    end_leases_of(context, old, "agent " + command.name() + " was started again");
    context.state.remove_agent(old);
    context.effects.removed_agents.push_back(old);
  }
  Agent agent;
  agent.id = AgentId{context.state.next_agent++};
  agent.name = command.name();
  agent.type = command.type();
  agent.capabilities.assign(command.capabilities().begin(), command.capabilities().end());
  std::sort(agent.capabilities.begin(), agent.capabilities.end());
  agent.capabilities.erase(std::unique(agent.capabilities.begin(), agent.capabilities.end()),
                           agent.capabilities.end());
  agent.capacity = command.capacity();
  agent.registered_ms = context.now_ms;
  reply.agent = agent.id;
  reply.created = true;
  context.state.add_agent(std::move(agent));
}

void apply_remove_agent(Context& context, const pb::RemoveAgent& command) {
  const AgentId id{command.agent()};
  const auto agent = context.state.agents.find(id);
  if (agent == context.state.agents.end()) {
    context.effects.reply.error = Error(Code::AgentNotFound, "no agent " + to_text(id));
    return;
  }
  end_leases_of(context, id, "agent " + agent->second.name + " left: " + command.reason());
  context.state.remove_agent(id);
  context.effects.reply.agent = id;
  context.effects.removed_agents.push_back(id);
}

}  // namespace ez::core
