#include "rehearsal/judge.h"

#include <algorithm>

#include "base/json.h"
#include "core/budget.h"
#include "core/variables.h"
#include "orchestration/text.h"

namespace ez::rehearsal {
namespace {

constexpr std::size_t kMaxShown = 300;  // bytes of a value in a message

std::string shown(const Value& value) {
  std::string out = to_json(value);
  if (out.size() > kMaxShown) out = out.substr(0, kMaxShown) + "…";
  return out;
}

std::string shown(const std::string& code) { return code.empty() ? "none" : code; }

std::string time_text(std::int64_t ms) { return orchestration::format_duration_ms(ms); }

std::string range_text(const Range& range) {
  if (range.at_least == range.at_most) return time_text(range.at_least);
  if (range.at_most == INT64_MAX) return "at least " + time_text(range.at_least);
  return time_text(range.at_least) + " to " + time_text(range.at_most);
}

// The first place at which two values differ: ".files.0: expected 3, it is 4".
std::string difference(const Value& expected, const Value& got, const std::string& path) {
  const auto plain = [&] { return path + ": expected " + shown(expected) + ", it is " + shown(got); };
  if (expected.is_map() && got.is_map()) {
    for (const auto& [key, value] : expected.as_map()) {
      const Value* other = got.find(key);
      if (other == nullptr) return path + "." + key + ": expected " + shown(value) + ", it is not there";
      if (!(*other == value)) return difference(value, *other, path + "." + key);
    }
    for (const auto& [key, value] : got.as_map()) {
      if (expected.find(key) == nullptr)
        return path + "." + key + ": is there (" + shown(value) + "), unexpected";
    }
  }
  if (expected.is_list() && got.is_list()) {
    const auto& left = expected.as_list();
    const auto& right = got.as_list();
    for (std::size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
      if (!(left[i] == right[i])) return difference(left[i], right[i], path + "." + std::to_string(i));
    }
    return path + ": expected " + std::to_string(left.size()) + " items, it has " +
           std::to_string(right.size());
  }
  return plain();
}

class Judge {
 public:
  Judge(const Test& test, const Outcome& outcome) : test_(test), expect_(test.expect), outcome_(outcome) {}

  std::vector<Mismatch> run() {
    for (const Refusal& refusal : outcome_.refusals) {
      add(refusal.place,
          "it was refused: " + std::string(refusal.error.name()) + ": " + refusal.error.message());
    }
    if (judge_start()) {
      judge_run();
      judge_order();
      for (const ExpectedTask& task : expect_.tasks) judge_task(task);
      judge_expressions();
    }
    std::stable_sort(out_.begin(), out_.end(), [](const Mismatch& a, const Mismatch& b) {
      return std::pair(a.place.line, a.place.column) < std::pair(b.place.line, b.place.column);
    });
    return std::move(out_);
  }

 private:
  void add(Place place, std::string what) { out_.push_back({place, std::move(what)}); }

  template <typename T>
  void same(const std::optional<Expected<T>>& expected, const T& got, const std::string& what) {
    if (expected && expected->value != got)
      add(expected->place, what + ": expected " + shown(expected->value) + ", it is " + shown(got));
  }
  static std::string shown(std::int64_t number) { return std::to_string(number); }
  static std::string shown(const std::string& text) { return rehearsal::shown(text); }

  void within(const std::optional<Expected<Range>>& expected, std::optional<std::int64_t> got,
              const std::string& what) {
    if (!expected) return;
    if (!got)
      return add(expected->place, what + ": expected " + range_text(expected->value) + ", it never did");
    if (*got < expected->value.at_least || *got > expected->value.at_most)
      add(expected->place, what + ": expected " + range_text(expected->value) + ", it is " + time_text(*got));
  }

  // Whether there is a run to look at.
  bool judge_start() {
    if (outcome_.refused) {
      const std::string code(outcome_.refused->name());
      if (expect_.refused && expect_.refused->value == code) return false;
      add(expect_.refused ? expect_.refused->place : test_.place,
          "the run was refused: " + code + ": " + outcome_.refused->message());
      return false;
    }
    if (expect_.refused)
      add(expect_.refused->place, "refused: expected " + expect_.refused->value + ", the run was started");
    return !expect_.refused;
  }

  void judge_run() {
    const core::Run& run = *outcome_.run;
    std::string state(core::to_text(run.state));
    bool asks = run.counts[static_cast<int>(core::TaskState::kSignal)] > 0;
    for (int i = 0; i < core::kTaskStates; ++i)
      asks = asks || (core::waits_for_person(static_cast<core::TaskState>(i)) && run.counts[i] > 0);
    if (asks && !core::is_terminal(run.state) && !outcome_.out_of_time) {
      if (!expect_.state || expect_.state->value == "waiting") state = "waiting";
    }
    same(expect_.state, state, "state");
    if (outcome_.out_of_time && (!expect_.state || expect_.state->value != state))
      add(test_.place, "the run was still live after " + time_text(test_.until_ms) + " of simulated time");
    same(expect_.error, run.error.code, "error");
    within(expect_.takes, outcome_.end_ms, "takes");
    if (expect_.cost_microusd && expect_.cost_microusd->value != run.cost_microusd) {
      add(expect_.cost_microusd->place, "cost_usd: expected " + core::dollars(expect_.cost_microusd->value) +
                                            ", it is " + core::dollars(run.cost_microusd));
    }
    if (expect_.outputs) {
      const auto outputs = parse_json(run.outputs.empty() ? "{}" : run.outputs);
      const Value got = outputs.ok() ? *outputs : Value();
      if (!(got == expect_.outputs->value))
        add(expect_.outputs->place, difference(expect_.outputs->value, got, "outputs"));
    }
    if (expect_.notices && expect_.notices->value != outcome_.notices) {
      const auto list = [](const std::vector<std::string>& names) {
        return rehearsal::shown(Value(Value::List(names.begin(), names.end())));
      };
      add(expect_.notices->place,
          "notices: expected " + list(expect_.notices->value) + ", they are " + list(outcome_.notices));
    }
  }

  void judge_order() {
    std::size_t last = 0;
    std::string before;
    for (const Expected<std::string>& key : expect_.order) {
      const auto found = std::find(outcome_.order.begin(), outcome_.order.end(), key.value);
      if (found == outcome_.order.end()) return add(key.place, "order: " + key.value + " never started");
      const auto place = static_cast<std::size_t>(found - outcome_.order.begin());
      if (!before.empty() && place < last)
        return add(key.place, "order: " + key.value + " started before " + before);
      last = place;
      before = key.value;
    }
  }

  void judge_task(const ExpectedTask& expected) {
    const core::Run& run = *outcome_.run;
    const std::uint32_t index = run.find(expected.key);
    const std::string what = "tasks." + expected.key;
    if (index == UINT32_MAX) return add(expected.place, what + ": the run has no such instance");
    const core::Task& task = run.tasks[index];
    same(expected.state, std::string(core::to_text(task.state)), what + ".state");
    same(expected.attempts, static_cast<std::int64_t>(task.attempt), what + ".attempts");
    same(expected.error, task.get().error.code, what + ".error");
    if (expected.output) {
      const Value view = core::task_value(run, index);
      const Value* output = view.find("output");
      const Value got = output == nullptr ? Value() : *output;
      if (!(got == expected.output->value))
        add(expected.output->place, difference(expected.output->value, got, what + ".output"));
    }
    within(expected.starts_at, time_of(outcome_.starts_ms, expected.key), what + ".starts_at");
    within(expected.ends_at, time_of(outcome_.ends_ms, expected.key), what + ".ends_at");
  }

  static std::optional<std::int64_t> time_of(const std::map<std::string, std::int64_t>& times,
                                             const std::string& key) {
    const auto found = times.find(key);
    return found == times.end() ? std::nullopt : std::optional(found->second);
  }

  void judge_expressions() {
    for (const Expected<Expression>& that : expect_.that) {
      const auto value = core::evaluate(*outcome_.run, nullptr, that.value);
      if (!value.ok()) {
        add(that.place, "that: " + that.value.source() + ": " + value.error().message());
      } else if (!value->is_bool() || !value->as_bool()) {
        add(that.place,
            "that: " + that.value.source() + ": expected true, it is " + rehearsal::shown(*value));
      }
    }
  }

  const Test& test_;
  const ExpectedRun& expect_;
  const Outcome& outcome_;
  std::vector<Mismatch> out_;
};

}  // namespace

std::vector<Mismatch> judge(const Test& test, const Outcome& outcome) { return Judge(test, outcome).run(); }

}  // namespace ez::rehearsal
