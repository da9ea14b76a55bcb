// Walks the ready tasks of one ability class in the order in which they are served, without changing
// anything: the leader looks ahead by several tasks before the first of them is assigned through the log.
//
// What is on its way already counts: Outlook says which tasks are proposed, and how many of each namespace.
// Lanes and queues are opened one after the other as the walk needs them, so its cost is O(log n) for each
// task that is taken, plus the lanes that are at their limit.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "core/state.h"

namespace ez::engine {

// Proposals that the log has not answered yet.
struct Outlook {
  std::set<std::pair<RunId, std::uint32_t>> tasks;
  std::map<std::pair<core::AgentTypeId, core::NamespaceId>, std::uint64_t> of_type;
  std::map<core::NamespaceId, std::uint64_t> of_namespace;

  void add(RunId run, std::uint32_t task, core::AgentTypeId type, core::NamespaceId name_space);
  void remove(RunId run, std::uint32_t task, core::AgentTypeId type, core::NamespaceId name_space);
  void clear();
  [[nodiscard]] std::uint64_t count(core::AgentTypeId type, core::NamespaceId name_space) const;
  [[nodiscard]] bool is_full(const core::Namespace& owner, core::NamespaceId id) const;
};

class ReadyCursor {
 public:
  // Both outlive the cursor; the state does not change meanwhile, the outlook may.
  ReadyCursor(const core::State& state, core::ClassId ability, const Outlook& outlook);

  struct Head {
    std::uint64_t tag = 0;  // virtual time of its namespace among the agents of that type
    core::ReadyKey key{};
    core::NamespaceId name_space = 0;
  };
  // The task that is served next; nullopt when there is none that may be.
  [[nodiscard]] std::optional<Head> peek();
  // Goes past it; it is in the outlook by now.
  void take();
  [[nodiscard]] core::AgentTypeId agents() const { return ability_->agents; }

 private:
  struct Queue {
    std::set<core::ReadyKey>::const_iterator at;
    std::set<core::ReadyKey>::const_iterator end;
  };
  struct Lane {
    std::uint64_t tag = 0;
    core::NamespaceId name_space = 0;
    const core::Lane* lane = nullptr;
    std::set<std::pair<core::ReadyKey, core::QueueId>>::const_iterator next;  // queues that are not open yet
    std::vector<Queue> open;                                                  // a heap by their task
  };
  [[nodiscard]] std::uint64_t tag_of(core::NamespaceId name_space) const;
  [[nodiscard]] bool is_proposed(const core::ReadyKey& key) const;
  // Makes open.front() the lane's next task; false: it has none.
  bool settle(Lane& lane) const;
  void skip_proposed(Queue& queue) const;

  const core::State* state_;
  const core::AbilityClass* ability_;
  const Outlook* outlook_;
  std::set<std::pair<std::uint64_t, core::NamespaceId>>::const_iterator next_;  // lanes that are not open yet
  std::vector<Lane> open_;                                                      // a heap by tag
};

}  // namespace ez::engine
