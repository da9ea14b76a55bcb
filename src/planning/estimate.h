// What a planned workflow may cost and how long it may take, from data: prices (models/prices.h), what an
// attempt of each size usually needs (usual.json), and the longest path of the graph. Guesses, and said to be
// so. Pure; integers only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "planning/planner.h"

namespace ez::planning {

struct TaskEstimate {
  std::string task;
  std::string agent;   // type; "person", "wait" or "-" where no agent works
  std::string size;    // empty for commands
  std::string model;   // whose price counts; empty: none
  bool priced = true;  // false: the model has no price, so its cost is not in the sum
  std::int64_t instances = 1;
  std::int64_t tokens = 0;  // of all instances
  std::int64_t cost_microusd = 0;
  std::int64_t minutes = 0;  // of one instance after the other dependencies; instances run side by side
};

struct Estimate {
  std::vector<TaskEstimate> tasks;  // in the order of the file
  std::int64_t cost_microusd = 0;
  std::int64_t cost_low_microusd = 0;
  std::int64_t cost_high_microusd = 0;
  std::int64_t minutes = 0;           // along the longest path: with as many agents as can work at once
  std::int64_t minutes_alone = 0;     // one task after the other
  std::vector<std::string> path;      // the longest path
  std::vector<std::string> unpriced;  // models without a price
  std::int64_t people = 0;            // tasks that wait for a person, whose time is not counted
  std::int64_t guessed_lists = 0;     // for_each tasks whose number of items is a guess
  std::string prices_dated;
};

[[nodiscard]] Estimate estimate_plan(const Plan& plan, const std::vector<orchestration::AgentType>& types,
                                     const models::PriceTable& prices);

}  // namespace ez::planning
