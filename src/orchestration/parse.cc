#include "orchestration/parse.h"

#include <algorithm>
#include <array>

#include "base/json.h"
#include "orchestration/decoder.h"
#include "orchestration/labels.h"
#include "orchestration/text.h"

namespace ez::orchestration {
namespace {

constexpr std::array<std::string_view, 18> kTopKeys{
    "name",  "description", "namespace", "inputs",   "repository", "branch",
    "base",  "files",       "budget",    "priority", "retention",  "defaults",
    "tasks", "concurrency", "outputs",   "queries",  "labels",     "resolver"};
constexpr std::array<std::string_view, 2> kRetentionKeys{"days", "runs"};
constexpr std::array<std::string_view, 3> kInputKeys{"type", "description", "default"};
constexpr std::array<std::string_view, 4> kBudgetKeys{"cost_usd", "deadline", "warn_at", "when_exceeded"};
constexpr std::array<std::string_view, 2> kWhenExceeded{"pause", "fail"};
constexpr std::array<std::string_view, 7> kTypes{"string", "int", "number", "bool", "list", "map", "git"};
constexpr std::array<std::string_view, 5> kPriorities{"critical", "high", "normal", "low", "deferred"};
// Words that cannot follow a point in an expression.
constexpr std::array<std::string_view, 4> kReserved{"true", "false", "null", "in"};

constexpr std::size_t kMaxInputs = 200;
constexpr std::size_t kMaxDescription = 64 * 1024;
constexpr std::size_t kMaxPath = 255;

class WorkflowReader {
 public:
  explicit WorkflowReader(Decoder& decoder)
      : decoder_(decoder), fields_(decoder, decoder.tree.root(), "a workflow", kTopKeys) {}

  Workflow read() {
    fields_.read_name("name", workflow_.name);
    if (!fields_.get("name")) {
      decoder_.error(fields_.node(), "the workflow has no `name`",
                     "Write `name: repository-checkup` at the top.");
    }
    fields_.read_text("description", workflow_.description, kMaxDescription);
    fields_.read_name("namespace", workflow_.namespace_name);
    read_inputs();
    read_labels();
    read_repository();
    read_resolver();
    read_files();
    workflow_.concurrency =
        read_concurrency(decoder_, fields_, Scope{Scope::kNoTask, false, "`concurrency.key`"});
    if (const auto word = fields_.read_word("priority", kPriorities)) {
      workflow_.priority = static_cast<Priority>(*word);
    }
    read_budget();
    read_retention();
    workflow_.queries = read_named_expressions(decoder_, fields_, "queries");
    workflow_.outputs = read_named_expressions(decoder_, fields_, "outputs");
    read_tasks();
    workflow_.inputs = std::move(decoder_.inputs);
    return std::move(workflow_);
  }

 private:
  void read_inputs() {
    const auto node = fields_.get("inputs");
    if (!node) return;
    const SourceTree& tree = decoder_.tree;
    if (tree.kind(*node) != SourceTree::Kind::kMap) {
      decoder_.error(*node, "`inputs` must be a map", "Write `inputs: {depth: {type: int, default: 5}}`.");
      return;
    }
    if (tree.size(*node) / 2 > kMaxInputs) {
      decoder_.error(*node, "there are more than " + std::to_string(kMaxInputs) + " inputs");
      return;
    }
    for (std::size_t i = 0; i < tree.size(*node); i += 2)
      read_input(tree.child(*node, i), tree.child(*node, i + 1));
  }

  void read_labels() {
    const auto node = fields_.get("labels");
    if (!node) return;
    const SourceTree& tree = decoder_.tree;
    if (tree.kind(*node) != SourceTree::Kind::kMap) {
      decoder_.error(*node, "`labels` must be a map", "Write `labels: {team: storage}`.");
      return;
    }
    if (tree.size(*node) / 2 > kMaxLabels) {
      decoder_.error(*node, "there are more than " + std::to_string(kMaxLabels) + " labels");
      return;
    }
    for (std::size_t i = 0; i < tree.size(*node); i += 2) {
      const NodeId key = tree.child(*node, i);
      const NodeId value = tree.child(*node, i + 1);
      const std::string_view name = tree.text(key);
      if (name.starts_with(kReservedLabels)) {
        decoder_.error(key, "labels whose names begin with `ez/` are not for workflows");
      } else if (!is_label_name(name)) {
        decoder_.error(key, "the name of a label cannot be " + quoted(name),
                       "a-z, 0-9, `.`, `_`, `/` and `-`, for example `team`.");
      } else if (!tree.is_scalar(value) || tree.text(value).empty()) {
        decoder_.error(value, "the value of the label " + quoted(name) + " must be a text",
                       "Write `" + std::string(name) + ": storage`.");
      } else if (auto read = decoder_.read_template(value, Scope{Scope::kNoTask, false, "`labels`"})) {
        // Only what holds no `${{ }}` can be judged before there is a run.
        if (read->expressions().empty() && !is_label_value(tree.text(value))) {
          decoder_.error(value, "the value of the label " + quoted(name) + " has more than " +
                                    std::to_string(kMaxLabelValueBytes) + " bytes or control characters");
        }
        workflow_.labels.emplace_back(std::string(name), std::move(*read));
      }
    }
    std::sort(workflow_.labels.begin(), workflow_.labels.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
  }

  void read_input(NodeId key, NodeId node) {
    Input input;
    input.name = decoder_.tree.text(key);
    if (!is_identifier(input.name)) {
      decoder_.error(key, "the name of an input cannot be " + quoted(input.name),
                     "Letters, digits and `_`, not starting with a digit, for example `build_type`.");
      return;
    }
    if (std::find(kReserved.begin(), kReserved.end(), input.name) != kReserved.end()) {
      decoder_.error(key, quoted(input.name) + " is a word of the expression language", "Use another name.");
      return;
    }
    if (decoder_.tree.kind(node) != SourceTree::Kind::kMap) {
      decoder_.error(node, "the input " + quoted(input.name) + " must be a map with a `type`",
                     "Write `" + input.name + ": {type: string}`.");
      decoder_.inputs.push_back(std::move(input));
      return;
    }
    const Fields fields(decoder_, node, "an input", kInputKeys);
    bool has_type = false;
    if (const auto word = fields.read_word("type", kTypes)) {
      input.type = static_cast<InputType>(*word);
      has_type = true;
    } else if (!fields.get("type")) {
      decoder_.error(key, "the input " + quoted(input.name) + " has no `type`",
                     "Write string, int, number, bool, list, map or git.");
    }
    fields.read_text("description", input.description, kMaxDescription);
    if (const auto value = fields.get("default"); value && has_type) read_fallback(input, *value);
    decoder_.inputs.push_back(std::move(input));
  }

  void read_fallback(Input& input, NodeId node) {
    const SourceTree& tree = decoder_.tree;
    const bool is_text = input.type == InputType::kString || input.type == InputType::kGit;
    // `default: 1.10` of a string is the text 1.10.
    Value value = is_text && tree.is_scalar(node) ? Value(tree.text(node)) : tree.to_value(node);
    Result<Value> converted = convert_input(input.name, input.type, value);
    if (!converted.ok()) {
      decoder_.error(node, "`default` of " + converted.error().message(),
                     std::string(converted.error().hint()));
      return;
    }
    input.fallback = std::move(converted).value();
  }

  void read_repository() {
    const auto scope = [](std::string_view place) { return Scope{Scope::kNoTask, false, place}; };
    fields_.read_template("repository", workflow_.repository, scope("`repository`"));
    fields_.read_template("branch", workflow_.branch, scope("`branch`"));
    fields_.read_template("base", workflow_.base, scope("`base`"));
    if (fields_.get("repository")) return;
    for (const std::string_view key : {"branch", "base"}) {
      if (const auto node = fields_.key(key)) {
        decoder_.error(*node, quoted(key) + " has no meaning without `repository`",
                       "Set `repository`, for example `${{ inputs.repo }}`.");
      }
    }
  }

  void read_resolver() {
    workflow_.resolver =
        orchestration::read_resolver(decoder_, fields_, Scope{Scope::kNoTask, false, "`resolver`"})
            .value_or(nullptr);
    if (const auto key = fields_.key("resolver"); key && !fields_.get("repository")) {
      decoder_.error(*key, "`resolver` has no meaning without `repository`",
                     "Set `repository`, for example `${{ inputs.repo }}`.");
    }
  }

  // A relative path without `..`, kept without `.` and double slashes.
  void read_files() {
    std::string path;
    fields_.read_text("files", path, kMaxPath);
    const auto node = fields_.get("files");
    if (!node || !decoder_.tree.is_scalar(*node)) return;
    bool is_good =
        !path.empty() && path[0] != '/' && path.find('\\') == std::string::npos &&
        std::none_of(path.begin(), path.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
    std::string clean;
    for (std::size_t start = 0; is_good && start <= path.size();) {
      const std::size_t end = std::min(path.find('/', start), path.size());
      const std::string part = path.substr(start, end - start);
      start = end + 1;
      if (part.empty() || part == ".") continue;
      is_good = part != "..";
      clean += (clean.empty() ? "" : "/") + part;
    }
    if (!is_good || clean.empty()) {
      decoder_.error(*node, "`files` cannot be " + quoted(decoder_.tree.text(*node)),
                     "Name a folder beside the workflow file, without `..`, for example `scripts`.");
      return;
    }
    workflow_.files = std::move(clean);
  }

  void read_budget() {
    const auto node = fields_.get("budget");
    if (!node) return;
    if (decoder_.tree.kind(*node) != SourceTree::Kind::kMap) {
      decoder_.error(*node, "`budget` must be a map", "Write `budget: {cost_usd: 100, deadline: 24h}`.");
      return;
    }
    const Fields fields(decoder_, *node, "`budget`", kBudgetKeys);
    std::string cost;
    fields.read_text("cost_usd", cost, 64);
    if (const auto at = fields.get("cost_usd"); at && decoder_.tree.is_scalar(*at)) {
      const auto microusd = parse_microusd(decoder_.tree.text(*at));
      if (microusd && *microusd > 0) {
        workflow_.budget_microusd = *microusd;
      } else {
        decoder_.error(*at, "`cost_usd` cannot be " + quoted(decoder_.tree.text(*at)),
                       "Write dollars with at most 6 decimals, for example `cost_usd: 12.50`.");
      }
    }
    fields.read_duration("deadline", workflow_.deadline_ms, 1, false);
    std::string warn;
    fields.read_text("warn_at", warn, 64);
    if (const auto at = fields.get("warn_at"); at && decoder_.tree.is_scalar(*at)) {
      const auto permille =
          warn.ends_with('%') ? parse_permille(warn.substr(0, warn.size() - 1)) : std::nullopt;
      if (permille && *permille >= 1'000 && *permille <= 99'000 && *permille % 1'000 == 0) {
        workflow_.warn_permille = static_cast<std::uint32_t>(*permille / 100);
      } else {
        decoder_.error(*at, "`warn_at` cannot be " + quoted(warn),
                       "Write 1% to 99%, for example `warn_at: 80%`.");
      }
    }
    if (const auto word = fields.read_word("when_exceeded", kWhenExceeded)) {
      workflow_.when_exceeded = static_cast<WhenExceeded>(*word);
    }
  }

  void read_retention() {
    const auto node = fields_.get("retention");
    if (!node) return;
    if (decoder_.tree.kind(*node) != SourceTree::Kind::kMap) {
      decoder_.error(*node, "`retention` must be a map", "Write `retention: {days: 30, runs: 100}`.");
      return;
    }
    const Fields fields(decoder_, *node, "`retention`", kRetentionKeys);
    std::uint32_t days = 0;
    std::uint32_t runs = 0;
    fields.read_uint("days", days, 1, static_cast<std::uint32_t>(kMaxRetainDays));
    fields.read_uint("runs", runs, 1, static_cast<std::uint32_t>(kMaxRetainRuns));
    if (!fields.get("days") && !fields.get("runs")) {
      decoder_.error(*node, "`retention` needs `days` or `runs`",
                     "Write `retention: {days: 30, runs: 100}`.");
    }
    workflow_.retention = Retain{days, runs};
  }

  void read_tasks() {
    const auto list = fields_.get("tasks");
    if (!list || (decoder_.tree.kind(*list) == SourceTree::Kind::kList && decoder_.tree.size(*list) == 0)) {
      decoder_.error(list.value_or(fields_.node()), "the workflow has no `tasks`",
                     "Write `tasks:` and below it `- id: build`.");
      return;
    }
    if (decoder_.tree.kind(*list) != SourceTree::Kind::kList) {
      decoder_.error(*list, "`tasks` must be a list", "Start each task with `- id: build`.");
      return;
    }
    if (decoder_.tree.size(*list) > kMaxTasks) {
      decoder_.error(*list,
                     "there are " + std::to_string(decoder_.tree.size(*list)) + " tasks; " +
                         std::to_string(kMaxTasks) + " are allowed",
                     "Split the workflow, or use `for_each`.", Code::WorkflowTooLarge);
      return;
    }
    const bool is_complete = decode_tasks(decoder_, *list, fields_.get("defaults"), workflow_);
    check_graph(decoder_, *list, is_complete, workflow_);
  }

  Decoder& decoder_;
  Fields fields_;
  Workflow workflow_;
};

// A canonical form can only be too large when the file is large.
constexpr std::size_t kMeasuredFromBytes = 2 * 1024 * 1024;

}  // namespace

std::string Diagnostic::to_string() const {
  if (line <= 0) return message;
  return std::to_string(line) + ":" + std::to_string(column) + ": " + message;
}

ParsedWorkflow parse_workflow(std::string_view source) {
  ParsedWorkflow out;
  SourceError failure;
  SourceLimits limits;
  limits.max_bytes = kMaxSourceBytes;
  const auto tree = SourceTree::parse(source, failure, limits);
  if (tree == nullptr) {
    out.diagnostics.push_back(Diagnostic{failure.at.line, failure.at.column,
                                         failure.too_large ? Code::WorkflowTooLarge : Code::WorkflowInvalid,
                                         std::move(failure.message), std::move(failure.hint)});
    return out;
  }
  Decoder decoder(*tree);
  if (tree->kind(tree->root()) != SourceTree::Kind::kMap) {
    decoder.error(tree->root(), "a workflow file is a map of keys", "Start with `name: repository-checkup`.");
    out.diagnostics = decoder.take_diagnostics();
    return out;
  }
  auto workflow = std::make_shared<Workflow>(WorkflowReader(decoder).read());
  if (!decoder.has_errors() && source.size() > kMeasuredFromBytes) {
    if (const std::size_t size = to_canonical(*workflow).size(); size > kMaxCanonicalBytes) {
      decoder.error(Position{},
                    "the workflow has " + std::to_string(size) + " bytes in its canonical form; " +
                        std::to_string(kMaxCanonicalBytes) + " are allowed",
                    {}, Code::WorkflowTooLarge);
    }
  }
  if (decoder.has_errors()) {
    out.diagnostics = decoder.take_diagnostics();
  } else {
    out.workflow = std::move(workflow);
  }
  return out;
}

}  // namespace ez::orchestration
