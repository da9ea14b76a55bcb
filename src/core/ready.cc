#include "core/ready.h"

namespace ez::core {
namespace {

constexpr std::uint8_t kParallelBit = 1;
constexpr std::uint8_t kConcurrencyBit = 2;

struct Place {
  std::uint8_t bit;
  std::string key;
};

// The places that a task needs, in the order in which they are taken. The order is the same for all, and the
// first kind is private to one group, so waiting for the second while holding the first cannot lock up.
void places_of(const Run& run, const Task& task, Place (&places)[2], int& count) {
  count = 0;
  const orchestration::Task& definition = run.definition_of(task);
  if (definition.max_parallel != 0 && task.instance != kNoInstance) {
    places[count++] = {kParallelBit, "p\n" + to_text(run.id) + "\n" + definition.id};
  }
  if (const std::string& key = task.get().concurrency_key; !key.empty()) {
    places[count++] = {kConcurrencyBit, "k\n" + run.workflow->namespace_name + "\n" + key};
  }
}

std::uint32_t limit_of(const orchestration::Task& definition, std::uint8_t bit) {
  return bit == kParallelBit ? definition.max_parallel : definition.concurrency->limit;
}

void forget_if_empty(State& state, const std::string& key) {
  const auto found = state.throttles.find(key);
  if (found != state.throttles.end() && found->second.held == 0 && found->second.waiting.empty()) {
    state.throttles.erase(found);
  }
}

}  // namespace

bool needs_places(const Run& run, const Task& task) {
  const orchestration::Task& definition = run.definition_of(task);
  return definition.concurrency.has_value() || (definition.max_parallel != 0 && task.instance != kNoInstance);
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
  state.classes[id].ready.insert(ready_key(run, index));
}

void erase_ready(State& state, const Run& run, std::uint32_t index) {
  const Task& task = run.tasks[index];
  const ClassId id =
      task.state == TaskState::kMergeReady ? state.merge_class() : run.workflow->classes[task.definition];
  state.classes[id].ready.erase(ready_key(run, index));
}

bool acquire_places(State& state, const Run& run, Task& task, std::uint32_t index) {
  if (!needs_places(run, task)) return true;
  Place places[2];
  int count = 0;
  places_of(run, task, places, count);
  for (int i = 0; i < count; ++i) {
    if ((task.held & places[i].bit) != 0) continue;
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
  Place places[2];
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

void release_places(State& state, const Run& run, Task& task, std::uint32_t index,
                    std::vector<std::string>& freed) {
  if (!needs_places(run, task)) return;
  leave_line(state, run, index, freed);
  Place places[2];
  int count = 0;
  places_of(run, task, places, count);
  for (int i = 0; i < count; ++i) {
    if ((task.held & places[i].bit) == 0) continue;
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
    Place places[2];
    int count = 0;
    places_of(run, task, places, count);
    for (int i = 0; i < count; ++i) {
      if ((task.held & places[i].bit) != 0) ++state.throttles[places[i].key].held;
    }
  }
  if (run.state != RunState::kRunning) return;
  if (task.state == TaskState::kReady || task.state == TaskState::kMergeReady) push_ready(state, run, index);
  if (task.state == TaskState::kThrottled) {
    Place places[2];
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
  const std::uint8_t bit = key[0] == 'p' ? kParallelBit : kConcurrencyBit;
  const auto found = state.throttles.find(key);
  return found == state.throttles.end() || found->second.held < limit_of(run.definition_of(task), bit);
}

}  // namespace ez::core
