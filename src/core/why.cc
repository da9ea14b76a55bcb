#include "core/why.h"

#include <algorithm>

#include "base/clock.h"
#include "core/budget.h"
#include "core/ready.h"
#include "core/why_agents.h"

namespace ez::core {
namespace {

Value text(std::string value) { return Value(std::move(value)); }
Value number(std::uint64_t value) { return Value(static_cast<std::int64_t>(value)); }

class Why {
 public:
  Why(const State& state, const Run& run, std::uint32_t index)
      : state_(state),
        run_(run),
        index_(index),
        task_(run.tasks[index]),
        definition_(run.definition_of(task_)) {}

  Value view() {
    if (!is_terminal(task_.state)) of_run();
    of_task();
    std::string summary;
    for (const Value& reason : reasons_)
      summary += (summary.empty() ? "" : " ") + std::string(reason.string_or("text", ""));
    return Value(Value::Map{{"run", text(to_text(run_.id))},
                            {"task", text(run_.key_of(task_))},
                            {"state", Value(to_text(task_.state))},
                            {"summary", text(std::move(summary))},
                            {"reasons", Value(std::move(reasons_))}});
  }

 private:
  void add(std::string_view kind, std::string words, const Value::Map& more = {}) {
    Value::Map map{{"kind", Value(kind)}, {"text", text(std::move(words))}};
    map.insert(map.end(), more.begin(), more.end());
    reasons_.push_back(Value(std::move(map)));
  }

  void of_run() {
    if (run_.state == RunState::kPaused) {
      add("run_paused", "The run is paused; `ez resume " + to_text(run_.id) + "` lets it go on.");
    }
    if (run_.state != RunState::kQueued) return;
    Value::List runs;
    std::string names;
    if (const auto throttle = state_.throttles.find(run_line_key(run_)); throttle != state_.throttles.end()) {
      for (const ReadyKey& holder : throttle->second.holders) {
        if (runs.size() == kMaxNamed) break;
        names += (names.empty() ? "" : ", ") + to_text(holder.run);
        runs.emplace_back(to_text(holder.run));
      }
    }
    const std::uint64_t limit = run_.definition().concurrency->limit;
    add("run_concurrency",
        "The run waits for a place under the concurrency key '" + run_.concurrency_key + "' (limit " +
            std::to_string(limit) + "), which is held by " + names + ".",
        {{"key", text(run_.concurrency_key)}, {"limit", number(limit)}, {"held_by", Value(std::move(runs))}});
  }

  void of_task() {
    switch (task_.state) {
      case TaskState::kWaiting:
        return dependencies();
      case TaskState::kApproval:
        return add("approval", "It waits for " + role() + " to approve it.",
                   {{"role", text(definition_.approval ? definition_.approval->role : std::string())}});
      case TaskState::kThrottled:
        return throttled();
      case TaskState::kReady:
      case TaskState::kMergeReady:
        return ready();
      case TaskState::kRunning:
      case TaskState::kMerging:
        return running();
      case TaskState::kMergeQueued:
        return merge_queue();
      case TaskState::kBackoff:
        return add("backoff",
                   "Attempt " + std::to_string(task_.attempt) + " failed (" + task_.get().error.message +
                       "); the next one begins at " + format_time(task_.due_ms) + ".",
                   {{"until", text(format_time(task_.due_ms))}, {"error", error()}});
      case TaskState::kConflict:
        return add("conflict", "Its work does not merge into " + run_.branch + "; a person has to settle it.",
                   {{"branch", text(task_.get().branch)}});
      case TaskState::kPaused:
        return add("failed_and_asks",
                   "All its attempts failed (" + task_.get().error.message +
                       "); a person has to retry or reject it.",
                   {{"error", error()}});
      case TaskState::kExpanded:
        return add("instances",
                   std::to_string(task_.missing) + " of its " + std::to_string(task_.child_count) +
                       " instances are not finished.",
                   {{"open", number(task_.missing)}, {"instances", number(task_.child_count)}});
      case TaskState::kTimer:
        return add("timer",
                   task_.due_ms == 0 ? "Its time has come; it goes on when the run is resumed."
                                     : "It waits until " + format_time(task_.due_ms) + ".",
                   {{"until", task_.due_ms == 0 ? Value() : text(format_time(task_.due_ms))}});
      case TaskState::kSignal:
        return signal();
      case TaskState::kChild:
        return child();
      case TaskState::kSucceeded:
      case TaskState::kFailed:
      case TaskState::kSkipped:
      case TaskState::kCancelled:
        return ended();
      default:
        return add("waits", "It is " + std::string(to_text(task_.state)) +
                                (task_.due_ms == 0 ? "." : " until " + format_time(task_.due_ms) + "."));
    }
  }

  [[nodiscard]] std::string role() const {
    if (!definition_.approval || definition_.approval->role.empty())
      return "somebody who may decide approvals";
    return "a " + definition_.approval->role;
  }
  [[nodiscard]] Value error() const {
    return Value(
        Value::Map{{"code", text(task_.get().error.code)}, {"message", text(task_.get().error.message)}});
  }

  void dependencies() {
    if (task_.instance != kNoInstance) return;
    Value::List open;
    std::string names;
    for (const std::uint32_t dependency : definition_.dependencies) {
      const Task& other = run_.tasks[dependency];
      if (is_terminal(other.state) || open.size() == kMaxNamed) continue;
      const std::string key = run_.key_of(other);
      names += (names.empty() ? "" : ", ") + key + " (" + std::string(to_text(other.state)) + ")";
      open.push_back(Value(Value::Map{{"task", text(key)}, {"state", Value(to_text(other.state))}}));
    }
    if (open.empty()) return;
    add("dependencies", "It waits for " + names + " to finish.", {{"tasks", Value(std::move(open))}});
  }

  void throttled() {
    if (task_.due_ms != 0 && definition_.rate) {
      return add("rate",
                 "Its rate of " + std::to_string(definition_.rate->limit) + " starts in " +
                     std::to_string(definition_.rate->per_ms) + " ms is used up; it may start at " +
                     format_time(task_.due_ms) + ".",
                 {{"until", text(format_time(task_.due_ms))},
                  {"limit", number(definition_.rate->limit)},
                  {"per_ms", Value(definition_.rate->per_ms)}});
    }
    if (run_.state != RunState::kRunning) return;  // it stands in no line meanwhile
    if (definition_.max_parallel != 0 && task_.instance != kNoInstance && (task_.held & 1) == 0) {
      return add("max_parallel",
                 std::to_string(definition_.max_parallel) + " instances of " + definition_.id +
                     " are under way already (max_parallel).",
                 {{"limit", number(definition_.max_parallel)}});
    }
    if (definition_.concurrency && (task_.held & 2) == 0) return concurrency();
    add("budget", "What is left of the run's budget does not suffice for it beside what is under way.",
        {{"budget_microusd", Value(run_.budget_microusd)},
         {"cost_microusd", Value(run_.cost_microusd)},
         {"reserved_microusd", Value(run_.reserved_microusd)}});
  }

  void concurrency() {
    const std::string& key = task_.get().concurrency_key;
    Value::List holders;
    std::string names;
    std::uint64_t ahead = 0;
    const auto throttle = state_.throttles.find("k\n" + run_.workflow->namespace_name + "\n" + key);
    if (throttle != state_.throttles.end()) {
      for (const ReadyKey& holder : throttle->second.holders) {
        const Run* other = state_.find_run(holder.run);
        if (other == nullptr || holders.size() == kMaxNamed) break;
        const std::string task = other->key_of(other->tasks[holder.task]);
        names += (names.empty() ? "" : ", ") + to_text(holder.run) + "/" + task;
        holders.push_back(Value(Value::Map{{"run", text(to_text(holder.run))}, {"task", text(task)}}));
      }
      const ReadyKey mine = ready_key(run_, index_);
      for (auto at = throttle->second.waiting.begin();
           at != throttle->second.waiting.end() && *at < mine && ahead < kMaxCounted; ++at) {
        ++ahead;
      }
    }
    add("concurrency",
        "The concurrency key '" + key + "' is full (limit " + std::to_string(definition_.concurrency->limit) +
            "), held by " + names + "; " + std::to_string(ahead) + " stand before it in line.",
        {{"key", text(key)},
         {"limit", number(definition_.concurrency->limit)},
         {"held_by", Value(std::move(holders))},
         {"ahead", number(ahead)}});
  }

  void ready() {
    if (run_.state != RunState::kRunning) return;
    if (const Pause* pause = holding_pause(state_, run_, task_)) {
      const std::string what(pause->kind == PauseKind::kAgentType ? "agent type" : to_text(pause->kind));
      add("held",
          "The " + what + " " + pause->name + " was paused by " + pause->principal + " at " +
              format_time(pause->since_ms) + (pause->comment.empty() ? "" : " (" + pause->comment + ")") +
              ".",
          {{"paused", Value(to_text(pause->kind))},
           {"name", text(pause->name)},
           {"by", text(pause->principal)},
           {"comment", text(pause->comment)},
           {"since", text(format_time(pause->since_ms))}});
    }
    const Namespace& owner = state_.namespaces[run_.workflow->name_space];
    if (owner.is_full()) {
      add("namespace_limit",
          "The namespace " + owner.name + " has " + std::to_string(owner.running) +
              " tasks running, its limit is " + std::to_string(owner.max_running) + ".",
          {{"namespace", text(owner.name)},
           {"running", number(owner.running)},
           {"limit", number(owner.max_running)}});
    }
    ClassId ability = run_.workflow->classes[task_.definition];
    if (task_.state == TaskState::kMergeReady) {
      const auto merge = state_.class_ids.find("merge");
      if (merge == state_.class_ids.end()) return;
      ability = merge->second;
    }
    const AgentsSaid said = explain_agents(state_, ability);
    add(said.any ? "agents" : "no_agent", said.text, said.data);
    if (said.any) line(state_.classes[ability], owner);
  }

  void line(const AbilityClass& ability, const Namespace& owner) {
    const auto lane = ability.lanes.find(run_.workflow->name_space);
    if (lane == ability.lanes.end()) return;
    const ReadyKey mine = serve_key(run_, index_);
    std::uint64_t ahead = 0;
    for (const auto& [queue, keys] : lane->second.queues) {
      if (state_.queues[queue].paused) continue;
      for (auto at = keys.begin(); at != keys.end() && *at < mine && ahead < kMaxCounted; ++at) ++ahead;
    }
    const std::string many = std::to_string(ahead) + (ahead == kMaxCounted ? " or more" : "");
    add("line", many + " tasks of its namespace that ask for the same agents go before it.",
        {{"ahead", number(ahead)}});
    if (ability.turns.size() < 2) return;
    std::uint64_t weights = 0;
    Value::List others;
    for (const auto& [tag, other] : ability.turns) {
      weights += state_.namespaces[other].weight;
      if (other != run_.workflow->name_space && others.size() < kMaxNamed)
        others.emplace_back(state_.namespaces[other].name);
    }
    add("share",
        "Namespaces that have work share the agents by weight; " + owner.name + " has " +
            std::to_string(owner.weight) + " of " + std::to_string(weights) + ".",
        {{"namespace", text(owner.name)},
         {"weight", number(owner.weight)},
         {"of", number(weights)},
         {"others", Value(std::move(others))}});
  }

  void child() {
    const RunId id = task_.get().child;
    const Run* run = state_.find_run(id);
    if (run == nullptr) return;
    add("child",
        "It waits for " + to_text(id) + ", a run of " + run->definition().name + ", which is " +
            std::string(to_text(run->state)) + " with " + std::to_string(run->open) + " of " +
            std::to_string(run->tasks.size()) + " tasks open.",
        {{"child", text(to_text(id))},
         {"state", Value(to_text(run->state))},
         {"open", number(run->open)},
         {"until", task_.due_ms == 0 ? Value() : text(format_time(task_.due_ms))}});
  }

  void signal() {
    const std::string& name = definition_.wait->signal;
    const std::string limit =
        task_.due_ms == 0 ? "." : ", at the longest until " + format_time(task_.due_ms) + ".";
    add("signal",
        "It waits for the signal " + name + limit + " `ez signal " + to_text(run_.id) + " " + name +
            "` sends it.",
        {{"signal", text(name)}, {"until", task_.due_ms == 0 ? Value() : text(format_time(task_.due_ms))}});
  }

  void merge_queue() {
    if (run_.merge_queue.empty()) return;
    const std::string first = run_.key_of(run_.tasks[run_.merge_queue.front()]);
    add("merge_queue", "Its work is accepted; the merge of " + first + " goes first.",
        {{"first", text(first)}});
  }

  [[nodiscard]] std::string agent_name() const {
    const auto agent = state_.agents.find(task_.agent);
    return agent == state_.agents.end() ? to_text(task_.agent) : agent->second.name;
  }

  void running() {
    const std::string name = agent_name();
    if (task_.state == TaskState::kMerging) {
      add("running", "Agent " + name + " merges its work.", {{"agent", text(to_text(task_.agent))}});
    } else {
      add("running",
          "Agent " + name + " has had attempt " + std::to_string(task_.attempt) + " since " +
              format_time(task_.started_ms) + ".",
          {{"agent", text(to_text(task_.agent))},
           {"since", text(format_time(task_.started_ms))},
           {"attempt", number(task_.attempt)}});
    }
    const ClassId ability = run_.workflow->classes[task_.definition];
    const AgentsSaid said = explain_agents(state_, ability);
    if (task_.state == TaskState::kMerging || !said.any) return;
    add("choice",
        "Of the agents that could do it, the one that asked for work first and had been given the least of "
        "that round got it.",
        said.data);
  }

  void ended() {
    const TaskDetail& detail = task_.get();
    if (task_.seeded) add("seeded", "Its outcome was taken over from " + to_text(run_.resumed_from) + ".");
    std::string because;
    for (const std::uint32_t dependency : definition_.dependencies) {
      if (run_.tasks[dependency].state == TaskState::kCancelled && because.empty())
        because = run_.key_of(run_.tasks[dependency]);
    }
    const std::string who = detail.decided_by.empty() ? "" : " Decided by " + detail.decided_by + ".";
    const std::string when = definition_.when ? definition_.when->source() : "";
    if (task_.state == TaskState::kSkipped && definition_.compensates &&
        !(run_.rollback && definition_.when)) {
      const std::string& undone = run_.definition().tasks[*definition_.compensates].id;
      add("compensation", "It undoes " + undone + " in a rollback, and no rollback came to it.",
          {{"compensates", text(undone)}});
    } else if (task_.state == TaskState::kSkipped) {
      add("skipped", "Its condition `" + when + "` was false.", {{"when", text(when)}});
    } else if (task_.state == TaskState::kFailed) {
      add("failed",
          "It failed after " + std::to_string(task_.attempt) + " attempts: " + detail.error.code + ", " +
              detail.error.message + "." + who,
          {{"error", error()}, {"attempts", number(task_.attempt)}});
    } else if (task_.state == TaskState::kSucceeded) {
      add("succeeded",
          (task_.agent.valid() ? "Agent " + agent_name() + " did it." : "It succeeded without an agent.") +
              who,
          {{"agent", task_.agent.valid() ? text(to_text(task_.agent)) : Value()}});
    } else if (!detail.decided_by.empty()) {
      add("cancelled", "It was cancelled." + who, {{"by", text(detail.decided_by)}});
    } else if (!because.empty()) {
      add("cancelled", "It depends on " + because + ", which was cancelled.", {{"because", text(because)}});
    } else if (detail.error.code == "CONCURRENCY_FULL") {
      add("cancelled", "It was cancelled: " + detail.error.message + ".", {{"error", error()}});
    } else {
      add("cancelled", "Its run ended before it did: " + run_.error.message + ".",
          {{"because", text(run_.error.code)}});
    }
  }

  const State& state_;
  const Run& run_;
  const std::uint32_t index_;
  const Task& task_;
  const orchestration::Task& definition_;
  Value::List reasons_;
};

}  // namespace

Value why_view(const State& state, const Run& run, std::uint32_t index) {
  return Why(state, run, index).view();
}

}  // namespace ez::core
