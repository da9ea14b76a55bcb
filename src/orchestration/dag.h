// The graph of a workflow's tasks: order, cycles, what is upstream of what. Pure functions over
// Task::dependencies. Everything is iterative (chains of 50,000 tasks) and ends in O(tasks + dependencies)
// unless noted. Dependencies must be valid indexes; they may form cycles only where noted.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "orchestration/definition.h"

namespace ez::orchestration {

// Every task after its dependencies, otherwise in file order (Kahn 1962). Shorter than `tasks` when there are
// cycles: the tasks on and below a cycle are missing.
[[nodiscard]] std::vector<std::uint32_t> topological_order(const std::vector<Task>& tasks);

// Cycles, at most `limit`, each as the list of its tasks where every one needs the next and the last needs
// the first. No task is in two of them; empty when the tasks are a DAG. Starts with the task that comes first
// in the file.
[[nodiscard]] std::vector<std::vector<std::uint32_t>> find_cycles(const std::vector<Task>& tasks,
                                                                  std::size_t limit);

// Fills dependents and depth_below from dependencies. The tasks must be a DAG.
void link_tasks(std::vector<Task>& tasks);

// For each (task, other): is `other` upstream of `task`, directly or through other tasks? The tasks must be a
// DAG. O((tasks + dependencies) × distinct others / 512): one pass answers the questions about 512 others at
// once.
[[nodiscard]] std::vector<bool> are_upstream(
    const std::vector<Task>& tasks, const std::vector<std::pair<std::uint32_t, std::uint32_t>>& questions);

}  // namespace ez::orchestration
