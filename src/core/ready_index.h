// Where ready tasks stand: by ability class, by namespace (a lane), by workflow (a queue), in order of rank.
//
// Agents of one type compete for nothing with those of another, so each agent type has one fair clock
// (orchestration/fair_share.h): among its lanes with work the one with the smallest tag is served next,
// within a lane the task with the smallest rank. A pause takes a whole queue, lane or class out of the order,
// however many tasks stand in it, and puts it back: nothing is walked.
//
// All of it is derived: a snapshot does not hold it, and what apply() decides does not depend on it. Tags
// start anew when a snapshot is read; that forgets at most one turn of each namespace.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "core/run.h"

namespace ez::core {

class State;

using AgentTypeId = std::uint32_t;

// Order of ready tasks: rank is the time of becoming ready plus the priority's handicap, so that a task that
// has waited long enough beats a newer one of any priority (ageing without sweeps).
struct ReadyKey {
  std::int64_t rank_ms;
  RunId run;
  std::uint32_t task;
  auto operator<=>(const ReadyKey&) const = default;
};

// The ready tasks of one namespace in one ability class.
struct Lane {
  std::map<QueueId, std::set<ReadyKey>> queues;  // paused ones too; an empty one stays for the next task
  std::set<std::pair<ReadyKey, QueueId>> heads;  // the first of each queue that may be served
  std::uint64_t turn = 0;                        // its place in AbilityClass::turns
  bool in_turns = false;
};

struct AbilityClass {
  std::string type;  // "merge" for merges
  std::vector<std::string> capabilities;
  AgentTypeId agents = 0;  // the type of those that serve it
  std::size_t ready = 0;   // tasks, paused ones included
  std::map<NamespaceId, Lane> lanes;
  std::set<std::pair<std::uint64_t, NamespaceId>> turns;  // lanes that may be served, by virtual time
};

struct Share {
  std::uint64_t tag = 0;
  std::vector<ClassId> classes;  // where its lane is in `turns`
};

struct AgentType {
  std::string name;
  bool paused = false;  // derived from State::pauses
  std::uint64_t clock = 0;
  std::map<NamespaceId, Share> shares;
};

// A workflow, all its versions.
struct WorkflowQueue {
  NamespaceId name_space = 0;
  std::string name;
  bool paused = false;           // derived from State::pauses
  std::vector<ClassId> classes;  // where it has a queue
};

void insert_ready(State& state, ClassId ability, const WorkflowVersion& workflow, const ReadyKey& key);
// Nothing happens when it is not there.
void erase_ready(State& state, ClassId ability, const WorkflowVersion& workflow, const ReadyKey& key);
[[nodiscard]] bool contains_ready(const State& state, ClassId ability, const WorkflowVersion& workflow,
                                  const ReadyKey& key);

// One task of that namespace was given to an agent.
void charge_share(State& state, ClassId ability, NamespaceId name_space);

// Takes everything of a queue or a namespace out of the order, or puts it back. O(number of classes).
void set_queue_paused(State& state, QueueId queue, bool paused);
void set_namespace_paused(State& state, NamespaceId name_space, bool paused);

// What is wrong with the index itself; empty when nothing is.
[[nodiscard]] std::string check_ready_index(const State& state);

}  // namespace ez::core
