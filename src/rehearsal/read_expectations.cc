#include <algorithm>
#include <array>

#include "core/effects.h"
#include "core/transitions.h"
#include "orchestration/text.h"
#include "rehearsal/script_reader.h"

namespace ez::rehearsal {

using orchestration::NodeId;
using orchestration::quoted;
using orchestration::SourceTree;

namespace {

constexpr std::array<std::string_view, 10> kExpectKeys{"refused", "state", "error", "takes", "cost_usd",
                                                       "notices", "order", "tasks", "that",  "outputs"};
constexpr std::array<std::string_view, 6> kTaskKeys{"state", "attempts",  "output",
                                                    "error", "starts_at", "ends_at"};
constexpr std::array<std::string_view, 2> kRangeKeys{"at_least", "at_most"};
constexpr std::array<std::string_view, 7> kRunStates{"waiting", "running",   "paused", "succeeded",
                                                     "failed",  "cancelled", "queued"};
constexpr std::size_t kMaxCode = 64;

std::vector<std::string_view> task_states() {
  std::vector<std::string_view> out;
  for (int i = 0; i < core::kTaskStates; ++i) out.push_back(core::to_text(static_cast<core::TaskState>(i)));
  return out;
}

}  // namespace

// The code of an error, or null for none.
std::optional<Expected<std::string>> Reader::read_code(const orchestration::Fields& fields,
                                                       std::string_view key) {
  if (const auto node = fields.get(key)) {
    std::string code;
    fields.read_text(key, code, kMaxCode);
    return Expected<std::string>{code, place(*node)};
  }
  if (const auto node = fields.key(key)) return Expected<std::string>{"", place(*node)};
  return std::nullopt;
}

std::optional<Expected<Range>> Reader::read_range(const orchestration::Fields& fields, std::string_view key) {
  const auto node = fields.get(key);
  if (!node) return std::nullopt;
  Expected<Range> out{{}, place(*node)};
  if (tree_.kind(*node) != SourceTree::Kind::kMap) {
    fields.read_duration(key, out.value.at_least, 0, true);
    out.value.at_most = out.value.at_least;
    return out;
  }
  const orchestration::Fields bounds(decoder_, *node, quoted(key), kRangeKeys);
  bounds.read_duration("at_least", out.value.at_least, 0, true);
  bounds.read_duration("at_most", out.value.at_most, 0, true);
  if (out.value.at_least > out.value.at_most)
    decoder_.error(*node, "`at_least` is more than `at_most`: nothing can be expected there");
  return out;
}

std::optional<Expected<std::string>> Reader::read_task_state(NodeId node) {
  static const std::vector<std::string_view> kStates = task_states();
  const std::string_view text = tree_.is_scalar(node) ? tree_.text(node) : std::string_view();
  if (std::find(kStates.begin(), kStates.end(), text) != kStates.end())
    return Expected<std::string>{std::string(text), place(node)};
  std::string all;
  for (const std::string_view state : kStates) all += (all.empty() ? "" : ", ") + std::string(state);
  decoder_.error(
      node, "there is no state " + quoted(text) + " of a task" + orchestration::did_you_mean(text, kStates),
      "The states are " + all + ".");
  return std::nullopt;
}

ExpectedTask Reader::read_expected_task(NodeId key, NodeId node) {
  ExpectedTask out;
  out.key = tree_.text(key);
  out.place = place(key);
  if (tree_.kind(node) != SourceTree::Kind::kMap) {
    out.state = read_task_state(node);
    return out;
  }
  const orchestration::Fields fields(decoder_, node, "an expected task", kTaskKeys);
  if (const auto state = fields.get("state")) out.state = read_task_state(*state);
  if (const auto at = fields.get("attempts")) {
    std::uint32_t attempts = 0;
    fields.read_uint("attempts", attempts, 0, 1'000'000);
    out.attempts = Expected<std::int64_t>{attempts, place(*at)};
  }
  if (const auto at = fields.key("output")) {
    const auto value = fields.get("output");
    out.output = Expected<Value>{value ? tree_.to_value(*value) : Value(), place(value.value_or(*at))};
  }
  out.error = read_code(fields, "error");
  out.starts_at = read_range(fields, "starts_at");
  out.ends_at = read_range(fields, "ends_at");
  return out;
}

void Reader::read_expected_tasks(const orchestration::Fields& fields, ExpectedRun& expected) {
  const auto node = fields.get("tasks");
  if (!node || !is_map(*node, "`tasks`", "tasks: {build: succeeded}") || !fits(*node, "`tasks`")) return;
  for (std::size_t i = 0; i < tree_.size(*node); i += 2) {
    const NodeId key = tree_.child(*node, i);
    if (knows_task(key)) expected.tasks.push_back(read_expected_task(key, tree_.child(*node, i + 1)));
  }
}

ExpectedRun Reader::read_expectations(NodeId node) {
  ExpectedRun out;
  if (!is_map(node, "`expect`", "expect: {state: succeeded}")) return out;
  const orchestration::Fields fields(decoder_, node, "`expect`", kExpectKeys);
  if (tree_.size(node) == 0) decoder_.error(node, "the test expects nothing");
  out.refused = read_code(fields, "refused");
  if (out.refused && tree_.size(node) > 2)
    decoder_.error(node, "a run that is refused has nothing else to expect");
  if (const auto word = fields.read_word("state", kRunStates))
    out.state = Expected<std::string>{std::string(kRunStates[*word]), place(*fields.get("state"))};
  out.error = read_code(fields, "error");
  out.takes = read_range(fields, "takes");
  if (const auto money = read_money(fields, "cost_usd"))
    out.cost_microusd = Expected<std::int64_t>{*money, place(*fields.get("cost_usd"))};
  if (const auto at = fields.get("notices")) {
    Expected<std::vector<std::string>> notices{{}, place(*at)};
    for (const NodeId item : fields.read_list("notices", 100, "notices: [cost_warning]")) {
      if (tree_.is_scalar(item)) notices.value.emplace_back(tree_.text(item));
    }
    out.notices = std::move(notices);
  }
  if (const auto at = fields.get("outputs")) out.outputs = Expected<Value>{tree_.to_value(*at), place(*at)};
  for (const NodeId item : fields.read_list("order", kMaxScripted, "order: [build, test]")) {
    if (tree_.is_scalar(item) && knows_task(item))
      out.order.push_back({std::string(tree_.text(item)), place(item)});
  }
  read_expected_tasks(fields, out);
  for (const NodeId item : fields.read_list("that", 1'000, "that: [tasks.build.output.n > 2]")) {
    // At the end of the run every task may be looked at, so references to tasks are not checked here.
    auto expression = Expression::parse(tree_.is_scalar(item) ? tree_.text(item) : std::string_view());
    if (!expression.ok()) {
      decoder_.error(item, expression.error().message(), std::string(expression.error().hint()));
    } else {
      out.that.push_back({std::move(expression).value(), place(item)});
    }
  }
  return out;
}

}  // namespace ez::rehearsal
