#include "orchestration/dag.h"

#include <algorithm>
#include <array>
#include <functional>
#include <queue>

#include "base/check.h"

namespace ez::orchestration {
namespace {

// Dependents of every task as one flat array: those of task t are list[begin[t]] … list[begin[t + 1]).
struct Dependents {
  std::vector<std::uint32_t> begin;
  std::vector<std::uint32_t> list;
};

Dependents invert(const std::vector<Task>& tasks) {
  Dependents out;
  out.begin.assign(tasks.size() + 1, 0);
  for (const Task& task : tasks) {
    for (const std::uint32_t dependency : task.dependencies) {
      EZ_CHECK(dependency < tasks.size(), "a dependency is no task");
      ++out.begin[dependency + 1];
    }
  }
  for (std::size_t i = 0; i < tasks.size(); ++i) out.begin[i + 1] += out.begin[i];
  out.list.resize(out.begin.back());
  std::vector<std::uint32_t> next(out.begin.begin(), out.begin.end() - 1);
  for (std::uint32_t i = 0; i < tasks.size(); ++i) {
    for (const std::uint32_t dependency : tasks[i].dependencies) out.list[next[dependency]++] = i;
  }
  return out;
}

}  // namespace

std::vector<std::uint32_t> topological_order(const std::vector<Task>& tasks) {
  const Dependents dependents = invert(tasks);
  std::vector<std::uint32_t> missing(tasks.size());
  std::priority_queue<std::uint32_t, std::vector<std::uint32_t>, std::greater<>> ready;
  for (std::uint32_t i = 0; i < tasks.size(); ++i) {
    missing[i] = static_cast<std::uint32_t>(tasks[i].dependencies.size());
    if (missing[i] == 0) ready.push(i);
  }
  std::vector<std::uint32_t> order;
  order.reserve(tasks.size());
  while (!ready.empty()) {
    const std::uint32_t task = ready.top();
    ready.pop();
    order.push_back(task);
    for (std::uint32_t i = dependents.begin[task]; i < dependents.begin[task + 1]; ++i) {
      if (--missing[dependents.list[i]] == 0) ready.push(dependents.list[i]);
    }
  }
  return order;
}

std::vector<std::vector<std::uint32_t>> find_cycles(const std::vector<Task>& tasks, std::size_t limit) {
  enum class Colour : std::uint8_t { kNew, kOpen, kDone };
  std::vector<Colour> colour(tasks.size(), Colour::kNew);
  std::vector<bool> reported(tasks.size(), false);
  struct Step {
    std::uint32_t task;
    std::uint32_t next;  // index of the dependency to look at
  };
  std::vector<Step> path;
  std::vector<std::vector<std::uint32_t>> cycles;
  for (std::uint32_t start = 0; start < tasks.size() && cycles.size() < limit; ++start) {
    if (colour[start] != Colour::kNew) continue;
    path.push_back({start, 0});
    colour[start] = Colour::kOpen;
    while (!path.empty()) {
      Step& step = path.back();
      const auto& dependencies = tasks[step.task].dependencies;
      if (step.next == dependencies.size()) {
        colour[step.task] = Colour::kDone;
        path.pop_back();
        continue;
      }
      const std::uint32_t dependency = dependencies[step.next++];
      if (colour[dependency] == Colour::kNew) {
        colour[dependency] = Colour::kOpen;
        path.push_back({dependency, 0});
      } else if (colour[dependency] == Colour::kOpen && cycles.size() < limit) {
        std::vector<std::uint32_t> cycle;
        std::size_t i = path.size();
        while (path[i - 1].task != dependency) --i;
        bool is_known = false;
        for (--i; i < path.size(); ++i) {
          cycle.push_back(path[i].task);
          is_known = is_known || reported[path[i].task];
        }
        if (is_known) continue;
        for (const std::uint32_t task : cycle) reported[task] = true;
        std::rotate(cycle.begin(), std::min_element(cycle.begin(), cycle.end()), cycle.end());
        cycles.push_back(std::move(cycle));
      }
    }
  }
  return cycles;
}

void link_tasks(std::vector<Task>& tasks) {
  const Dependents dependents = invert(tasks);
  for (std::uint32_t i = 0; i < tasks.size(); ++i) {
    tasks[i].dependents.assign(dependents.list.begin() + dependents.begin[i],
                               dependents.list.begin() + dependents.begin[i + 1]);
    // A compensation waits for a rollback, not for its dependency.
    std::erase_if(tasks[i].dependents, [&](std::uint32_t d) { return tasks[d].compensates.has_value(); });
    tasks[i].depth_below = 0;
  }
  const std::vector<std::uint32_t> order = topological_order(tasks);
  EZ_CHECK(order.size() == tasks.size(), "link_tasks of tasks with a cycle");
  for (auto task = order.rbegin(); task != order.rend(); ++task) {
    if (tasks[*task].compensates) continue;
    for (const std::uint32_t dependency : tasks[*task].dependencies) {
      tasks[dependency].depth_below = std::max(tasks[dependency].depth_below, tasks[*task].depth_below + 1);
    }
  }
}

std::vector<bool> are_upstream(const std::vector<Task>& tasks,
                               const std::vector<std::pair<std::uint32_t, std::uint32_t>>& questions) {
  static constexpr std::size_t kWords = 8;
  static constexpr std::size_t kBits = kWords * 64;
  std::vector<bool> answers(questions.size(), false);
  // Questions sorted by the task that is asked about; indexes keep the caller's order.
  std::vector<std::uint32_t> sorted(questions.size());
  for (std::uint32_t i = 0; i < sorted.size(); ++i) sorted[i] = i;
  std::sort(sorted.begin(), sorted.end(), [&](std::uint32_t a, std::uint32_t b) {
    return std::pair(questions[a].second, a) < std::pair(questions[b].second, b);
  });
  const std::vector<std::uint32_t> order = topological_order(tasks);
  EZ_CHECK(order.size() == tasks.size(), "are_upstream of tasks with a cycle");
  std::vector<std::array<std::uint64_t, kWords>> masks(questions.empty() ? 0 : tasks.size());
  std::vector<std::int32_t> bit_of(masks.size(), -1);
  for (std::size_t from = 0; from < sorted.size();) {
    std::size_t to = from;
    std::vector<std::uint32_t> batch;
    while (to < sorted.size()) {
      const std::uint32_t other = questions[sorted[to]].second;
      if (batch.empty() || batch.back() != other) {
        if (batch.size() == kBits) break;
        bit_of[other] = static_cast<std::int32_t>(batch.size());
        batch.push_back(other);
      }
      ++to;
    }
    for (const std::uint32_t task : order) {
      std::array<std::uint64_t, kWords> mask{};
      for (const std::uint32_t dependency : tasks[task].dependencies) {
        for (std::size_t w = 0; w < kWords; ++w) mask[w] |= masks[dependency][w];
        if (const std::int32_t bit = bit_of[dependency]; bit >= 0) {
          mask[static_cast<std::size_t>(bit) / 64] |= 1ULL << (static_cast<std::size_t>(bit) % 64);
        }
      }
      masks[task] = mask;
    }
    for (; from < to; ++from) {
      const auto& [task, other] = questions[sorted[from]];
      const auto bit = static_cast<std::size_t>(bit_of[other]);
      answers[sorted[from]] = ((masks[task][bit / 64] >> (bit % 64)) & 1U) != 0;
    }
    for (const std::uint32_t other : batch) bit_of[other] = -1;
  }
  return answers;
}

}  // namespace ez::orchestration
