// Who waits for work, and what they get: the leader's choice of ready tasks for waiting agents. The choice is
// only a proposal; core checks it again when the Assign command is applied.
//
// The order of tasks is the state's: namespaces by their share, within a namespace by rank (priority with
// ageing). Agents take turns of one grain of tasks, so that load spreads over all that wait; within a turn
// orchestration/agent_choice.h decides: who has a warm worktree of the task's repository, who has the lighter
// load, who has waited longest. A grain is a sixteenth of the agent's capacity: an agent for many small
// tasks gets some with each answer, which saves most of the round trips, and the load is never further from
// even than that. Cost: O(log n) a task, plus the number of ability classes with work.
//
// Not thread-safe: belongs to the kernel's loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "core/state.h"
#include "engine/ready_cursor.h"

namespace ez::engine {

inline constexpr std::size_t kMaxDemands = 100'000;
inline constexpr std::uint32_t kGrainsPerAgent = 16;

using DemandId = std::uint64_t;

// Tasks proposed for one demand.
struct Assignment {
  DemandId demand = 0;
  AgentId agent;
  struct Task {
    RunId run;
    std::uint32_t task = 0;
    core::AgentTypeId type = 0;
    core::NamespaceId name_space = 0;
  };
  std::vector<Task> tasks;
};

class Dispatcher {
 public:
  using Deliver = std::function<void(std::vector<core::Lease>)>;

  // Errors: OVERLOADED when kMaxDemands wait, AGENT_NOT_FOUND.
  [[nodiscard]] Result<DemandId> offer(const core::State& state, AgentId agent, std::uint32_t want,
                                       Deliver deliver);
  // False: it is gone already, or its assignment is on the way (then it ends undelivered).
  bool withdraw(const core::State& state, DemandId id);

  // Fits ready tasks to waiting demands. Each demand that gets some is out of line until ended() is called
  // for it.
  [[nodiscard]] std::vector<Assignment> choose(const core::State& state);

  // The proposal is over: with leases the demand is delivered and gone; without it waits again. Returns the
  // leases that nobody takes (the demand was withdrawn meanwhile).
  [[nodiscard]] std::vector<core::Lease> ended(const core::State& state, const Assignment& assignment,
                                               std::vector<core::Lease> granted);

  // Whether tasks for it are on their way through the log.
  [[nodiscard]] bool proposed(DemandId id) const;

  // The agent is about to leave the state or has left it: its demands are dropped.
  void forget_agent(AgentId agent);
  // No longer leading: every demand is dropped.
  void clear();
  [[nodiscard]] std::size_t size() const { return demands_.size(); }

 private:
  struct Demand {
    AgentId agent;
    std::uint32_t want = 0;
    Deliver deliver;
    std::uint32_t taken = 0;  // in the present choice
    std::uint32_t grain = 1;
    bool in_line = false;
    bool proposed = false;
    bool withdrawn = false;
  };
  using Line = std::set<std::pair<std::uint32_t, DemandId>>;  // those that took the fewest grains come first
  [[nodiscard]] static Line::value_type place_of(const Demand& demand, DemandId id);
  void line_up(const core::State& state, DemandId id, Demand& demand);
  void step_out(const core::State& state, DemandId id, Demand& demand);
  // Who of the line gets the task.
  [[nodiscard]] DemandId pick(const core::State& state, const Line& line, const core::ReadyKey& key,
                              const std::map<AgentId, std::uint32_t>& given) const;
  void note_warm(const core::State& state, const std::vector<core::Lease>& leases);

  DemandId next_ = 1;
  std::map<DemandId, Demand> demands_;
  std::map<core::ClassId, Line> lines_;
  std::size_t known_classes_ = 0;
  std::set<DemandId> parked_;  // their agent is full; looked at again in every choose()
  // Repositories, by hash, of which an agent probably has a worktree: those it worked on last.
  std::map<AgentId, std::vector<std::size_t>> warm_;
  Outlook outlook_;  // what is on the way through the log
};

}  // namespace ez::engine
