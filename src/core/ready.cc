#include "core/ready.h"

#include "core/budget.h"
#include "orchestration/rank.h"

namespace ez::core {
namespace {

constexpr std::uint8_t kParallelBit = 1;
constexpr std::uint8_t kConcurrencyBit = 2;
constexpr int kMaxPlaces = 3;

struct Place {
  std::uint8_t bit;
  std::string key;
};

// The places that a task needs, in the order in which they are taken. The order is the same for all, so that
// waiting for one while holding those before it cannot lock up: who has the last one, a place under a key,
// waits for nothing but an agent. A task that waits for a run of its own holds its reserve all the while, and
// that run may need places under keys: where there are such tasks, the reserve comes before them. (Elsewhere
// it comes last, as in the logs of earlier versions.)
void places_of(const Run& run, const Task& task, Place (&places)[kMaxPlaces], int& count) {
  count = 0;
  const orchestration::Task& definition = run.definition_of(task);
  if (definition.max_parallel != 0 && task.instance != kNoInstance) {
    places[count++] = {kParallelBit, "p\n" + to_text(run.id) + "\n" + definition.id};
  }
  const bool costs = needs_reserve(run, task);
  const bool reserve_first = run.definition().starts_runs;
  if (costs && reserve_first) places[count++] = {kBudgetBit, budget_key(run.id)};
  if (const std::string& key = task.get().concurrency_key; !key.empty()) {
    places[count++] = {kConcurrencyBit, "k\n" + run.workflow->namespace_name + "\n" + key};
  }
  if (costs && !reserve_first) places[count++] = {kBudgetBit, budget_key(run.id)};
}

// Age of a holder: the moment at which it first could run does not change while it holds a place.
ReadyKey holder_key(const Run& run, const Task& task, std::uint32_t index) {
  return {task.scheduled_ms, run.id, index};
}

void hold(State& state, const Place& place, const Run& run, const Task& task, std::uint32_t index) {
  Throttle& throttle = state.throttles[place.key];
  ++throttle.held;
  if (place.bit == kConcurrencyBit) throttle.holders.insert(holder_key(run, task, index));
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
  return {task.ready_ms + orchestration::priority_handicap_ms(priority), run.id, index};
}

ReadyKey serve_key(const Run& run, std::uint32_t index) {
  const Task& task = run.tasks[index];
  const orchestration::Task& definition = run.definition_of(task);
  // Nothing of this changes while the task waits; a deadline that was moved counts as it was written.
  const std::int64_t deadline =
      run.definition().deadline_ms == 0 ? 0 : run.created_ms + run.definition().deadline_ms;
  const orchestration::RankInput input{task.ready_ms, definition.priority.value_or(run.priority),
                                       definition.depth_below, deadline};
  return {orchestration::rank_ms(input), run.id, index};
}

void push_ready(State& state, const Run& run, std::uint32_t index) {
  const Task& task = run.tasks[index];
  const ClassId id =
      task.state == TaskState::kMergeReady ? state.merge_class() : run.workflow->classes[task.definition];
  insert_ready(state, id, *run.workflow, serve_key(run, index));
}

void erase_ready(State& state, const Run& run, std::uint32_t index) {
  const Task& task = run.tasks[index];
  const ClassId id =
      task.state == TaskState::kMergeReady ? state.merge_class() : run.workflow->classes[task.definition];
  erase_ready(state, id, *run.workflow, serve_key(run, index));
}

Admission acquire_places(State& state, Run& run, Task& task, std::uint32_t index) {
  if (!needs_places(run, task)) return Admission::kTaken;
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
        return Admission::kInLine;
      }
      take_reserve(run, task);
      task.held |= kBudgetBit;
      continue;
    }
    Throttle& throttle = state.throttles[places[i].key];
    if (throttle.held >= limit_of(run.definition_of(task), places[i].bit)) {
      using orchestration::WhenFull;
      const WhenFull policy =
          places[i].bit == kConcurrencyBit ? run.definition_of(task).concurrency->when_full : WhenFull::kWait;
      if (policy == WhenFull::kCancelNewest) return Admission::kCancelled;
      if (policy == WhenFull::kReject) return Admission::kRejected;
      throttle.waiting.insert(ready_key(run, index));
      return policy == WhenFull::kCancelOldest ? Admission::kClearing : Admission::kInLine;
    }
    hold(state, places[i], run, task, index);
    task.held |= places[i].bit;
  }
  return Admission::kTaken;
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
    found->second.holders.erase(holder_key(run, task, index));
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
        hold(state, places[i], run, task, index);
    }
  }
  if (run.state != RunState::kRunning) return;
  if (task.state == TaskState::kReady || task.state == TaskState::kMergeReady) push_ready(state, run, index);
  // With a timer it waits for its rate, not in a line.
  if (task.state == TaskState::kThrottled && task.due_ms == 0) {
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

void underive_places(State& state, const Run& run, std::uint32_t index, std::vector<std::string>& keys) {
  const Task& task = run.tasks[index];
  const bool active = run.state == RunState::kRunning;
  if (active && (task.state == TaskState::kReady || task.state == TaskState::kMergeReady))
    erase_ready(state, run, index);
  const bool in_line = active && task.state == TaskState::kThrottled && task.due_ms == 0;
  if (task.held == 0 && !in_line) return;
  Place places[kMaxPlaces];
  int count = 0;
  places_of(run, task, places, count);
  for (int i = 0; i < count; ++i) {
    const auto found = state.throttles.find(places[i].key);
    if (found == state.throttles.end()) continue;
    keys.push_back(places[i].key);
    if ((task.held & places[i].bit) == 0) {
      found->second.waiting.erase(ready_key(run, index));
    } else if (places[i].bit != kBudgetBit) {
      --found->second.held;
      found->second.holders.erase(holder_key(run, task, index));
    }
  }
}

bool has_room(const State& state, const std::string& key, const Run& run, const Task& task) {
  if (key[0] == 'b') return reserve_fits(run, task);
  const std::uint8_t bit = key[0] == 'p' ? kParallelBit : kConcurrencyBit;
  const auto found = state.throttles.find(key);
  return found == state.throttles.end() || found->second.held < limit_of(run.definition_of(task), bit);
}

std::string run_line_key(const Run& run) {
  return "r\n" + run.workflow->namespace_name + "\n" + run.concurrency_key;
}

namespace {

ReadyKey run_rank(const Run& run) {
  return {run.created_ms + orchestration::priority_handicap_ms(run.priority), run.id, kRunTimer};
}

}  // namespace

void derive_run_place(State& state, const Run& run) {
  if (run.concurrency_key.empty() || is_terminal(run.state)) return;
  if (run.admitted) {
    Throttle& throttle = state.throttles[run_line_key(run)];
    ++throttle.held;
    throttle.holders.insert({run.created_ms, run.id, kRunTimer});
  } else if (run.state == RunState::kQueued) {
    enter_run_line(state, run);
  }
}

bool has_run_room(const State& state, const Run& run) {
  const auto found = state.throttles.find(run_line_key(run));
  return found == state.throttles.end() || found->second.held < run.definition().concurrency->limit;
}

void take_run_place(State& state, Run& run) {
  Throttle& throttle = state.throttles[run_line_key(run)];
  ++throttle.held;
  throttle.holders.insert({run.created_ms, run.id, kRunTimer});
  throttle.waiting.erase(run_rank(run));
  run.admitted = true;
}

void enter_run_line(State& state, const Run& run) {
  state.throttles[run_line_key(run)].waiting.insert(run_rank(run));
}

void leave_run_place(State& state, Run& run, std::vector<std::string>& freed) {
  if (run.concurrency_key.empty()) return;
  const std::string key = run_line_key(run);
  const auto found = state.throttles.find(key);
  if (found == state.throttles.end()) return;
  if (run.admitted) {
    --found->second.held;
    found->second.holders.erase({run.created_ms, run.id, kRunTimer});
  } else {
    found->second.waiting.erase(run_rank(run));
  }
  run.admitted = false;
  if (found->second.waiting.empty()) {
    forget_if_empty(state, key);
  } else {
    freed.push_back(key);
  }
}

const ReadyKey* oldest_holder(const State& state, const Run& run, std::uint32_t index) {
  std::string key;
  if (index == kRunTimer) {
    key = run_line_key(run);
  } else {
    key = "k\n" + run.workflow->namespace_name + "\n" + run.tasks[index].get().concurrency_key;
  }
  const auto found = state.throttles.find(key);
  if (found == state.throttles.end() || found->second.holders.empty()) return nullptr;
  return &*found->second.holders.begin();
}

bool waits_at_full_key(const State& state, const Run& run, std::uint32_t index) {
  if (index == kRunTimer) return run.state == RunState::kQueued && !has_run_room(state, run);
  const Task& task = run.tasks[index];
  if (task.state != TaskState::kThrottled || (task.held & kConcurrencyBit) != 0) return false;
  const std::string key = "k\n" + run.workflow->namespace_name + "\n" + task.get().concurrency_key;
  const auto found = state.throttles.find(key);
  return found != state.throttles.end() && found->second.waiting.contains(ready_key(run, index)) &&
         !has_room(state, key, run, task);
}

}  // namespace ez::core
