// What expressions refer to, and whether the tasks form a DAG in which that is known in time.
#include <algorithm>
#include <array>
#include <charconv>

#include "orchestration/dag.h"
#include "orchestration/decoder.h"

namespace ez::orchestration {
namespace {

constexpr std::array<std::string_view, 6> kRunFields{"id",        "workflow",   "version",
                                                     "namespace", "created_at", "scheduled_at"};
constexpr std::array<std::string_view, 8> kTaskFields{"state", "output",    "outputs",   "attempt",
                                                      "error", "artifacts", "instances", "finished"};
constexpr std::array<std::string_view, 5> kVariables{"inputs", "tasks", "run", "item", "index"};
constexpr std::size_t kMaxCyclesShown = 10;
constexpr std::size_t kMaxCycleTasksShown = 20;

bool contains(std::span<const std::string_view> list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// Reads "column N: " or "line L, column N: " off the front of an expression error.
bool take_place(std::string_view& message, int& line, int& column) {
  std::string_view rest = message;
  line = 1;
  const auto take = [&rest](std::string_view word, int& number) {
    if (!rest.starts_with(word)) return false;
    rest.remove_prefix(word.size());
    const auto [end, failure] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (failure != std::errc()) return false;
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    return true;
  };
  if (take("line ", line) && !rest.starts_with(", ")) return false;
  if (rest.starts_with(", ")) rest.remove_prefix(2);
  if (!take("column ", column) || !rest.starts_with(": ")) return false;
  message = rest.substr(2);
  return true;
}

std::size_t offset_of(std::string_view text, int line, int column) {
  std::size_t at = 0;
  for (; line > 1; --line) {
    const std::size_t end = text.find('\n', at);
    if (end == std::string_view::npos) break;
    at = end + 1;
  }
  for (; column > 1 && at < text.size(); --column) {
    ++at;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) ++at;
  }
  return at;
}

std::string input_names(const std::vector<Input>& inputs) {
  if (inputs.empty()) return "The workflow declares no inputs; add it under the top-level key `inputs`.";
  std::string out = "Declared inputs:";
  for (std::size_t i = 0; i < inputs.size() && i < 20; ++i) out += (i == 0 ? " " : ", ") + inputs[i].name;
  return out + (inputs.size() > 20 ? ", …" : ".");
}

}  // namespace

void Decoder::expression_error(NodeId node, const Error& failure, const Scope& scope) {
  std::string_view message = failure.message();
  int line = 1;
  int column = 1;
  const std::size_t offset =
      take_place(message, line, column) ? offset_of(tree.text(node), line, column) : std::size_t{0};
  error_in(node, offset, "in " + std::string(scope.place) + ": " + std::string(message),
           std::string(failure.hint()), failure.code());
}

std::optional<Template> Decoder::read_template(NodeId node, const Scope& scope) {
  if (!tree.is_scalar(node) && tree.kind(node) != SourceTree::Kind::kNull) {
    error(node, std::string(scope.place) + " must be a text");
    return std::nullopt;
  }
  const std::string_view text = tree.text(node);
  Result<Template> parsed = Template::parse(text);
  if (!parsed.ok()) {
    expression_error(node, parsed.error(), scope);
    return std::nullopt;
  }
  std::size_t from = 0;
  for (const Expression& expression : parsed->expressions()) {
    // The next opening that holds this source; escaped ones (`$${{`) are passed over.
    std::size_t open = text.find("${{", from);
    while (open != std::string_view::npos && open > 0 && text[open - 1] == '$')
      open = text.find("${{", open + 3);
    const std::size_t start =
        open == std::string_view::npos ? from : text.find(expression.source(), open + 3);
    from = start == std::string_view::npos ? from : start;
    check_references(expression, node, from, scope);
    from = std::min(text.size(), from + expression.source().size());
  }
  return std::move(parsed).value();
}

std::optional<Expression> Decoder::read_expression(NodeId node, const Scope& scope) {
  if (!tree.is_scalar(node)) {
    error(node, std::string(scope.place) + " must be an expression",
          "Write for example `when: tasks.build.output.changed > 0`.");
    return std::nullopt;
  }
  const std::string_view text = tree.text(node);
  if (text.find("${{") != std::string_view::npos) {
    error(node, std::string(scope.place) + " is an expression by itself and takes no `${{ }}`",
          "Write for example `when: tasks.build.output.changed > 0`.");
    return std::nullopt;
  }
  Result<Expression> parsed = Expression::parse(text);
  if (!parsed.ok()) {
    expression_error(node, parsed.error(), scope);
    return std::nullopt;
  }
  check_references(*parsed, node, 0, scope);
  return std::move(parsed).value();
}

void Decoder::check_references(const Expression& expression, NodeId node, std::size_t offset,
                               const Scope& scope) {
  const std::string& source = expression.source();
  for (const std::string& name : expression.variables()) {
    const std::size_t found = source.find(name);
    check_variable(name, source, node, offset + (found == std::string::npos ? 0 : found), scope);
  }
  for (const auto& path : expression.paths()) check_path(path, source, node, offset, scope);
}

void Decoder::check_variable(const std::string& name, const std::string& source, NodeId node,
                             std::size_t offset, const Scope& scope) {
  const std::string in = " in " + std::string(scope.place);
  if (name == "inputs" || name == "run") return;
  if (name == "tasks") {
    if (scope.task != Scope::kNoTask || scope.whole_run) return;
    error_in(node, offset, "`tasks` is not known" + in,
             "It is evaluated when a run starts; use `inputs` and `run`.");
    return;
  }
  if (name == "item" || name == "index") {
    if (scope.has_item) return;
    const bool early = scope.place == "`when`" || scope.place == "`for_each`";
    error_in(
        node, offset, quoted(name) + " is not known" + in,
        early
            ? "It is evaluated once, before there are items; filter the list: `${{ list.filter(x, x.ok) }}`."
            : "Only a task with `for_each` has it.");
    return;
  }
  const std::size_t dash = source.find("-" + name);
  if (dash != std::string::npos && dash > 0 && source[dash - 1] != ' ' &&
      source.find("tasks.") != std::string::npos) {
    error_in(node, offset, quoted(name) + " is no variable; `-` means minus" + in,
             "Write an id that contains `-` as tasks['build-all'].");
    return;
  }
  error_in(node, offset, quoted(name) + " is no variable" + in + did_you_mean(name, kVariables),
           "Variables are inputs, tasks, run and, with `for_each`, item and index; a text stands in quotes.");
}

void Decoder::check_path(const std::vector<std::string>& path, const std::string& source, NodeId node,
                         std::size_t offset, const Scope& scope) {
  const std::string& root = path[0];
  const auto offset_in = [&](std::string_view member) {
    std::size_t found = source.find(root + "." + std::string(member));
    if (found == std::string::npos) found = source.find(root + "[");
    return offset + (found == std::string::npos ? 0 : found);
  };
  if (root == "tasks" && (scope.task != Scope::kNoTask || scope.whole_run)) {
    if (path.size() == 1) {
      error_in(node, offset_in(""), "`tasks` needs the id of a task in " + std::string(scope.place),
               "Write tasks.build.output or tasks['build-all'].output; the id cannot be computed.");
      return;
    }
    const std::size_t at = offset_in(path[1]);
    task_references.push_back(TaskReference{scope.task, node, at, path[1]});
    if (path.size() > 2 && !contains(kTaskFields, path[2])) {
      error_in(node, at, "a task has no field " + quoted(path[2]) + did_you_mean(path[2], kTaskFields),
               "Fields of a task are state, output, outputs, attempt, error, artifacts, instances and "
               "finished.");
    }
  }
  if (path.size() < 2) return;
  if (root == "inputs") {
    const auto is_it = [&](const Input& input) { return input.name == path[1]; };
    if (std::any_of(inputs.begin(), inputs.end(), is_it)) return;
    std::vector<std::string_view> names;
    for (const Input& input : inputs) names.push_back(input.name);
    error_in(node, offset_in(path[1]),
             "the input " + quoted(path[1]) + " is not declared" + did_you_mean(path[1], names),
             input_names(inputs));
  }
  if (root == "run" && !contains(kRunFields, path[1])) {
    error_in(node, offset_in(path[1]),
             "a run has no field " + quoted(path[1]) + did_you_mean(path[1], kRunFields),
             "Fields of a run are id, workflow, version, namespace, created_at and scheduled_at.");
  }
}

namespace {

void report_cycle(Decoder& decoder, NodeId list, const Workflow& workflow,
                  const std::vector<std::uint32_t>& cycle) {
  std::string names;
  for (std::size_t i = 0; i < cycle.size(); ++i) {
    if (i == kMaxCycleTasksShown) {
      names += "… (" + std::to_string(cycle.size() - kMaxCycleTasksShown) + " more) → ";
      break;
    }
    names += quoted(workflow.tasks[cycle[i]].id) + " → ";
  }
  names += quoted(workflow.tasks[cycle[0]].id);
  const SourceTree& tree = decoder.tree;
  const NodeId task = tree.child(list, cycle[0]);
  NodeId at = task;
  if (const auto dependencies = tree.find(task, "dependencies")) {
    for (std::size_t i = 0; i < tree.size(*dependencies); ++i) {
      const NodeId node = tree.child(*dependencies, i);
      if (tree.text(node) == workflow.tasks[cycle[1 % cycle.size()]].id) at = node;
    }
  }
  decoder.error(at, "tasks wait for each other in a circle: " + names,
                "Each task needs the one after the arrow; remove one of these dependencies.");
}

}  // namespace

void check_graph(Decoder& decoder, NodeId list, bool is_complete, Workflow& workflow) {
  const auto cycles = find_cycles(workflow.tasks, kMaxCyclesShown);
  for (const auto& cycle : cycles) report_cycle(decoder, list, workflow, cycle);
  const bool is_dag = cycles.empty();
  if (is_dag) link_tasks(workflow.tasks);

  std::vector<std::pair<std::uint32_t, std::uint32_t>> questions;
  std::vector<std::size_t> asked;  // index in task_references
  std::vector<std::string_view> ids;
  for (std::size_t i = 0; i < decoder.task_references.size(); ++i) {
    const Decoder::TaskReference& reference = decoder.task_references[i];
    const auto other = workflow.find_task(reference.id);
    if (!other) {
      if (decoder.diagnostics.size() >= kMaxDiagnostics) continue;
      if (ids.empty()) {
        for (const Task& task : workflow.tasks) ids.push_back(task.id);
      }
      decoder.error_in(reference.node, reference.offset,
                       "there is no task " + quoted(reference.id) + did_you_mean(reference.id, ids),
                       "An id that contains `-` is written as tasks['build-all'].");
    } else if (reference.task == Scope::kNoTask) {
      continue;  // known once the run is over, or as far as it has come
    } else if (*other == reference.task) {
      decoder.error_in(reference.node, reference.offset,
                       "the task " + quoted(reference.id) + " refers to itself",
                       "A task can only use what tasks before it produced.");
    } else {
      const auto& direct = workflow.tasks[reference.task].dependencies;
      const bool is_short = direct.size() <= 64;
      if (is_short && std::find(direct.begin(), direct.end(), *other) != direct.end()) continue;
      questions.emplace_back(reference.task, *other);
      asked.push_back(i);
    }
  }
  if (!is_dag || !is_complete) return;
  const std::vector<bool> answers = are_upstream(workflow.tasks, questions);
  for (std::size_t i = 0; i < asked.size(); ++i) {
    if (answers[i]) continue;
    const Decoder::TaskReference& reference = decoder.task_references[asked[i]];
    const std::string& id = workflow.tasks[reference.task].id;
    decoder.error_in(reference.node, reference.offset,
                     "the task " + quoted(reference.id) + " is not upstream of " + quoted(id) +
                         ", so its result is not known in time",
                     "Add " + quoted(reference.id) + " to the dependencies of " + quoted(id) + ".");
  }
}

}  // namespace ez::orchestration
