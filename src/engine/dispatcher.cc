#include "engine/dispatcher.h"

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <tuple>

#include "orchestration/agent_choice.h"

namespace ez::engine {
namespace {

// Without a repository there is no warmth to look for, so fewer are enough to find a light load.
constexpr std::size_t kCandidatesWithoutRepository = 4;
constexpr std::size_t kWarmRepositories = 4;  // what a worker keeps (agents/workspace.h)

// The hash of the repository of which the task needs a worktree; nullopt: it needs none.
std::optional<std::size_t> repository_of(const core::State& state, RunId id, std::uint32_t index) {
  const core::Run* run = state.find_run(id);
  if (run == nullptr || run->repository.empty() || index >= run->tasks.size()) return std::nullopt;
  const core::Task& task = run->tasks[index];
  if (run->definition_of(task).workspace == orchestration::WorkspaceMode::kNone) return std::nullopt;
  return std::hash<std::string>{}(run->repository);
}

}  // namespace

Dispatcher::Line::value_type Dispatcher::place_of(const Demand& demand, DemandId id) {
  return {demand.taken / demand.grain, id};
}

Result<DemandId> Dispatcher::offer(const core::State& state, AgentId agent, std::uint32_t want,
                                   Deliver deliver) {
  const auto known = state.agents.find(agent);
  if (known == state.agents.end()) return Error(Code::AgentNotFound, "no agent " + to_text(agent));
  if (demands_.size() >= kMaxDemands) {
    return Error(Code::Overloaded, std::to_string(kMaxDemands) + " requests for work wait already");
  }
  const DemandId id = next_++;
  Demand& demand = demands_[id];
  demand.agent = agent;
  demand.want = want;
  demand.grain = std::max<std::uint32_t>(1, known->second.capacity / kGrainsPerAgent);
  demand.deliver = std::move(deliver);
  line_up(state, id, demand);
  return id;
}

bool Dispatcher::withdraw(const core::State& state, DemandId id) {
  const auto found = demands_.find(id);
  if (found == demands_.end()) return false;
  if (found->second.proposed) {
    found->second.withdrawn = true;
    found->second.deliver = nullptr;
    return false;
  }
  step_out(state, id, found->second);
  parked_.erase(id);
  demands_.erase(found);
  return true;
}

void Dispatcher::line_up(const core::State& state, DemandId id, Demand& demand) {
  const auto agent = state.agents.find(demand.agent);
  if (agent == state.agents.end()) return;
  if (agent->second.running >= agent->second.capacity) {
    parked_.insert(id);
    return;
  }
  for (const core::ClassId line : agent->second.serves) lines_[line].insert(place_of(demand, id));
  demand.in_line = true;
}

void Dispatcher::step_out(const core::State& state, DemandId id, Demand& demand) {
  if (!demand.in_line) return;
  demand.in_line = false;
  const auto agent = state.agents.find(demand.agent);
  if (agent == state.agents.end()) {
    for (auto& [line, waiting] : lines_) waiting.erase(place_of(demand, id));
    return;
  }
  for (const core::ClassId line : agent->second.serves) lines_[line].erase(place_of(demand, id));
}

std::vector<Assignment> Dispatcher::choose(const core::State& state) {
  if (known_classes_ != state.classes.size()) {
    // A new kind of task appeared: who waits already may serve it too.
    known_classes_ = state.classes.size();
    for (auto& [id, demand] : demands_) {
      if (demand.in_line) line_up(state, id, demand);
    }
  }
  for (auto at = parked_.begin(); at != parked_.end();) {
    const DemandId id = *at;
    at = parked_.erase(at);
    line_up(state, id, demands_.at(id));  // parks it again when its agent is still full
    if (parked_.contains(id)) at = parked_.upper_bound(id);
  }

  struct Source {
    Line* line;
    ReadyCursor cursor;
    ReadyCursor::Head head;
  };
  const auto before = [](const Source& a, const Source& b) {
    // Tags of different agent types have nothing to do with each other, but neither have their agents.
    return std::tuple(a.cursor.agents(), a.head.tag, a.head.key) <
           std::tuple(b.cursor.agents(), b.head.tag, b.head.key);
  };
  std::vector<Source> sources;
  for (auto& [id, line] : lines_) {
    if (line.empty() || state.classes[id].turns.empty()) continue;
    ReadyCursor cursor(state, id, outlook_);
    if (const auto head = cursor.peek()) sources.push_back({&line, std::move(cursor), *head});
  }

  std::vector<Assignment> out;
  std::map<DemandId, std::size_t> slots;
  std::map<AgentId, std::uint32_t> given;
  while (!sources.empty()) {
    auto best = std::min_element(sources.begin(), sources.end(), before);
    if (best->line->empty()) {
      sources.erase(best);
      continue;
    }
    const DemandId id = pick(state, *best->line, best->head.key, given);
    Demand& demand = demands_.at(id);
    const core::Agent& agent = state.agents.at(demand.agent);
    step_out(state, id, demand);
    std::uint32_t& taken_by_agent = given[demand.agent];
    if (agent.running + taken_by_agent >= agent.capacity) {
      // Another request of the same agent took its last place.
      if (!demand.proposed) parked_.insert(id);
      continue;
    }
    const auto [slot, added] = slots.try_emplace(id, out.size());
    if (added) out.push_back({id, demand.agent, {}});
    const core::ReadyKey key = best->head.key;
    const core::NamespaceId name_space = best->head.name_space;
    out[slot->second].tasks.push_back({key.run, key.task, best->cursor.agents(), name_space});
    outlook_.add(key.run, key.task, best->cursor.agents(), name_space);
    demand.proposed = true;
    ++taken_by_agent;
    ++demand.taken;
    if (demand.taken < demand.want) {
      for (const core::ClassId line : agent.serves) lines_[line].insert(place_of(demand, id));
      demand.in_line = true;
    }
    best->cursor.take();
    // The namespace's share and limit count in all classes.
    for (auto at = sources.begin(); at != sources.end();) {
      const bool same = at->head.name_space == name_space;
      const auto head = same ? at->cursor.peek() : std::optional(at->head);
      if (head) at->head = *head;
      at = head ? at + 1 : sources.erase(at);
    }
  }
  for (const Assignment& assignment : out) step_out(state, assignment.demand, demands_.at(assignment.demand));
  return out;
}

std::vector<core::Lease> Dispatcher::ended(const core::State& state, const Assignment& assignment,
                                           std::vector<core::Lease> granted) {
  for (const auto& task : assignment.tasks) outlook_.remove(task.run, task.task, task.type, task.name_space);
  const auto found = demands_.find(assignment.demand);
  if (found == demands_.end()) return granted;
  Demand& demand = found->second;
  demand.proposed = false;
  demand.taken = 0;
  if (demand.withdrawn) {
    demands_.erase(found);
    return granted;
  }
  if (granted.empty()) {
    line_up(state, assignment.demand, demand);
    return {};
  }
  note_warm(state, granted);
  const Deliver deliver = std::move(demand.deliver);
  demands_.erase(found);
  deliver(std::move(granted));
  return {};
}

DemandId Dispatcher::pick(const core::State& state, const Line& line, const core::ReadyKey& key,
                          const std::map<AgentId, std::uint32_t>& given) const {
  if (line.size() == 1) return line.begin()->second;
  const std::optional<std::size_t> repository = repository_of(state, key.run, key.task);
  const std::size_t most = repository ? orchestration::kMaxCandidates : kCandidatesWithoutRepository;
  std::array<orchestration::AgentCandidate, orchestration::kMaxCandidates> candidates;
  std::array<DemandId, orchestration::kMaxCandidates> ids{};
  std::size_t count = 0;
  for (const auto& [rounds, id] : line) {
    // They stand in the order of rounds, and fewer rounds always win.
    if (count == most || rounds != line.begin()->first) break;
    const core::Agent& agent = state.agents.at(demands_.at(id).agent);
    const auto taken = given.find(agent.id);
    const auto warm = warm_.find(agent.id);
    ids[count] = id;
    candidates[count++] = {
        rounds,
        repository && warm != warm_.end() &&
            std::find(warm->second.begin(), warm->second.end(), *repository) != warm->second.end(),
        agent.running + (taken == given.end() ? 0 : taken->second),
        std::max<std::uint32_t>(1, agent.capacity)};
  }
  return ids[orchestration::choose_agent(std::span(candidates.data(), count))];
}

void Dispatcher::note_warm(const core::State& state, const std::vector<core::Lease>& leases) {
  for (const core::Lease& lease : leases) {
    if (lease.merge) continue;
    const auto repository = repository_of(state, lease.run, lease.task);
    if (!repository) continue;
    std::vector<std::size_t>& known = warm_[lease.agent];
    std::erase(known, *repository);
    known.push_back(*repository);
    if (known.size() > kWarmRepositories) known.erase(known.begin());
  }
}

bool Dispatcher::proposed(DemandId id) const {
  const auto found = demands_.find(id);
  return found != demands_.end() && found->second.proposed;
}

void Dispatcher::forget_agent(AgentId agent) {
  warm_.erase(agent);
  for (auto at = demands_.begin(); at != demands_.end();) {
    if (at->second.agent != agent) {
      ++at;
      continue;
    }
    for (auto& [line, waiting] : lines_) waiting.erase(place_of(at->second, at->first));
    parked_.erase(at->first);
    at = demands_.erase(at);
  }
}

void Dispatcher::clear() {
  demands_.clear();
  lines_.clear();
  parked_.clear();
  warm_.clear();
  outlook_.clear();
  known_classes_ = 0;
}

}  // namespace ez::engine
