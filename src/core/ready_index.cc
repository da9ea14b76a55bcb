#include "core/ready_index.h"

#include <algorithm>

#include "core/state.h"
#include "orchestration/fair_share.h"

namespace ez::core {
namespace {

void enter_turns(State& state, ClassId id, NamespaceId name_space, Lane& lane) {
  if (lane.in_turns || lane.heads.empty() || state.namespaces[name_space].paused) return;
  AbilityClass& ability = state.classes[id];
  AgentType& type = state.agent_types[ability.agents];
  Share& share = type.shares[name_space];
  if (share.classes.empty()) share.tag = orchestration::start_tag(share.tag, type.clock, 1);
  lane.turn = share.tag;
  lane.in_turns = true;
  ability.turns.insert({lane.turn, name_space});
  share.classes.push_back(id);
}

void leave_turns(State& state, ClassId id, NamespaceId name_space, Lane& lane) {
  if (!lane.in_turns) return;
  AbilityClass& ability = state.classes[id];
  lane.in_turns = false;
  ability.turns.erase({lane.turn, name_space});
  std::erase(state.agent_types[ability.agents].shares[name_space].classes, id);
}

void add_head(State& state, ClassId id, NamespaceId name_space, Lane& lane, const ReadyKey& key,
              QueueId queue) {
  lane.heads.insert({key, queue});
  enter_turns(state, id, name_space, lane);
}

void remove_head(State& state, ClassId id, NamespaceId name_space, Lane& lane, const ReadyKey& key,
                 QueueId queue) {
  lane.heads.erase({key, queue});
  if (lane.heads.empty()) leave_turns(state, id, name_space, lane);
}

}  // namespace

void insert_ready(State& state, ClassId ability, const WorkflowVersion& workflow, const ReadyKey& key) {
  AbilityClass& at = state.classes[ability];
  Lane& lane = at.lanes[workflow.name_space];
  const auto [queue, added] = lane.queues.try_emplace(workflow.queue);
  WorkflowQueue& owner = state.queues[workflow.queue];
  if (added) owner.classes.push_back(ability);
  std::set<ReadyKey>& tasks = queue->second;
  const bool first = tasks.empty() || key < *tasks.begin();
  if (first && !owner.paused) {
    if (!tasks.empty()) lane.heads.erase({*tasks.begin(), workflow.queue});
    add_head(state, ability, workflow.name_space, lane, key, workflow.queue);
  }
  if (!tasks.insert(key).second) return;
  ++at.ready;
  ++state.namespaces[workflow.name_space].ready;
}

void erase_ready(State& state, ClassId ability, const WorkflowVersion& workflow, const ReadyKey& key) {
  AbilityClass& at = state.classes[ability];
  const auto lane = at.lanes.find(workflow.name_space);
  if (lane == at.lanes.end()) return;
  const auto queue = lane->second.queues.find(workflow.queue);
  if (queue == lane->second.queues.end()) return;
  std::set<ReadyKey>& tasks = queue->second;
  const auto found = tasks.find(key);
  if (found == tasks.end()) return;
  const bool first = found == tasks.begin();
  tasks.erase(found);
  --at.ready;
  --state.namespaces[workflow.name_space].ready;
  if (!first || state.queues[workflow.queue].paused) return;
  // The next one goes in first, so that the lane does not lose its turn in between.
  if (!tasks.empty()) lane->second.heads.insert({*tasks.begin(), workflow.queue});
  remove_head(state, ability, workflow.name_space, lane->second, key, workflow.queue);
}

bool contains_ready(const State& state, ClassId ability, const WorkflowVersion& workflow,
                    const ReadyKey& key) {
  const auto lane = state.classes[ability].lanes.find(workflow.name_space);
  if (lane == state.classes[ability].lanes.end()) return false;
  const auto queue = lane->second.queues.find(workflow.queue);
  return queue != lane->second.queues.end() && queue->second.contains(key);
}

void charge_share(State& state, ClassId ability, NamespaceId name_space) {
  AgentType& type = state.agent_types[state.classes[ability].agents];
  if (type.shares.size() < 2) return;  // alone: there is nobody to be fair to
  Share& share = type.shares[name_space];
  orchestration::charge(share.tag, type.clock, state.namespaces[name_space].weight);
  for (const ClassId id : share.classes) {
    AbilityClass& at = state.classes[id];
    Lane& lane = at.lanes[name_space];
    at.turns.erase({lane.turn, name_space});
    lane.turn = share.tag;
    at.turns.insert({lane.turn, name_space});
  }
}

void set_queue_paused(State& state, QueueId queue, bool paused) {
  WorkflowQueue& owner = state.queues[queue];
  if (owner.paused == paused) return;
  owner.paused = paused;
  for (const ClassId id : owner.classes) {
    Lane& lane = state.classes[id].lanes[owner.name_space];
    const std::set<ReadyKey>& tasks = lane.queues[queue];
    if (tasks.empty()) continue;
    if (paused) {
      remove_head(state, id, owner.name_space, lane, *tasks.begin(), queue);
    } else {
      add_head(state, id, owner.name_space, lane, *tasks.begin(), queue);
    }
  }
}

void set_namespace_paused(State& state, NamespaceId name_space, bool paused) {
  Namespace& owner = state.namespaces[name_space];
  if (owner.paused == paused) return;
  owner.paused = paused;
  for (ClassId id = 0; id < state.classes.size(); ++id) {
    const auto lane = state.classes[id].lanes.find(name_space);
    if (lane == state.classes[id].lanes.end()) continue;
    if (paused) {
      leave_turns(state, id, name_space, lane->second);
    } else {
      enter_turns(state, id, name_space, lane->second);
    }
  }
}

std::string check_ready_index(const State& state) {
  std::vector<std::uint64_t> ready(state.namespaces.size());
  for (ClassId id = 0; id < state.classes.size(); ++id) {
    const AbilityClass& ability = state.classes[id];
    std::size_t tasks = 0;
    std::size_t turns = 0;
    for (const auto& [name_space, lane] : ability.lanes) {
      std::size_t heads = 0;
      for (const auto& [queue, keys] : lane.queues) {
        tasks += keys.size();
        ready[name_space] += keys.size();
        if (keys.empty() || state.queues[queue].paused) continue;
        ++heads;
        if (!lane.heads.contains({*keys.begin(), queue})) return "a queue's first task is not a head";
      }
      if (heads != lane.heads.size()) return "a lane has heads that no queue stands for";
      const bool served = heads > 0 && !state.namespaces[name_space].paused;
      if (served != lane.in_turns) return "a lane's turn and its tasks disagree";
      if (!served) continue;
      ++turns;
      const auto share = state.agent_types[ability.agents].shares.find(name_space);
      if (share == state.agent_types[ability.agents].shares.end() || share->second.tag != lane.turn ||
          std::count(share->second.classes.begin(), share->second.classes.end(), id) != 1) {
        return "a lane's turn is not its share's tag";
      }
      if (!ability.turns.contains({lane.turn, name_space})) return "a lane has lost its turn";
    }
    if (tasks != ability.ready) return "the ready tasks of a class are counted wrongly";
    if (turns != ability.turns.size()) return "there are turns that no lane has";
  }
  for (NamespaceId id = 0; id < ready.size(); ++id) {
    if (ready[id] != state.namespaces[id].ready) return "the ready tasks of a namespace are counted wrongly";
  }
  return "";
}

}  // namespace ez::core
