#include "core/why_agents.h"

#include <algorithm>
#include <iterator>
#include <tuple>

#include "core/why.h"

namespace ez::core {
namespace {

std::string join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

Value names(const std::vector<std::string>& words) { return Value(Value::List(words.begin(), words.end())); }

Value count(std::size_t value) { return Value(static_cast<std::int64_t>(value)); }

}  // namespace

AgentsSaid explain_agents(const State& state, ClassId id) {
  const AbilityClass& ability = state.classes[id];
  const std::string& type = serving_type(ability.type);
  struct Near {
    std::vector<std::string> lacks;
    const Agent* agent;
  };
  std::vector<Near> near;
  std::size_t able = 0;
  std::size_t free = 0;
  std::size_t others = 0;
  for (const auto& [number, agent] : state.agents) {
    if (agent.type != type) {
      ++others;
    } else if (std::binary_search(agent.serves.begin(), agent.serves.end(), id)) {
      ++able;
      if (agent.running < agent.capacity) ++free;
    } else {
      Near one{{}, &agent};
      std::set_difference(ability.capabilities.begin(), ability.capabilities.end(),
                          agent.capabilities.begin(), agent.capabilities.end(),
                          std::back_inserter(one.lacks));
      near.push_back(std::move(one));
    }
  }
  if (able > 0) {
    std::string text = free == 0
                           ? "All agents that could do it (" + std::to_string(able) + ") are full."
                           : std::to_string(free) + " of the " + std::to_string(able) +
                                 " agents that could do it have room; they get it when they ask for work.";
    return {true, std::move(text), {{"able", count(able)}, {"with_room", count(free)}}};
  }
  std::sort(near.begin(), near.end(), [](const Near& a, const Near& b) {
    return std::tuple(a.lacks.size(), a.agent->id) < std::tuple(b.lacks.size(), b.agent->id);
  });
  std::string text = "No agent of the type " + type;
  if (!ability.capabilities.empty()) text += " with " + join(ability.capabilities);
  text += " is registered.";
  Value::List close;
  for (const Near& one : near) {
    if (close.size() == kMaxNamed) break;
    if (close.size() < 3) text += " " + one.agent->name + " lacks " + join(one.lacks) + ".";
    close.push_back(Value(Value::Map{{"agent", Value(to_text(one.agent->id))},
                                     {"name", Value(one.agent->name)},
                                     {"lacks", names(one.lacks)}}));
  }
  if (near.empty() && others > 0)
    text += " The agents that are (" + std::to_string(others) + ") have another type.";
  return {false,
          std::move(text),
          {{"type", Value(type)},
           {"capabilities", names(ability.capabilities)},
           {"close", Value(std::move(close))}}};
}

}  // namespace ez::core
