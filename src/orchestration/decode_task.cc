// The tasks of a workflow file.
#include <algorithm>
#include <array>
#include <string>

#include "orchestration/compensation.h"
#include "orchestration/decoder.h"
#include "orchestration/text.h"

namespace ez::orchestration {
namespace {

using Names = std::span<const std::string_view>;

constexpr std::array<std::string_view, 26> kTaskKeys{
    "id",    "name",          "dependencies", "when",       "for_each",  "max_parallel", "agent",
    "run",   "prompt",        "env",          "verify",     "workspace", "artifacts",    "concurrency",
    "retry", "timeout",       "on_failure",   "checkpoint", "priority",  "sandbox",      "budget",
    "rate",  "output_schema", "compensate",   "mcp",        "resolver"};
constexpr std::array<std::string_view, 29> kAllTaskKeys = [] {
  std::array<std::string_view, 29> keys{};
  std::copy(kTaskKeys.begin(), kTaskKeys.end(), keys.begin());
  keys[26] = "approval";
  keys[27] = "wait";
  keys[28] = "workflow";
  return keys;
}();
// What a task that only waits for a person has no use for.
constexpr std::array<std::string_view, 17> kRunOnlyKeys{
    "for_each",  "max_parallel",  "agent",      "env",      "verify",  "workspace",
    "artifacts", "concurrency",   "retry",      "priority", "sandbox", "budget",
    "rate",      "output_schema", "compensate", "mcp",      "resolver"};
// What a task that waits for time or a signal has no use for.
constexpr std::array<std::string_view, 21> kNoWaitKeys{
    "run",     "prompt",    "approval",  "workflow",      "max_parallel", "agent", "env",
    "verify",  "workspace", "artifacts", "timeout",       "concurrency",  "retry", "priority",
    "sandbox", "budget",    "rate",      "output_schema", "compensate",   "mcp",   "resolver"};
// What a task that starts another workflow has no use for.
constexpr std::array<std::string_view, 12> kNoChildKeys{
    "run",       "prompt",      "agent",   "env",           "verify", "workspace",
    "artifacts", "concurrency", "sandbox", "output_schema", "mcp",    "resolver"};
// Of a compensation that stands inside its task.
constexpr std::array<std::string_view, 10> kCompensateKeys{
    "name", "run", "prompt", "env", "agent", "retry", "timeout", "sandbox", "when", "workspace"};
constexpr std::array<std::string_view, 5> kDefaultsKeys{"retry", "timeout", "sandbox", "agent", "on_failure"};
constexpr std::array<std::string_view, 5> kRetryKeys{"max_attempts", "backoff", "max_backoff", "multiplier",
                                                     "jitter"};
constexpr std::array<std::string_view, 4> kTimeoutKeys{"schedule_to_start", "start_to_close",
                                                       "schedule_to_close", "heartbeat"};
constexpr std::array<std::string_view, 6> kSandboxKeys{"network",   "memory_mb", "processes",
                                                       "output_mb", "disk_mb",   "cpu_s"};
constexpr std::array<std::string_view, 1> kTaskBudgetKeys{"cost_usd"};
constexpr std::array<std::string_view, 2> kApprovalKeys{"role", "message"};
constexpr std::array<std::string_view, 4> kPolicies{"pause", "fail", "continue", "rollback"};
constexpr std::array<std::string_view, 3> kModes{"none", "read", "write"};
constexpr std::array<std::string_view, 5> kPriorities{"critical", "high", "normal", "low", "deferred"};

constexpr std::size_t kMaxEnvironment = 200;
constexpr std::size_t kMaxArtifacts = 100;

// What `defaults` and a task fill in alike.
struct Settings {
  Task values;
  bool has_max_backoff = false;
};

// The map of a key, or nullopt (after a report when it is something else).
std::optional<Fields> submap(Decoder& decoder, const Fields& fields, std::string_view key, Names known,
                             std::string_view example) {
  const auto node = fields.get(key);
  if (!node) return std::nullopt;
  if (decoder.tree.kind(*node) != SourceTree::Kind::kMap) {
    decoder.error(*node, quoted(key) + " must be a map", "Write `" + std::string(example) + "`.");
    return std::nullopt;
  }
  return Fields(decoder, *node, "`" + std::string(key) + "`", known);
}

void read_retry(Decoder& decoder, const Fields& fields, Settings& settings) {
  const auto retry = submap(decoder, fields, "retry", kRetryKeys, "retry: {max_attempts: 3, backoff: 5s}");
  if (!retry) return;
  Retry& out = settings.values.retry;
  retry->read_uint("max_attempts", out.max_attempts, 1, 1'000);
  retry->read_duration("backoff", out.backoff_ms, 0, true);
  if (retry->get("max_backoff")) {
    settings.has_max_backoff = true;
    retry->read_duration("max_backoff", out.max_backoff_ms, 0, true);
  }
  retry->read_permille("multiplier", out.multiplier_permille, 1'000, 100'000);
  retry->read_permille("jitter", out.jitter_permille, 0, 1'000);
  if (out.backoff_ms <= out.max_backoff_ms) return;
  if (settings.has_max_backoff) {
    decoder.error(retry->node(),
                  "`backoff` (" + format_duration_ms(out.backoff_ms) + ") is longer than `max_backoff` (" +
                      format_duration_ms(out.max_backoff_ms) + ")",
                  "Raise `max_backoff`.");
  } else {
    out.max_backoff_ms = out.backoff_ms;  // nobody asked for the built-in ceiling
  }
}

void read_timeout(Decoder& decoder, const Fields& fields, Timeouts& out) {
  const auto timeout = submap(decoder, fields, "timeout", kTimeoutKeys, "timeout: {start_to_close: 1h}");
  if (!timeout) return;
  timeout->read_duration("schedule_to_start", out.schedule_to_start_ms, 1, true);
  timeout->read_duration("start_to_close", out.start_to_close_ms, 1, true);
  timeout->read_duration("schedule_to_close", out.schedule_to_close_ms, 1, true);
  timeout->read_duration("heartbeat", out.heartbeat_ms, 1'000, true);
}

void read_sandbox(Decoder& decoder, const Fields& fields, Sandbox& out) {
  const auto sandbox =
      submap(decoder, fields, "sandbox", kSandboxKeys, "sandbox: {network: false, memory_mb: 2048}");
  if (!sandbox) return;
  sandbox->read_bool("network", out.network);
  sandbox->read_uint("memory_mb", out.memory_mb, 16, 4'194'304);
  sandbox->read_uint("processes", out.processes, 1, 32'768);
  sandbox->read_uint("output_mb", out.output_mb, 1, 10'240);
  sandbox->read_uint("disk_mb", out.disk_mb, 1, 16'777'216);
  sandbox->read_uint("cpu_s", out.cpu_s, 0, 31'536'000);
}

void read_policy(const Fields& fields, OnFailure& out) {
  if (const auto word = fields.read_word("on_failure", kPolicies)) out = static_cast<OnFailure>(*word);
}

void read_settings(Decoder& decoder, const Fields& fields, Settings& out) {
  read_retry(decoder, fields, out);
  read_timeout(decoder, fields, out.values.timeout);
  read_sandbox(decoder, fields, out.values.sandbox);
  read_agent(decoder, fields, out.values.agent);
  read_policy(fields, out.values.on_failure);
}

class TaskReader {
 public:
  TaskReader(Decoder& decoder, const Workflow& workflow, NodeId node, std::uint32_t index,
             const Settings& defaults)
      : decoder_(decoder),
        workflow_(workflow),
        fields_(decoder, node, "a task", kAllTaskKeys),
        index_(index),
        settings_(defaults) {}
  // A compensation inside its task, whose id is made for it.
  TaskReader(Decoder& decoder, const Workflow& workflow, NodeId node, std::uint32_t index,
             const Settings& defaults, std::string id)
      : decoder_(decoder),
        workflow_(workflow),
        fields_(decoder, node, "`compensate`", kCompensateKeys),
        index_(index),
        settings_(defaults),
        given_id_(std::move(id)) {}

  Task read() {
    Task& task = settings_.values;
    task.id = given_id_;
    if (given_id_.empty()) fields_.read_name("id", task.id);
    if (given_id_.empty() && !fields_.get("id"))
      decoder_.error(fields_.node(), "the task has no `id`", "Write `- id: build`.");
    task.name = task.id;
    fields_.read_text("name", task.name, 200);
    const bool has_item = fields_.get("for_each").has_value();
    if (const auto node = fields_.get("when"))
      task.when = decoder_.read_expression(*node, scope("`when`", false));
    fields_.read_script("run", task.run, scope("`run`", has_item));
    fields_.read_template("prompt", task.prompt, scope("`prompt`", has_item));
    fields_.read_bool("checkpoint", task.checkpoint);
    read_approval(has_item);
    if (fields_.get("wait")) {
      read_timer(has_item);
      return std::move(task);
    }
    if (fields_.get("workflow")) {
      read_child(has_item);
      return std::move(task);
    }
    if (is_waiting()) {
      read_waiting();
      return std::move(task);
    }
    const std::string default_type = task.agent.type;
    task.agent.type.clear();
    read_settings(decoder_, fields_, settings_);
    if (task.agent.type.empty()) task.agent.type = fields_.get("run") ? "exec" : default_type;
    check_kind();
    read_for_each();
    read_environment(has_item);
    read_workspace(has_item);
    task.concurrency = read_concurrency(decoder_, fields_, scope("`concurrency.key`", has_item));
    task.rate = read_rate(decoder_, fields_, scope("`rate.key`", has_item));
    read_budget();
    read_output_schema(decoder_, fields_, task);
    read_mcp(decoder_, fields_, task);
    if (const auto word = fields_.read_word("priority", kPriorities))
      task.priority = static_cast<Priority>(*word);
    return std::move(task);
  }

 private:
  [[nodiscard]] Scope scope(std::string_view place, bool has_item) const { return {index_, has_item, place}; }
  [[nodiscard]] bool is_waiting() const {
    return fields_.get("approval") && !fields_.get("run") && !fields_.get("prompt");
  }

  void read_approval(bool has_item) {
    const auto approval =
        submap(decoder_, fields_, "approval", kApprovalKeys, "approval: {role: maintainer}");
    if (!approval) return;
    Approval out;
    approval->read_name("role", out.role);
    approval->read_template("message", out.message, scope("`approval.message`", has_item));
    settings_.values.approval = std::move(out);
  }

  // A task that only waits for a person: nothing of a run applies, neither from the task nor from the
  // defaults.
  void read_waiting() {
    Task& task = settings_.values;
    for (const std::string_view key : kRunOnlyKeys) {
      if (const auto node = fields_.key(key)) {
        decoder_.error(*node, quoted(key) + " has no meaning for a task that only waits for an approval",
                       "Remove it, or give the task a `run`.");
      }
    }
    const Task plain;
    task.retry = plain.retry;
    task.sandbox = plain.sandbox;
    task.agent = plain.agent;
    task.timeout = plain.timeout;
    read_policy(fields_, task.on_failure);
    read_timeout(decoder_, fields_, task.timeout);
    const auto timeout = fields_.get("timeout");
    if (!timeout) return;
    for (const std::string_view key : {"schedule_to_start", "start_to_close", "heartbeat"}) {
      if (const auto node = decoder_.tree.find(*timeout, key)) {
        decoder_.error(*node, quoted(key) + " has no meaning for a task that only waits for an approval",
                       "Limit the wait with `schedule_to_close`.");
      }
    }
  }

  // A task that waits for time or a signal. What `defaults` says about work does not concern it.
  void read_timer(bool has_item) {
    Task& task = settings_.values;
    task.wait = read_wait(decoder_, fields_, scope("`wait.until`", has_item));
    refuse_keys(decoder_, fields_, kNoWaitKeys, "only waits");
    const Task plain;
    task.retry = plain.retry;
    task.sandbox = plain.sandbox;
    task.agent = plain.agent;
    task.timeout = plain.timeout;
    task.run.reset();
    task.prompt.reset();
    task.approval.reset();
    read_policy(fields_, task.on_failure);
    read_for_each();
  }

  // A task that starts a run of another workflow. What `defaults` says about agents does not concern it.
  void read_child(bool has_item) {
    Task& task = settings_.values;
    task.workflow =
        read_sub_workflow(decoder_, fields_, workflow_.name, scope("`workflow.inputs`", has_item));
    refuse_keys(decoder_, fields_, kNoChildKeys, "starts another workflow");
    const Task plain;
    task.sandbox = plain.sandbox;
    task.agent = plain.agent;
    task.run.reset();
    task.prompt.reset();
    task.timeout = plain.timeout;
    task.timeout.start_to_close_ms = 0;
    read_retry(decoder_, fields_, settings_);
    read_timeout(decoder_, fields_, task.timeout);
    read_policy(fields_, task.on_failure);
    if (const auto timeout = fields_.get("timeout")) {
      for (const std::string_view key : {"schedule_to_start", "heartbeat"}) {
        if (const auto node = decoder_.tree.find(*timeout, key)) {
          decoder_.error(*node, quoted(key) + " has no meaning for a task that starts another workflow",
                         "Limit it with `start_to_close` or `schedule_to_close`.");
        }
      }
    }
    read_for_each();
    if (task.for_each && !fields_.get("max_parallel")) task.max_parallel = kDefaultChildren;
    if (task.max_parallel > kMaxChildren) {
      decoder_.error(*fields_.get("max_parallel"),
                     "at most " + std::to_string(kMaxChildren) + " runs are started side by side",
                     "Write `max_parallel: " + std::to_string(kMaxChildren) + "` or less.");
    }
    task.rate = read_rate(decoder_, fields_, scope("`rate.key`", has_item));
    read_budget();
    if (task.budget_microusd == 0) {
      decoder_.error(*fields_.key("budget"), "the other workflow may cost something",
                     "Write more than 0, or remove `budget`.");
    }
    if (const auto word = fields_.read_word("priority", kPriorities))
      task.priority = static_cast<Priority>(*word);
  }

  void check_kind() {
    const Task& task = settings_.values;
    const auto run = fields_.key("run");
    const auto prompt = fields_.key("prompt");
    const bool has_run = fields_.get("run").has_value();
    const bool has_prompt = fields_.get("prompt").has_value();
    if (has_run && has_prompt) {
      decoder_.error(*prompt, "a task has either `run` or `prompt`, not both", "Make two tasks of it.");
    } else if (!has_run && !has_prompt) {
      decoder_.error(
          fields_.node(), "the task has nothing to do",
          "Give it `run` (a shell script), `prompt` (for an agent), `approval` (wait for a person), "
          "`wait` (for time or a signal) or `workflow` (start another one).");
    } else if (has_run && task.agent.type != "exec") {
      decoder_.error(*run, "`run` is for agents of the type exec, not " + quoted(task.agent.type),
                     "Write `prompt` for this agent, or remove `agent.type`.");
    } else if (has_prompt && task.agent.type == "exec") {
      decoder_.error(*prompt, "`prompt` needs an agent that is not exec",
                     "Write for example `agent: {type: claude}`.");
    }
    const auto empty = [&](std::string_view key) {
      const auto node = fields_.get(key);
      if (!node || !decoder_.tree.is_scalar(*node)) return;
      if (decoder_.tree.text(*node).find_first_not_of(" \t\r\n") != std::string_view::npos) return;
      decoder_.error(*node, quoted(key) + " is empty", "Write what is to be done.");
    };
    empty("run");
    empty("prompt");
    empty("verify");
  }

  void read_for_each() {
    Task& task = settings_.values;
    const auto node = fields_.get("for_each");
    if (!node) {
      if (const auto key = fields_.key("max_parallel")) {
        decoder_.error(*key, "`max_parallel` has a meaning only together with `for_each`",
                       "Use `concurrency` to limit tasks of several runs.");
      }
      return;
    }
    static constexpr std::string_view kHint =
        "Write an expression that gives a list: `${{ inputs.languages }}` or "
        "`${{ ['a', 'b'] }}`.";
    if (!decoder_.tree.is_scalar(*node)) {
      decoder_.error(*node, "`for_each` is a constant", std::string(kHint));
      return;
    }
    task.for_each = decoder_.read_template(*node, scope("`for_each`", false));
    if (!task.for_each) return;
    const std::string_view text = decoder_.tree.text(*node);
    if (task.for_each->is_constant()) {
      decoder_.error(*node, "`for_each` is a constant", std::string(kHint));
    } else if (task.for_each->expressions().size() != 1 || !text.starts_with("${{") ||
               !text.ends_with("}}")) {
      decoder_.error(*node, "`for_each` must be a single `${{ }}`, without a text around it",
                     std::string(kHint));
    }
    fields_.read_uint("max_parallel", task.max_parallel, 1, static_cast<std::uint32_t>(kMaxForEach));
  }

  void read_environment(bool has_item) {
    const auto node = fields_.get("env");
    if (!node) return;
    const SourceTree& tree = decoder_.tree;
    if (tree.kind(*node) != SourceTree::Kind::kMap) {
      decoder_.error(*node, "`env` must be a map", "Write `env: {NAME: value}`.");
      return;
    }
    if (tree.size(*node) / 2 > kMaxEnvironment) {
      decoder_.error(*node, "`env` has more than " + std::to_string(kMaxEnvironment) + " variables");
      return;
    }
    auto& env = settings_.values.env;
    for (std::size_t i = 0; i < tree.size(*node); i += 2) {
      const NodeId key = tree.child(*node, i);
      const NodeId value = tree.child(*node, i + 1);
      const std::string_view name = tree.text(key);
      if (!is_identifier(name)) {
        decoder_.error(key, "the name of an environment variable cannot be " + quoted(name),
                       "Letters, digits and `_`, for example `BUILD_TYPE`.");
        continue;
      }
      if (name.starts_with("EZ_") || name == "HOME") {
        decoder_.error(key, quoted(name) + " is set by ez itself", "Use another name.");
        continue;
      }
      if (tree.kind(value) == SourceTree::Kind::kList || tree.kind(value) == SourceTree::Kind::kMap) {
        decoder_.error(value, "the value of " + quoted(name) + " must be a text",
                       "Write `" + std::string(name) + ": value`.");
        continue;
      }
      auto read = decoder_.read_template(value, scope("`env`", has_item));
      if (read) env.emplace_back(std::string(name), std::move(*read));
    }
    std::sort(env.begin(), env.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  }

  void read_workspace(bool has_item) {
    Task& task = settings_.values;
    task.workspace = workflow_.repository ? WorkspaceMode::kWrite : WorkspaceMode::kNone;
    if (const auto word = fields_.read_word("workspace", kModes)) {
      task.workspace = static_cast<WorkspaceMode>(*word);
      if (task.workspace != WorkspaceMode::kNone && !workflow_.repository) {
        decoder_.error(*fields_.get("workspace"), "a workspace needs a repository",
                       "Set the top-level key `repository`, for example `${{ inputs.repo }}`.");
      }
    }
    fields_.read_script("verify", task.verify, scope("`verify`", has_item));
    if (fields_.get("verify") && task.workspace != WorkspaceMode::kWrite) {
      decoder_.error(*fields_.key("verify"),
                     "`verify` checks what a task changed, but this task has no workspace to write",
                     "Set `workspace: write` (with a top-level `repository`), or put the check into `run`.");
    }
    if (task.workspace == WorkspaceMode::kWrite)
      task.resolver =
          read_resolver(decoder_, fields_, scope("`resolver`", has_item)).value_or(workflow_.resolver);
    if (fields_.key("resolver") && task.workspace != WorkspaceMode::kWrite) {
      decoder_.error(*fields_.key("resolver"),
                     "`resolver` settles what a task changed, but this task has no workspace to write",
                     "Remove it, or set `workspace: write` (with a top-level `repository`).");
    }
    for (const NodeId node : fields_.read_list("artifacts", kMaxArtifacts, "artifacts: [report/*.md]")) {
      const std::string_view glob = decoder_.tree.text(node);
      if (!decoder_.tree.is_scalar(node) || !is_relative(glob)) {
        decoder_.error(node, "an artifact cannot be " + quoted(glob),
                       "Write a pattern of paths below the workspace, for example `report/*.md`.");
      } else {
        task.artifacts.emplace_back(glob);
      }
    }
    if (!task.artifacts.empty() && task.workspace == WorkspaceMode::kNone) {
      decoder_.error(*fields_.key("artifacts"),
                     "`artifacts` names files of the workspace, but this task has none",
                     "Copy the files into the folder $EZ_ARTIFACTS instead.");
    }
  }

  static bool is_relative(std::string_view path) {
    if (path.empty() || path.size() > 255 || path[0] == '/') return false;
    if (path.find('\0') != std::string_view::npos || path.find('\\') != std::string_view::npos) return false;
    const std::string framed = "/" + std::string(path) + "/";
    return framed.find("/../") == std::string::npos;
  }

  void read_budget() {
    const auto map = submap(decoder_, fields_, "budget", kTaskBudgetKeys, "budget: {cost_usd: 2.50}");
    if (!map) return;
    std::string cost;
    map->read_text("cost_usd", cost, 64);
    const auto at = map->get("cost_usd");
    if (!at) {
      decoder_.error(map->node(), "`budget` of a task needs `cost_usd`", "Write `budget: {cost_usd: 2.50}`.");
    } else if (decoder_.tree.is_scalar(*at)) {
      settings_.values.budget_microusd = parse_microusd(cost);
      if (!settings_.values.budget_microusd) {
        decoder_.error(*at, "`cost_usd` cannot be " + quoted(cost),
                       "Write dollars with at most 6 decimals, for example `cost_usd: 2.50`.");
      }
    }
  }

  Decoder& decoder_;
  const Workflow& workflow_;
  Fields fields_;
  std::uint32_t index_;
  Settings settings_;
  std::string given_id_;
};

// Resolves ids to indexes; reports repeated and unknown ones. False when something was wrong.
bool read_dependencies(Decoder& decoder, const std::vector<NodeId>& nodes, Workflow& workflow) {
  std::vector<std::string_view> ids;  // for suggestions
  std::vector<std::uint32_t> seen(workflow.tasks.size(), UINT32_MAX);
  const std::size_t before = decoder.diagnostics.size();
  for (std::uint32_t i = 0; i < nodes.size(); ++i) {
    if (decoder.tree.kind(nodes[i]) != SourceTree::Kind::kMap) continue;
    const Fields fields(decoder, nodes[i]);
    for (const NodeId node : fields.read_list("dependencies", kMaxTasks, "dependencies: [build, test]")) {
      const std::string_view id = decoder.tree.text(node);
      if (!decoder.tree.is_scalar(node)) {
        decoder.error(node, "a dependency must be the id of a task", "Write `dependencies: [build, test]`.");
        continue;
      }
      const auto index = workflow.find_task(id);
      if (!index) {
        if (decoder.diagnostics.size() >= kMaxDiagnostics) continue;
        if (ids.empty()) {
          for (const Task& task : workflow.tasks) ids.push_back(task.id);
        }
        decoder.error(node, "the dependency " + quoted(id) + " is not a task" + did_you_mean(id, ids),
                      "List ids of tasks of this file.");
      } else if (*index == i) {
        decoder.error(node, "the task " + quoted(id) + " depends on itself",
                      "Remove it from `dependencies`.");
      } else if (seen[*index] == i) {
        decoder.error(node, "the dependency " + quoted(id) + " is listed twice", "Remove one of the two.");
      } else {
        seen[*index] = i;
        workflow.tasks[i].dependencies.push_back(*index);
      }
    }
  }
  return decoder.diagnostics.size() == before;
}

}  // namespace

bool decode_tasks(Decoder& decoder, NodeId list, std::optional<NodeId> defaults, Workflow& workflow) {
  const SourceTree& tree = decoder.tree;
  Settings settings;
  if (defaults) {
    if (tree.kind(*defaults) == SourceTree::Kind::kMap) {
      read_settings(decoder, Fields(decoder, *defaults, "`defaults`", kDefaultsKeys), settings);
    } else {
      decoder.error(*defaults, "`defaults` must be a map", "Write `defaults: {retry: {max_attempts: 3}}`.");
    }
  }
  std::vector<NodeId> nodes;
  for (std::size_t i = 0; i < tree.size(list); ++i) nodes.push_back(tree.child(list, i));
  workflow.tasks.reserve(nodes.size());
  for (std::uint32_t i = 0; i < nodes.size(); ++i) {
    if (tree.kind(nodes[i]) != SourceTree::Kind::kMap) {
      decoder.error(nodes[i], "a task must be a map", "Write `- id: build` and its other keys below it.");
      workflow.tasks.emplace_back();
      continue;
    }
    workflow.tasks.push_back(TaskReader(decoder, workflow, nodes[i], i, settings).read());
    workflow.by_id.push_back(i);
  }
  const auto by_id = [&](std::uint32_t a, std::uint32_t b) {
    const int order = workflow.tasks[a].id.compare(workflow.tasks[b].id);
    return order != 0 ? order < 0 : a < b;
  };
  std::sort(workflow.by_id.begin(), workflow.by_id.end(), by_id);
  for (std::size_t i = 1; i < workflow.by_id.size(); ++i) {
    const std::string& id = workflow.tasks[workflow.by_id[i]].id;
    if (id.empty() || workflow.tasks[workflow.by_id[i - 1]].id != id) continue;
    const auto first = tree.find(nodes[workflow.by_id[i - 1]], "id");
    const auto second = tree.find(nodes[workflow.by_id[i]], "id");
    decoder.error(*second,
                  "the id " + quoted(id) + " is taken by the task in line " +
                      std::to_string(tree.position(*first).line),
                  "Give each task an id of its own.");
  }
  bool complete = read_dependencies(decoder, nodes, workflow);
  const std::size_t before = decoder.diagnostics.size();
  decode_compensations(decoder, nodes, workflow,
                       [&](NodeId node, std::uint32_t index, const std::string& id) {
                         return TaskReader(decoder, workflow, node, index, settings, id).read();
                       });
  complete = complete && decoder.diagnostics.size() == before && link_compensations(workflow).empty();
  for (auto i = static_cast<std::uint32_t>(workflow.by_id.size()); i < workflow.tasks.size(); ++i)
    workflow.by_id.push_back(i);
  std::sort(workflow.by_id.begin(), workflow.by_id.end(), by_id);
  return complete;
}

}  // namespace ez::orchestration
