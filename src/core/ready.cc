#include "core/ready.h"

#include "core/budget.h"

namespace ez::core {
namespace {

constexpr std::uint8_t kParallelBit = 1;
constexpr std::uint8_t kConcurrencyBit = 2;
constexpr int kMaxPlaces = 3;

struct Place {
  std::uint8_t bit;
  std::string key;
};

// The places that a task needs, in the order in which they are taken. The order is the same for all, and the
// first kind is private to one group and the last to one run, whose holders wait for nothing but an agent:
// waiting for one while holding those before it cannot lock up.
void places_of(const Run& run, const Task& task, Place (&places)[kMaxPlaces], int& count) {
  count = 0;
  const orchestration::Task& definition = run.definition_of(task);
  if (definition.max_parallel != 0 && task.instance != kNoInstance) {
    places[count++] = {kParallelBit, "p\n" + to_text(run.id) + "\n" + definition.id};
  }
  if (const std::string& key = task.get().concurrency_key; !key.empty()) {
    places[count++] = {kConcurrencyBit, "k\n" + run.workflow->namespace_name + "\n" + key};
  }
  if (needs_reserve(run, task)) places[count++] = {kBudgetBit, budget_key(run.id)};
}

std::uint32_t limit_of(const orchestration::Task& definition, std::uint8_t bit) {
  return bit == kParallelBit ? definition.max_parallel : definition.concurrency->limit;
}

}  // namespace

void forget_if_empty(State& state, const std::string& key) {
  const auto found = state.throttles.find(key);
  if (found != state.throttles.end() && found->second.held == 0 && found->second.waiting.empty()) {
    state.throttles.erase(found);
  }
}

bool needs_places(const Run& run, const Task& task) {
  const orchestration::Task& definition = run.definition_of(task);
  return definition.concurrency.has_value() ||
         (definition.max_parallel != 0 && task.instance != kNoInstance) || needs_reserve(run, task);
}

ReadyKey ready_key(const Run& run, std::uint32_t index) {
  const Task& task = run.tasks[index];
  const auto priority = run.definition_of(task).priority.value_or(run.priority);
  return {task.ready_ms + priority_handicap_ms(priority), run.id, index};
}

void push_ready(State& state, const Run& run, std::uint32_t index) {
  const Task& task = run.tasks[index];
  const ClassId id =
      task.state == TaskState::kMergeReady ? state.merge_class() : run.workflow->classes[task.definition];
  insert_ready(state, id, *run.workflow, ready_key(run, index));
}

void erase_ready(State& state, const Run& run, std::uint32_t index) {
  const Task& task = run.tasks[index];
  const ClassId id =
      task.state == TaskState::kMergeReady ? state.merge_class() : run.workflow->classes[task.definition];
  erase_ready(state, id, *run.workflow, ready_key(run, index));
}

bool acquire_places(State& state, Run& run, Task& task, std::uint32_t index) {
  if (!needs_places(run, task)) return true;
  Place places[kMaxPlaces];
  int count = 0;
  places_of(run, task, places, count);
  for (int i = 0; i < count; ++i) {
    if ((task.held & places[i].bit) != 0) continue;
    if (places[i].bit == kBudgetBit) {
      // Reserves differ in size: who asks for little does not pass those who stand in line for more.
      const auto line = state.throttles.find(places[i].key);
      const bool first = line == state.throttles.end() || line->second.waiting.empty() ||
                         ready_key(run, index) < *line->second.waiting.begin();
      if (!first || !reserve_fits(run, task)) {
        state.throttles[places[i].key].waiting.insert(ready_key(run, index));
        return false;
      }
      take_reserve(run, task);
      task.held |= kBudgetBit;
      continue;
    }
    Throttle& throttle = state.throttles[places[i].key];
    if (throttle.held >= limit_of(run.definition_of(task), places[i].bit)) {
      throttle.waiting.insert(ready_key(run, index));
      return false;
    }
    ++throttle.held;
    task.held |= places[i].bit;
  }
  return true;
}

void leave_line(State& state, const Run& run, std::uint32_t index, std::vector<std::string>& freed) {
  const Task& task = run.tasks[index];
  if (!needs_places(run, task)) return;
  Place places[kMaxPlaces];
  int count = 0;
  places_of(run, task, places, count);
  for (int i = 0; i < count; ++i) {
    if ((task.held & places[i].bit) != 0) continue;
    if (const auto found = state.throttles.find(places[i].key); found != state.throttles.end()) {
      const bool stood = found->second.waiting.erase(ready_key(run, index)) > 0;
      if (stood && !found->second.waiting.empty()) freed.push_back(places[i].key);
      forget_if_empty(state, places[i].key);
    }
  }
}

void release_places(State& state, Run& run, Task& task, std::uint32_t index,
                    std::vector<std::string>& freed) {
  if (!needs_places(run, task)) return;
  leave_line(state, run, index, freed);
  Place places[kMaxPlaces];
  int count = 0;
  places_of(run, task, places, count);
  for (int i = 0; i < count; ++i) {
    if ((task.held & places[i].bit) == 0) continue;
    if (places[i].bit == kBudgetBit) {
      drop_reserve(run, task);
      freed.push_back(places[i].key);
      continue;
    }
    const auto found = state.throttles.find(places[i].key);
    EZ_CHECK(found != state.throttles.end() && found->second.held > 0,
             "a place was given back that nobody held");
    --found->second.held;
    if (found->second.waiting.empty()) {
      forget_if_empty(state, places[i].key);
    } else {
      freed.push_back(places[i].key);
    }
  }
  task.held = 0;
}

void derive_places(State& state, const Run& run, std::uint32_t index) {
  const Task& task = run.tasks[index];
  if (task.held != 0) {
    Place places[kMaxPlaces];
    int count = 0;
    places_of(run, task, places, count);
    for (int i = 0; i < count; ++i) {
      if (places[i].bit != kBudgetBit && (task.held & places[i].bit) != 0)
        ++state.throttles[places[i].key].held;
    }
  }
  if (run.state != RunState::kRunning) return;
  if (task.state == TaskState::kReady || task.state == TaskState::kMergeReady) push_ready(state, run, index);
  if (task.state == TaskState::kThrottled) {
    Place places[kMaxPlaces];
    int count = 0;
    places_of(run, task, places, count);
    for (int i = 0; i < count; ++i) {
      if ((task.held & places[i].bit) != 0) continue;
      state.throttles[places[i].key].waiting.insert(ready_key(run, index));
      break;
    }
  }
}

bool has_room(const State& state, const std::string& key, const Run& run, const Task& task) {
  if (key[0] == 'b') return reserve_fits(run, task);
  const std::uint8_t bit = key[0] == 'p' ? kParallelBit : kConcurrencyBit;
  const auto found = state.throttles.find(key);
  return found == state.throttles.end() || found->second.held < limit_of(run.definition_of(task), bit);
}

}  // namespace ez::core
