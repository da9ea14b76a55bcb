#include "core/invariants.h"

#include <algorithm>

#include "core/budget.h"
#include "core/family.h"
#include "core/ready.h"
#include "core/rollback.h"

namespace ez::core {
namespace {

class Scan {
 public:
  explicit Scan(const State& state) : state_(state) {}

  std::vector<std::string> run() {
    std::size_t live = 0;
    for (const auto& [fence, lease] : state_.leases) {
      if (lease.reserve_microusd > 0) reserved_[lease.run] += lease.reserve_microusd;
      if (lease.open_microusd > 0) ++open_;
      expect(lease.open_microusd >= 0 &&
                 (lease.reserve_microusd == kNoReserve || lease.open_microusd <= lease.reserve_microusd),
             "a lease of " + to_text(lease.run) + " has more open than is set aside for it");
      expect((lease.open_microusd > 0) == state_.open_allowances.contains({lease.run, lease.fence}),
             "the open allowances of " + to_text(lease.run) + " are listed wrongly");
    }
    state_.each_run([&](const Cow<Run>& run) {
      ++live;
      ++runs_[run->workflow->name_space];
      check_run(*run);
      return found_.size() < kMax;
    });
    expect(live == state_.live_runs, "live_runs is " + std::to_string(state_.live_runs) +
                                         ", runs in pages are " + std::to_string(live));
    expect(open_ == state_.open_allowances.size(), "there are open allowances without a lease");
    check_leases();
    check_schedules();
    check_sets();
    return std::move(found_);
  }

 private:
  static constexpr std::size_t kMax = 20;

  void expect(bool holds, const std::string& text) {
    if (!holds && found_.size() < kMax) found_.push_back(text);
  }

  void check_run(const Run& run) {
    const std::string name = to_text(run.id);
    expect(!is_terminal(run.state), name + " is over but still live");
    // Before the next compensation agents have to stop what was cancelled, or a person to resume the run.
    const bool stops = rolls_back(run) && (run.state == RunState::kPaused || is_stopping(state_, run));
    expect(run.open > 0 || stops, name + " has nothing open but is live");
    check_rollback(run, name);
    std::array<std::uint32_t, kTaskStates> counts{};
    std::uint32_t open = 0;
    bool can_move = false;
    for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
      const Task& task = run.tasks[i];
      ++counts[static_cast<int>(task.state)];
      if (!is_terminal(task.state)) ++open;
      check_task(run, i, task, name + "/" + run.key_of(task));
      // Every open task but those that wait for others must be somewhere from where it will go on.
      can_move = can_move || (!is_terminal(task.state) && task.state != TaskState::kWaiting &&
                              task.state != TaskState::kExpanded && task.state != TaskState::kMergeQueued);
    }
    expect(counts == run.counts, name + ": counts by state are wrong");
    expect(open == run.open, name + ": the count of open tasks is wrong");
    if (!run.admitted) {
      expect(!run.concurrency_key.empty(), name + " waits for a key that it does not have");
      const auto line = state_.throttles.find(run_line_key(run));
      const bool stands = line != state_.throttles.end() &&
                          std::any_of(line->second.waiting.begin(), line->second.waiting.end(),
                                      [&](const ReadyKey& key) { return key.run == run.id; });
      expect(stands == (run.state == RunState::kQueued), name + ": its state and its line disagree");
    } else {
      expect(run.state != RunState::kQueued, name + " has its place but waits");
    }
    expect(can_move || stops || !run.admitted, name + " is stuck: no task of it can ever move");
    check_money(run, name);
    check_lineage(run, name);
    if (run.warn_ms != 0) {
      expect(state_.timers.contains({run.warn_ms, run.id, kRunWarnTimer}),
             name + ": its warning has no timer");
      ++timers_;
    }
    if (run.deadline_ms != 0) {
      expect(state_.timers.contains({run.deadline_ms, run.id, kRunTimer}),
             name + ": the deadline has no timer");
      ++timers_;
    }
  }

  void check_rollback(const Run& run, const std::string& name) {
    const auto& tasks = run.definition().tasks;
    std::vector<std::uint32_t> place(tasks.size(), UINT32_MAX);
    const std::uint32_t begun = run.rollback ? run.rollback->next : 0;
    for (std::uint32_t i = 0; run.rollback && i < run.rollback->order.size(); ++i) {
      const std::uint32_t index = run.rollback->order[i];
      expect(place[index] == UINT32_MAX, name + ": a compensation is to run twice");
      place[index] = i;
      const Task& undone = run.tasks[*tasks[index].compensates];
      expect(undone.state == TaskState::kSucceeded || undone.child_count > 0,
             name + ": a task is undone that has not succeeded");
    }
    for (std::uint32_t i = 0; i < tasks.size(); ++i) {
      if (!tasks[i].compensates) continue;
      const TaskState state = run.tasks[i].state;
      const bool turn = place[i] != UINT32_MAX && place[i] < begun;
      expect(turn || state == TaskState::kSkipped, name + ": a compensation runs before its turn");
      expect(is_terminal(state) || place[i] + 1 == begun, name + ": two compensations run at once");
      for (const std::uint32_t before : tasks[*tasks[i].compensates].dependencies) {
        if (!tasks[before].compensate || place[i] == UINT32_MAX) continue;
        const std::uint32_t earlier = place[*tasks[before].compensate];
        expect(earlier == UINT32_MAX || earlier > place[i],
               name + ": a task is undone before what depends on it");
      }
    }
  }

  void check_money(const Run& run, const std::string& name) {
    std::int64_t lines = 0;
    if (run.costs) {
      for (const auto& [key, sum] : *run.costs) lines += sum.microusd;
    }
    expect(lines == run.cost_microusd, name + ": its costs do not add up");
    if (run.budget_microusd == 0) return expect(run.reserved_microusd == 0, name + " reserves of no budget");
    const auto leased = reserved_.find(run.id);
    std::int64_t reserved = leased == reserved_.end() ? 0 : leased->second;
    for (std::uint32_t i = 0; i < run.tasks.size(); ++i) {
      const Task& task = run.tasks[i];
      reserved += task.reserve_microusd;
      expect(((task.held & kBudgetBit) != 0) == (task.reserve_microusd > 0) &&
                 (task.reserve_microusd == 0 || task.state == TaskState::kReady ||
                  (task.state == TaskState::kThrottled && run.definition().starts_runs) ||
                  task.state == TaskState::kChild),
             name + "/" + run.key_of(task) + ": its reserve and its state disagree");
    }
    expect(reserved == run.reserved_microusd, name + ": reserves are counted wrongly");
    expect(run.cost_microusd + run.reserved_microusd <= run.budget_microusd, name + " passes its budget");
  }

  void check_task(const Run& run, std::uint32_t index, const Task& task, const std::string& name) {
    const bool leased = holds_agent(task.state);
    expect(leased == task.fence.valid(), name + ": lease and state disagree");
    if (leased) {
      const auto lease = state_.leases.find(task.fence);
      expect(lease != state_.leases.end() && lease->second.run == run.id && lease->second.task == index &&
                 !lease->second.cancelled,
             name + ": its lease is missing or another's");
      ++live_leases_;
      ++running_[run.workflow->name_space];
    }
    if (task.due_ms != 0) {
      expect(state_.timers.contains({task.due_ms, run.id, index}), name + ": its timer is missing");
      ++timers_;
    }
    expect(task.state != TaskState::kBackoff || task.due_ms != 0, name + " backs off without a timer");
    check_wait(run, task, name);
    check_child(run, task, name);
    const bool active = run.state == RunState::kRunning;
    if (task.state == TaskState::kReady || task.state == TaskState::kMergeReady) {
      const auto merge = state_.class_ids.find("merge");
      const bool known = task.state == TaskState::kReady || merge != state_.class_ids.end();
      expect(known || !active, name + ": merges have no class");
      if (known) {
        const ClassId id =
            task.state == TaskState::kReady ? run.workflow->classes[task.definition] : merge->second;
        expect(contains_ready(state_, id, *run.workflow, serve_key(run, index)) == active,
               name + ": readiness and ready set disagree");
      }
      if (active) ++ready_;
    }
    std::uint32_t missing = 0;
    if (task.instance == kNoInstance && task.state == TaskState::kWaiting) {
      for (const std::uint32_t dependency : run.definition_of(task).dependencies) {
        if (!is_terminal(run.tasks[dependency].state)) ++missing;
      }
      expect(missing == task.missing, name + ": missing dependencies are counted wrongly");
      expect(missing > 0 || !run.admitted, name + " waits for nothing");
    }
    if (task.state == TaskState::kExpanded) {
      for (std::uint32_t i = 0; i < task.child_count; ++i) {
        if (!is_terminal(run.tasks[task.first_child + i].state)) ++missing;
      }
      expect(missing == task.missing && missing > 0, name + ": open instances are counted wrongly");
    }
    expect(!is_terminal(task.state) || task.held == 0, name + " is over but holds a place");
  }

  // A task waits for a run exactly as long as that run is live and belongs to it.
  void check_child(const Run& run, const Task& task, const std::string& name) {
    if (task.state != TaskState::kChild) return;
    const Run* child = state_.find_run(task.get().child);
    expect(child != nullptr && child->lineage && child->lineage->parent == run.id &&
               child->lineage->task == run.key_of(task),
           name + " waits for a run that is not its child");
    if (child == nullptr || run.budget_microusd == 0) return;
    expect(child->budget_microusd > 0 && child->budget_microusd <= task.reserve_microusd,
           name + ": its child may cost more than is set aside for it");
  }

  void check_lineage(const Run& run, const std::string& name) {
    if (!run.lineage)
      return expect(!run.paused_by_parent, name + " was paused by a parent that it does not have");
    expect(run.lineage->depth >= 1 && run.lineage->depth <= kMaxDepth, name + " is too deep");
    const Run* parent = state_.find_run(run.lineage->parent);
    const std::uint32_t index = parent == nullptr ? UINT32_MAX : parent->find(run.lineage->task);
    expect(index != UINT32_MAX && parent->tasks[index].state == TaskState::kChild &&
               parent->tasks[index].get().child == run.id,
           name + " is live, but no task waits for it");
    if (parent == nullptr) return;
    // A rollback takes the time that it needs; the deadline of the parent ends it all the same.
    expect(run.rollback || parent->deadline_ms == 0 ||
               (run.deadline_ms != 0 && run.deadline_ms <= parent->deadline_ms),
           name + " may take longer than its parent");
    expect(!run.paused_by_parent || parent->state == RunState::kPaused, name + " is paused for no reason");
  }

  void check_wait(const Run& run, const Task& task, const std::string& name) {
    const auto& wait = run.definition_of(task).wait;
    if (task.state != TaskState::kTimer && task.state != TaskState::kSignal) return;
    expect(wait.has_value() && wait->signal.empty() == (task.state == TaskState::kTimer),
           name + " waits for something else than its definition says");
    if (!wait || run.state == RunState::kPaused) return;  // what fires meanwhile is looked at afterwards
    expect(task.due_ms != 0 || (task.state == TaskState::kSignal && wait->timeout_ms == 0),
           name + " waits without a timer");
    if (task.state != TaskState::kSignal || !run.mail) return;
    expect(std::none_of(run.mail->kept.begin(), run.mail->kept.end(),
                        [&](const Signal& signal) { return signal.name == wait->signal; }),
           name + " waits for a signal that is kept");
  }

  void check_leases() {
    std::map<AgentId, std::uint32_t> running;
    std::size_t live = 0;
    for (const auto& [fence, lease] : state_.leases) {
      ++running[lease.agent];
      if (!lease.cancelled) ++live;
      expect(state_.agents.contains(lease.agent), "a lease belongs to an agent that is gone");
    }
    expect(live == live_leases_, "there are leases that no task names");
    for (const auto& [id, agent] : state_.agents) {
      expect(running[id] == agent.running, "agent " + agent.name + ": its leases are counted wrongly");
      expect(agent.running <= agent.capacity, "agent " + agent.name + " has more leases than its capacity");
    }
  }

  void check_schedules() {
    std::size_t unplanned = 0;
    for (const auto& [key, schedule] : state_.schedules) {
      const auto number = state_.schedule_numbers.find(schedule->number);
      expect(number != state_.schedule_numbers.end() && number->second == key,
             "schedule " + key + ": its number is another's");
      if (schedule->timer_ms != 0) {
        expect(state_.timers.contains({schedule->timer_ms, kScheduleTimer, schedule->number}),
               "schedule " + key + ": its timer is missing");
        ++timers_;
      }
      const bool wants_plan = state_.unplanned.contains(schedule->number);
      if (wants_plan) ++unplanned;
      // It ticks, asks for a plan, or a person stopped it: nothing else.
      expect((schedule->timer_ms != 0) + wants_plan + schedule->paused == 1,
             "schedule " + key + " will never tick");
      expect(schedule->paused || schedule->backlog.empty() || !schedule->live.empty(),
             "schedule " + key + ": what is queued waits for nothing");
      expect(std::is_sorted(schedule->ticks.begin(), schedule->ticks.end(),
                            [](const ScheduleTick& a, const ScheduleTick& b) { return a.due_ms < b.due_ms; }),
             "schedule " + key + ": its ticks are not in order");
      for (const RunId id : schedule->live) {
        const Run* run = state_.find_run(id);
        expect(run != nullptr && run->schedule == schedule->name,
               "schedule " + key + " waits for " + to_text(id) + ", which is over or another's");
      }
    }
    expect(unplanned == state_.unplanned.size() && state_.schedules.size() == state_.schedule_numbers.size(),
           "schedules that are gone are still listed");
  }

  void check_sets() {
    std::size_t ready = 0;
    for (const AbilityClass& ability : state_.classes) ready += ability.ready;
    expect(ready == ready_,
           "the ready sets hold " + std::to_string(ready) + ", ready tasks are " + std::to_string(ready_));
    const std::string wrong = check_ready_index(state_);
    expect(wrong.empty(), wrong);
    for (NamespaceId id = 0; id < state_.namespaces.size(); ++id) {
      const Namespace& owner = state_.namespaces[id];
      expect(owner.running == running_[id],
             "namespace " + owner.name + ": running tasks are counted wrongly");
      expect(owner.live_runs == runs_[id], "namespace " + owner.name + ": live runs are counted wrongly");
    }
    expect(state_.timers.size() == timers_, "there are timers that nobody owns");
    for (const auto& [key, throttle] : state_.throttles) {
      const bool named = key[0] != 'p';
      expect(!named || throttle.holders.size() == throttle.held, "the holders of a key are counted wrongly");
      if (throttle.waiting.empty()) continue;
      const ReadyKey first = *throttle.waiting.begin();
      const Run* run = state_.find_run(first.run);
      if (first.task == kRunTimer) {
        expect(run != nullptr && run->state == RunState::kQueued && !has_run_room(state_, *run),
               "a place for a run is free but the line does not move");
        continue;
      }
      expect(run != nullptr && run->tasks[first.task].state == TaskState::kThrottled,
             "somebody stands in a line who should not");
      if (run != nullptr) {
        expect(!has_room(state_, key, *run, run->tasks[first.task]),
               "a place is free but the line does not move");
        expect(key[0] != 'b' || run->reserved_microusd > 0,
               to_text(first.run) + " waits for money that nobody will give back");
      }
    }
  }

  const State& state_;
  std::vector<std::string> found_;
  std::map<RunId, std::int64_t> reserved_;  // by leases
  std::size_t open_ = 0;                    // leases with an open allowance
  std::size_t live_leases_ = 0;
  std::size_t timers_ = 0;
  std::size_t ready_ = 0;
  std::map<NamespaceId, std::uint64_t> running_;
  std::map<NamespaceId, std::uint64_t> runs_;
};

}  // namespace

std::vector<std::string> find_broken_invariants(const State& state) { return Scan(state).run(); }

}  // namespace ez::core
