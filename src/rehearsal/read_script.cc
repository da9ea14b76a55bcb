#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "base/json.h"
#include "core/run.h"
#include "orchestration/decoder.h"
#include "orchestration/text.h"
#include "rehearsal/script.h"
#include "rehearsal/script_reader.h"

namespace ez::rehearsal {

using orchestration::Decoder;
using orchestration::NodeId;
using orchestration::quoted;
using orchestration::SourceTree;

namespace {

constexpr std::array<std::string_view, 2> kTopKeys{"workflow", "tests"};
constexpr std::array<std::string_view, 9> kTestKeys{"name",  "inputs",    "priority", "agents", "until",
                                                    "tasks", "decisions", "actions",  "expect"};
constexpr std::array<std::string_view, 11> kAttemptKeys{"output",    "fail",          "message", "exit_code",
                                                        "final",     "lost",          "takes",   "cost_usd",
                                                        "artifacts", "changed_files", "conflict"};
constexpr std::array<std::string_view, 4> kDecisionKeys{"do", "after", "by", "comment"};
constexpr std::array<std::string_view, 4> kDecisions{"approve", "reject", "retry", "cancel"};
constexpr std::array<std::string_view, 8> kActionKeys{"at",       "do",     "task",   "redo",
                                                      "cost_usd", "extend", "signal", "payload"};
constexpr std::array<std::string_view, 7> kActions{"pause",  "resume",  "cancel", "retry",
                                                   "budget", "restart", "signal"};
constexpr std::array<std::string_view, 5> kPriorities{"critical", "high", "normal", "low", "deferred"};
constexpr std::size_t kMaxAttempts = 1'000;  // scripted for one task
constexpr std::size_t kMaxMessage = 4'096;
constexpr std::size_t kMaxCode = 64;

}  // namespace

Place Reader::place(NodeId node) const {
  const orchestration::Position at = tree_.position(node);
  return {at.line, at.column};
}

bool Reader::is_map(NodeId node, std::string_view what, std::string_view example) {
  if (tree_.kind(node) == SourceTree::Kind::kMap) return true;
  decoder_.error(node, std::string(what) + " must be a map", "Write `" + std::string(example) + "`.");
  return false;
}

std::optional<std::int64_t> Reader::read_money(const orchestration::Fields& fields, std::string_view key) {
  const auto node = fields.get(key);
  if (!node) return std::nullopt;
  const auto money = tree_.is_scalar(*node) ? orchestration::parse_microusd(tree_.text(*node)) : std::nullopt;
  if (!money) {
    decoder_.error(*node, quoted(key) + " must be dollars with at most 6 decimals",
                   "Write for example `" + std::string(key) + ": 0.25`.");
  }
  return money;
}

bool Reader::knows_task(NodeId key) {
  const std::string_view text = tree_.text(key);
  if (workflow_.find_task(text)) return true;
  const std::size_t point = text.rfind('.');
  if (point != std::string_view::npos) {
    const auto group = workflow_.find_task(text.substr(0, point));
    std::uint32_t number = 0;
    const char* const end = text.data() + text.size();
    const bool is_number =
        point + 1 < text.size() && std::from_chars(text.data() + point + 1, end, number).ptr == end;
    if (group && is_number && workflow_.tasks[*group].for_each) return true;
  }
  std::vector<std::string_view> ids;
  for (const auto& task : workflow_.tasks) ids.push_back(task.id);
  decoder_.error(key, "the workflow has no task " + quoted(text) + orchestration::did_you_mean(text, ids),
                 "An instance of a for_each is `convert.0`, all of them are `convert`.");
  return false;
}

bool Reader::fits(NodeId node, std::string_view what) {
  if (tree_.size(node) <= 2 * kMaxScripted) return true;
  decoder_.error(node, std::string(what) + " has more than " + std::to_string(kMaxScripted) + " entries");
  return false;
}

namespace {

class TestReader : public Reader {
 public:
  using Reader::Reader;

  Test read(NodeId node) {
    Test test;
    test.place = place(node);
    if (!is_map(node, "a test", "- name: retries once")) return test;
    const orchestration::Fields fields(decoder_, node, "a test", kTestKeys);
    fields.read_text("name", test.name, 200);
    if (test.name.empty()) decoder_.error(node, "the test has no `name`", "Write `- name: retries once`.");
    if (const auto inputs = fields.get("inputs"); inputs && is_map(*inputs, "`inputs`", "inputs: {depth: 3}"))
      test.inputs = tree_.to_value(*inputs);
    if (const auto word = fields.read_word("priority", kPriorities))
      test.priority = static_cast<orchestration::Priority>(*word);
    fields.read_uint("agents", test.agents, 1, kDefaultAgents);
    fields.read_duration("until", test.until_ms, 1, false);
    read_tasks(fields, test);
    read_decisions(fields, test);
    read_actions(fields, test);
    if (const auto expect = fields.get("expect")) {
      test.expect = read_expectations(*expect);
    } else {
      decoder_.error(node, "the test expects nothing", "Write `expect: {state: succeeded}`.");
    }
    return test;
  }

 private:
  // One entry or a list of them.
  std::vector<NodeId> one_or_many(NodeId node) {
    if (tree_.kind(node) != SourceTree::Kind::kList) return {node};
    std::vector<NodeId> out;
    for (std::size_t i = 0; i < tree_.size(node) && i < kMaxAttempts; ++i)
      out.push_back(tree_.child(node, i));
    if (tree_.size(node) > kMaxAttempts || out.empty()) {
      decoder_.error(node, "the list has " + std::to_string(tree_.size(node)) + " entries; 1 to " +
                               std::to_string(kMaxAttempts) + " are allowed");
    }
    return out;
  }

  void read_tasks(const orchestration::Fields& fields, Test& test) {
    const auto node = fields.get("tasks");
    if (!node || !is_map(*node, "`tasks`", "tasks: {build: {output: {n: 1}, takes: 5m}}")) return;
    if (!fits(*node, "`tasks`")) return;
    for (std::size_t i = 0; i < tree_.size(*node); i += 2) {
      const NodeId key = tree_.child(*node, i);
      if (!knows_task(key)) continue;
      auto& attempts = test.tasks[std::string(tree_.text(key))];
      for (const NodeId at : one_or_many(tree_.child(*node, i + 1))) attempts.push_back(read_attempt(at));
    }
  }

  Attempt read_attempt(NodeId node) {
    Attempt attempt;
    if (!is_map(node, "what an attempt does", "build: [{fail: COMMAND_FAILED}, {output: {n: 1}}]"))
      return attempt;
    const orchestration::Fields fields(decoder_, node, "an attempt", kAttemptKeys);
    if (const auto output = fields.get("output")) {
      attempt.output = to_json(tree_.to_value(*output));
      if (attempt.output.size() > core::kMaxInlineBytes) {
        decoder_.error(*output, "`output` has " + std::to_string(attempt.output.size()) + " bytes; " +
                                    std::to_string(core::kMaxInlineBytes) + " are allowed here");
      }
    }
    fields.read_text("fail", attempt.code, kMaxCode);
    fields.read_text("message", attempt.message, kMaxMessage);
    std::uint32_t exit_code = 0;
    fields.read_uint("exit_code", exit_code, 0, 255);
    attempt.exit_code = static_cast<std::int32_t>(exit_code);
    fields.read_bool("final", attempt.final);
    fields.read_bool("lost", attempt.lost);
    fields.read_duration("takes", attempt.takes_ms, 0, true);
    attempt.cost_microusd = read_money(fields, "cost_usd").value_or(0);
    fields.read_uint("changed_files", attempt.changed_files, 0, 1'000'000);
    fields.read_text("conflict", attempt.conflict, kMaxMessage);
    for (const NodeId name : fields.read_list("artifacts", 1'000, "artifacts: [report.html]")) {
      if (tree_.is_scalar(name)) attempt.artifacts.emplace_back(tree_.text(name));
    }
    const bool fails = !attempt.code.empty() || attempt.lost;
    if (fails && (!attempt.output.empty() || !attempt.artifacts.empty() || !attempt.conflict.empty())) {
      decoder_.error(node, "an attempt that fails or is lost has no output, artifacts or conflict",
                     "Write two attempts: `[{fail: COMMAND_FAILED}, {output: {n: 1}}]`.");
    }
    if (!fails && (attempt.final || attempt.exit_code != 0 || !attempt.message.empty()))
      decoder_.error(node, "`message`, `exit_code` and `final` go together with `fail`");
    if (!attempt.code.empty() && attempt.lost) decoder_.error(node, "`fail` and `lost` exclude each other");
    return attempt;
  }

  void read_decisions(const orchestration::Fields& fields, Test& test) {
    const auto node = fields.get("decisions");
    if (!node || !is_map(*node, "`decisions`", "decisions: {release: approve}")) return;
    if (!fits(*node, "`decisions`")) return;
    for (std::size_t i = 0; i < tree_.size(*node); i += 2) {
      const NodeId key = tree_.child(*node, i);
      if (!knows_task(key)) continue;
      auto& decisions = test.decisions[std::string(tree_.text(key))];
      for (const NodeId at : one_or_many(tree_.child(*node, i + 1))) decisions.push_back(read_decision(at));
    }
  }

  Decision read_decision(NodeId node) {
    Decision decision;
    decision.place = place(node);
    if (tree_.is_scalar(node)) {
      const auto known = std::find(kDecisions.begin(), kDecisions.end(), tree_.text(node));
      if (known == kDecisions.end()) {
        decoder_.error(node,
                       "a decision cannot be " + quoted(tree_.text(node)) +
                           orchestration::did_you_mean(tree_.text(node), kDecisions),
                       "Write approve, reject, retry or cancel.");
        return decision;
      }
      decision.what = static_cast<Decision::What>(known - kDecisions.begin());
      return decision;
    }
    if (!is_map(node, "a decision", "release: {do: approve, after: 2h}")) return decision;
    const orchestration::Fields fields(decoder_, node, "a decision", kDecisionKeys);
    if (const auto word = fields.read_word("do", kDecisions)) {
      decision.what = static_cast<Decision::What>(*word);
    } else if (!fields.get("do")) {
      decoder_.error(node, "the decision does not say what to `do`", "Write `{do: approve, after: 2h}`.");
    }
    fields.read_duration("after", decision.after_ms, 0, true);
    fields.read_text("by", decision.by, 200);
    fields.read_text("comment", decision.comment, kMaxMessage);
    return decision;
  }

  void read_actions(const orchestration::Fields& fields, Test& test) {
    for (const NodeId node : fields.read_list("actions", kMaxScripted, "actions: [{at: 1h, do: pause}]")) {
      Action action;
      action.place = place(node);
      if (!is_map(node, "an action", "- {at: 1h, do: pause}")) continue;
      const orchestration::Fields keys(decoder_, node, "an action", kActionKeys);
      if (!keys.get("at")) decoder_.error(node, "the action has no time", "Write `{at: 1h, do: pause}`.");
      keys.read_duration("at", action.at_ms, 0, true);
      const auto word = keys.read_word("do", kActions);
      if (!word && !keys.get("do"))
        decoder_.error(node, "the action does not say what to `do`", "Write `{at: 1h, do: pause}`.");
      action.what = static_cast<Action::What>(word.value_or(0));
      const bool budget = action.what == Action::What::kBudget;
      action.add_microusd = read_money(keys, "cost_usd").value_or(0);
      keys.read_duration("extend", action.extend_ms, 0, true);
      if (word && budget != (keys.get("cost_usd") || keys.get("extend")))
        decoder_.error(node, "`do: budget` adds `cost_usd` or `extend`, nothing else does");
      if (const auto task = keys.get("task"); task && tree_.is_scalar(*task) && knows_task(*task))
        action.task = tree_.text(*task);
      keys.read_bool("redo", action.redo);
      if (word && (action.what == Action::What::kRestart) != keys.get("task").has_value())
        decoder_.error(node, "`do: restart` names a `task`, nothing else does");
      keys.read_name("signal", action.signal);
      if (const auto payload = keys.get("payload")) action.payload = to_json(tree_.to_value(*payload));
      const bool signal = action.what == Action::What::kSignal;
      if (word && (signal != keys.get("signal").has_value() || (!signal && keys.get("payload"))))
        decoder_.error(node, "`do: signal` names a `signal` and may have a `payload`, nothing else does");
      test.actions.push_back(action);
    }
  }
};

}  // namespace

Script read_script(std::string_view source, const orchestration::Workflow& workflow) {
  Script script;
  orchestration::SourceError failure;
  orchestration::SourceLimits limits;
  limits.max_bytes = kMaxScriptBytes;
  const auto tree = SourceTree::parse(source, failure, limits);
  if (tree == nullptr) {
    script.mistakes.push_back(
        orchestration::Diagnostic{failure.at.line, failure.at.column,
                                  failure.too_large ? Code::WorkflowTooLarge : Code::WorkflowInvalid,
                                  std::move(failure.message), std::move(failure.hint)});
    return script;
  }
  Decoder decoder(*tree);
  TestReader reader(decoder, workflow);
  if (reader.is_map(tree->root(), "a test file", "tests: [{name: ..., expect: ...}]")) {
    const orchestration::Fields fields(decoder, tree->root(), "a test file", kTopKeys);
    const auto tests = fields.read_list("tests", kMaxTests, "tests: [{name: ..., expect: ...}]");
    std::set<std::string> names;
    for (const NodeId node : tests) {
      script.tests.push_back(reader.read(node));
      if (!names.insert(script.tests.back().name).second && !script.tests.back().name.empty())
        decoder.error(node, "there is a test " + quoted(script.tests.back().name) + " already");
    }
    if (tests.empty()) decoder.error(tree->root(), "the file has no `tests`");
  }
  script.mistakes = decoder.take_diagnostics();
  return script;
}

}  // namespace ez::rehearsal
