// The canonical form: format 1, compact JSON. Settings that many tasks share (agents, retries, timeouts,
// sandboxes) stand once in a table and tasks name them by index; dependencies are indexes of tasks.
// docs/formats/workflow.md lists the members.
#include <algorithm>
#include <map>
#include <span>
#include <tuple>

#include "base/json.h"
#include "orchestration/compensation.h"
#include "orchestration/dag.h"
#include "orchestration/parse.h"
#include "orchestration/resolver.h"
#include "orchestration/text.h"

namespace ez::orchestration {
namespace {

constexpr std::int64_t kFormat = 1;

// Appends members of one JSON object; the caller chooses a fixed order.
class ObjectWriter {
 public:
  explicit ObjectWriter(std::string& out) : out_(out) { out_ += '{'; }
  ObjectWriter(const ObjectWriter&) = delete;
  ObjectWriter& operator=(const ObjectWriter&) = delete;
  ~ObjectWriter() { out_ += '}'; }

  std::string& key(std::string_view name) {
    if (!is_first_) out_ += ',';
    is_first_ = false;
    append_json_string(out_, name);
    out_ += ':';
    return out_;
  }
  void text(std::string_view name, std::string_view value) { append_json_string(key(name), value); }
  void number(std::string_view name, std::int64_t value) { key(name) += std::to_string(value); }
  void boolean(std::string_view name, bool value) { key(name) += value ? "true" : "false"; }
  void source(std::string_view name, const std::optional<Template>& value) {
    if (value) text(name, value->source());
  }

 private:
  std::string& out_;
  bool is_first_ = true;
};

template <typename T, typename Write>
void write_list(std::string& out, const T& items, Write&& write) {
  out += '[';
  bool is_first = true;
  for (const auto& item : items) {
    if (!is_first) out += ',';
    is_first = false;
    write(item);
  }
  out += ']';
}

// Distinct settings in order of their first use.
template <typename T, typename Key>
class Table {
 public:
  std::size_t index_of(const T& item, Key key) {
    const auto [it, is_new] = indexes_.emplace(std::move(key), items_.size());
    if (is_new) items_.push_back(&item);
    return it->second;
  }
  [[nodiscard]] const std::vector<const T*>& items() const { return items_; }

 private:
  std::map<Key, std::size_t> indexes_;
  std::vector<const T*> items_;
};

auto key_of(const Retry& r) {
  return std::tuple(r.max_attempts, r.backoff_ms, r.max_backoff_ms, r.multiplier_permille, r.jitter_permille);
}
auto key_of(const Timeouts& t) {
  return std::tuple(t.schedule_to_start_ms, t.start_to_close_ms, t.schedule_to_close_ms, t.heartbeat_ms);
}
auto key_of(const Sandbox& s) {
  return std::tuple(s.network, s.memory_mb, s.processes, s.output_mb, s.disk_mb, s.cpu_s);
}
auto key_of(const Resolver& r) { return resolver_text(r); }
auto key_of(const AgentNeed& a) {
  return std::tuple(a.type, a.capabilities, a.models, a.model, a.max_turns, a.max_tokens);
}

template <typename T>
using TableOf = Table<T, decltype(key_of(std::declval<T>()))>;

struct Tables {
  TableOf<AgentNeed> agents;
  TableOf<Retry> retries;
  TableOf<Timeouts> timeouts;
  TableOf<Sandbox> sandboxes;
  TableOf<Resolver> resolvers;
};

// Written only when it says something: what older versions of ez wrote stays the same bytes.
void write_when_full(ObjectWriter& o, const Concurrency& concurrency) {
  if (concurrency.when_full != WhenFull::kWait) o.text("when_full", to_text(concurrency.when_full));
}

// [[name, source], …] of expressions or templates.
template <typename T>
void write_named(std::string& out, const std::vector<std::pair<std::string, T>>& items) {
  write_list(out, items, [&](const auto& item) {
    out += '[';
    append_json_string(out, item.first);
    out += ',';
    append_json_string(out, item.second.source());
    out += ']';
  });
}

void write_task(std::string& out, const Task& task, Tables& tables) {
  ObjectWriter o(out);
  o.text("id", task.id);
  o.text("name", task.name);
  write_list(o.key("dependencies"), task.dependencies, [&](std::uint32_t d) { out += std::to_string(d); });
  if (task.when) o.text("when", task.when->source());
  o.source("for_each", task.for_each);
  o.number("max_parallel", task.max_parallel);
  o.number("agent", static_cast<std::int64_t>(tables.agents.index_of(task.agent, key_of(task.agent))));
  o.source("run", task.run);
  o.source("prompt", task.prompt);
  write_list(o.key("env"), task.env, [&](const auto& variable) {
    out += '[';
    append_json_string(out, variable.first);
    out += ',';
    append_json_string(out, variable.second.source());
    out += ']';
  });
  o.source("verify", task.verify);
  o.text("workspace", to_text(task.workspace));
  write_list(o.key("artifacts"), task.artifacts,
             [&](const std::string& glob) { append_json_string(out, glob); });
  if (task.concurrency) {
    ObjectWriter c(o.key("concurrency"));
    c.text("key", task.concurrency->key.source());
    c.number("limit", task.concurrency->limit);
    write_when_full(c, *task.concurrency);
  }
  if (task.rate) {
    ObjectWriter r(o.key("rate"));
    r.text("key", task.rate->key.source());
    r.number("limit", task.rate->limit);
    r.number("per_ms", task.rate->per_ms);
  }
  o.number("retry", static_cast<std::int64_t>(tables.retries.index_of(task.retry, key_of(task.retry))));
  o.number("timeout",
           static_cast<std::int64_t>(tables.timeouts.index_of(task.timeout, key_of(task.timeout))));
  o.text("on_failure", to_text(task.on_failure));
  o.boolean("checkpoint", task.checkpoint);
  if (task.priority) o.text("priority", to_text(*task.priority));
  o.number("sandbox",
           static_cast<std::int64_t>(tables.sandboxes.index_of(task.sandbox, key_of(task.sandbox))));
  if (task.approval) {
    ObjectWriter a(o.key("approval"));
    a.text("role", task.approval->role);
    a.source("message", task.approval->message);
  }
  if (task.budget_microusd) o.number("budget_microusd", *task.budget_microusd);
  if (task.workflow) {
    ObjectWriter w(o.key("workflow"));
    w.text("name", task.workflow->name);
    w.number("version", task.workflow->version);
    write_named(w.key("inputs"), task.workflow->inputs);
  }
  if (task.wait) {
    ObjectWriter w(o.key("wait"));
    if (task.wait->for_ms != 0) w.number("for_ms", task.wait->for_ms);
    w.source("until", task.wait->until);
    if (!task.wait->signal.empty()) w.text("signal", task.wait->signal);
    if (task.wait->timeout_ms != 0) w.number("timeout_ms", task.wait->timeout_ms);
  }
  if (!task.output_schema.is_null()) append_json(o.key("output_schema"), task.output_schema);
  if (!task.mcp.is_null()) append_json(o.key("mcp"), task.mcp);
  if (task.compensate) o.number("compensate", *task.compensate);
  if (task.resolver) {
    o.number("resolver",
             static_cast<std::int64_t>(tables.resolvers.index_of(*task.resolver, key_of(*task.resolver))));
  }
}

void write_tables(ObjectWriter& o, std::string& out, const Tables& tables) {
  write_list(o.key("agents"), tables.agents.items(), [&](const AgentNeed* agent) {
    ObjectWriter a(out);
    a.text("type", agent->type);
    write_list(a.key("capabilities"), agent->capabilities,
               [&](const std::string& c) { append_json_string(out, c); });
    // Written only when it says something, so that older workflows keep their bytes.
    if (!agent->models.empty()) {
      write_list(a.key("models"), agent->models, [&](const std::string& m) { append_json_string(out, m); });
    }
    if (!agent->model.empty()) a.text("model", agent->model);
    if (agent->max_turns > 0) a.number("max_turns", agent->max_turns);
    if (agent->max_tokens > 0) a.number("max_tokens", agent->max_tokens);
  });
  write_list(o.key("retries"), tables.retries.items(), [&](const Retry* retry) {
    ObjectWriter r(out);
    r.number("max_attempts", retry->max_attempts);
    r.number("backoff_ms", retry->backoff_ms);
    r.number("max_backoff_ms", retry->max_backoff_ms);
    r.number("multiplier_permille", retry->multiplier_permille);
    r.number("jitter_permille", retry->jitter_permille);
  });
  write_list(o.key("timeouts"), tables.timeouts.items(), [&](const Timeouts* timeout) {
    ObjectWriter t(out);
    t.number("schedule_to_start_ms", timeout->schedule_to_start_ms);
    t.number("start_to_close_ms", timeout->start_to_close_ms);
    t.number("schedule_to_close_ms", timeout->schedule_to_close_ms);
    t.number("heartbeat_ms", timeout->heartbeat_ms);
  });
  write_list(o.key("sandboxes"), tables.sandboxes.items(), [&](const Sandbox* sandbox) {
    ObjectWriter s(out);
    s.boolean("network", sandbox->network);
    s.number("memory_mb", sandbox->memory_mb);
    s.number("processes", sandbox->processes);
    s.number("output_mb", sandbox->output_mb);
    s.number("disk_mb", sandbox->disk_mb);
    s.number("cpu_s", sandbox->cpu_s);
  });
  if (tables.resolvers.items().empty()) return;
  write_list(o.key("resolvers"), tables.resolvers.items(),
             [&](const Resolver* resolver) { out += resolver_text(*resolver); });
}

}  // namespace

std::string to_canonical(const Workflow& workflow) {
  std::string out;
  {
    ObjectWriter o(out);
    o.number("format", kFormat);
    o.text("name", workflow.name);
    o.text("description", workflow.description);
    o.text("namespace", workflow.namespace_name);
    write_list(o.key("inputs"), workflow.inputs, [&](const Input& input) {
      ObjectWriter i(out);
      i.text("name", input.name);
      i.text("type", to_text(input.type));
      i.text("description", input.description);
      if (input.fallback) append_json(i.key("default"), *input.fallback);
    });
    o.source("repository", workflow.repository);
    o.source("branch", workflow.branch);
    o.source("base", workflow.base);
    o.text("files", workflow.files);
    o.text("priority", to_text(workflow.priority));
    o.number("budget_microusd", workflow.budget_microusd);
    o.number("deadline_ms", workflow.deadline_ms);
    // Written only when they say something: older forms of the same workflow stay the same bytes.
    if (workflow.warn_permille != Workflow().warn_permille) o.number("warn_permille", workflow.warn_permille);
    if (workflow.when_exceeded != WhenExceeded::kPause)
      o.text("when_exceeded", to_text(workflow.when_exceeded));
    if (workflow.retention) {
      ObjectWriter r(o.key("retention"));
      r.number("days", workflow.retention->days);
      r.number("runs", workflow.retention->runs);
    }
    if (workflow.concurrency) {
      ObjectWriter c(o.key("concurrency"));
      c.text("key", workflow.concurrency->key.source());
      c.number("limit", workflow.concurrency->limit);
      write_when_full(c, *workflow.concurrency);
    }
    if (!workflow.outputs.empty()) write_named(o.key("outputs"), workflow.outputs);
    if (!workflow.queries.empty()) write_named(o.key("queries"), workflow.queries);
    if (!workflow.labels.empty()) {
      ObjectWriter l(o.key("labels"));
      for (const auto& [name, value] : workflow.labels) l.text(name, value.source());
    }
    Tables tables;
    write_list(o.key("tasks"), workflow.tasks, [&](const Task& task) { write_task(out, task, tables); });
    write_tables(o, out, tables);
  }
  return out;
}

namespace {

// Reads a canonical form that this or another version of ez wrote. The first thing that is wrong stops it.
class CanonicalReader {
 public:
  Result<std::shared_ptr<const Workflow>> read(const Value& root) {
    auto workflow = std::make_shared<Workflow>();
    if (!root.is_map()) return wrong("the document");
    if (root.int_or("format", 0) != kFormat) return wrong("format");
    workflow->name = text(root, "name");
    workflow->description = text(root, "description");
    workflow->namespace_name = text(root, "namespace");
    for (const Value& item : list(root, "inputs")) workflow->inputs.push_back(input(item));
    workflow->repository = optional_template(root, "repository");
    workflow->branch = optional_template(root, "branch");
    workflow->base = optional_template(root, "base");
    workflow->files = text(root, "files");
    workflow->priority = priority(text(root, "priority"));
    workflow->budget_microusd = number<std::int64_t>(root, "budget_microusd", kMaxMoneyMicrousd);
    workflow->deadline_ms = number<std::int64_t>(root, "deadline_ms", kMaxDurationMs);
    if (root.find("warn_permille") != nullptr)
      workflow->warn_permille = number<std::uint32_t>(root, "warn_permille", 1'000);
    if (root.find("when_exceeded") != nullptr)
      workflow->when_exceeded = word(text(root, "when_exceeded"), "when_exceeded", WhenExceeded::kFail);
    if (const Value* retention = root.find("retention")) {
      workflow->retention = Retain{number<std::int64_t>(*retention, "days", kMaxRetainDays),
                                   number<std::int64_t>(*retention, "runs", kMaxRetainRuns)};
    }
    workflow->concurrency = concurrency(root);
    workflow->outputs = named<Expression>(root, "outputs");
    workflow->queries = named<Expression>(root, "queries");
    if (const Value* labels = root.find("labels"); labels != nullptr && labels->is_map()) {
      for (const auto& [name, value] : labels->as_map())
        workflow->labels.emplace_back(name, a_template(text(*labels, name), "labels"));
    }
    read_tables(root);
    const Value::List& items = list(root, "tasks");
    if (items.empty() || items.size() > kMaxTasks) fail("tasks");
    for (const Value& item : items) {
      if (!problem_.empty()) break;
      workflow->tasks.push_back(task(item, items.size()));
    }
    if (!is_name(workflow->name) || !is_name(workflow->namespace_name)) fail("name");
    if (!problem_.empty()) return wrong(problem_);
    for (std::uint32_t i = 0; i < workflow->tasks.size(); ++i) workflow->by_id.push_back(i);
    const auto id_of = [&](std::uint32_t i) -> const std::string& { return workflow->tasks[i].id; };
    std::sort(workflow->by_id.begin(), workflow->by_id.end(),
              [&](std::uint32_t a, std::uint32_t b) { return id_of(a) < id_of(b); });
    for (std::size_t i = 1; i < workflow->by_id.size(); ++i) {
      if (id_of(workflow->by_id[i - 1]) == id_of(workflow->by_id[i])) return wrong("id");
    }
    if (topological_order(workflow->tasks).size() != workflow->tasks.size()) return wrong("dependencies");
    if (!link_compensations(*workflow).empty()) return wrong("compensate");
    link_tasks(workflow->tasks);
    return std::shared_ptr<const Workflow>(std::move(workflow));
  }

 private:
  static Error wrong(std::string_view member) {
    return Error(Code::WorkflowInvalid,
                 "the canonical form of a workflow is damaged or newer: " + std::string(member));
  }
  void fail(std::string_view member) {
    if (problem_.empty()) problem_ = member;
  }

  std::string text(const Value& map, std::string_view key) {
    const Value* value = map.find(key);
    if (value != nullptr && value->is_string()) return value->as_string();
    fail(key);
    return {};
  }
  bool boolean(const Value& map, std::string_view key) {
    const Value* value = map.find(key);
    if (value != nullptr && value->is_bool()) return value->as_bool();
    fail(key);
    return false;
  }
  template <typename T>
  T number(const Value& map, std::string_view key, std::int64_t max) {
    const Value* value = map.find(key);
    if (value != nullptr && value->is_int() && value->as_int() >= 0 && value->as_int() <= max) {
      return static_cast<T>(value->as_int());
    }
    fail(key);
    return 0;
  }
  const Value::List& list(const Value& map, std::string_view key) {
    static const Value::List kEmpty;
    const Value* value = map.find(key);
    if (value != nullptr && value->is_list()) return value->as_list();
    fail(key);
    return kEmpty;
  }
  Template a_template(const std::string& source, std::string_view key) {
    Result<Template> parsed = Template::parse(source);
    if (parsed.ok()) return std::move(parsed).value();
    fail(key);
    return {};
  }
  std::optional<Template> optional_template(const Value& map, std::string_view key) {
    if (map.find(key) == nullptr) return std::nullopt;
    return a_template(text(map, key), key);
  }
  template <typename T>
  T word(const std::string& value, std::string_view key, T last) {
    for (int i = 0; i <= static_cast<int>(last); ++i) {
      if (to_text(static_cast<T>(i)) == value) return static_cast<T>(i);
    }
    fail(key);
    return T{};
  }
  Priority priority(const std::string& value) { return word(value, "priority", Priority::kDeferred); }

  std::optional<Concurrency> concurrency(const Value& of) {
    const Value* given = of.find("concurrency");
    if (given == nullptr) return std::nullopt;
    Concurrency out{a_template(text(*given, "key"), "key"),
                    number<std::uint32_t>(*given, "limit", UINT32_MAX), WhenFull::kWait};
    if (given->find("when_full") != nullptr)
      out.when_full = word(text(*given, "when_full"), "when_full", WhenFull::kReject);
    return out;
  }

  Input input(const Value& item) {
    Input out;
    out.name = text(item, "name");
    out.type = word(text(item, "type"), "type", InputType::kGit);
    out.description = text(item, "description");
    if (const Value* value = item.find("default")) out.fallback = *value;
    return out;
  }

  void read_tables(const Value& root) {
    static constexpr std::int64_t kMax32 = UINT32_MAX;
    for (const Value& item : list(root, "agents")) {
      AgentNeed agent;
      agent.type = text(item, "type");
      for (const Value& c : list(item, "capabilities")) {
        if (c.is_string()) agent.capabilities.push_back(c.as_string());
      }
      if (item.find("models") != nullptr) {
        for (const Value& m : list(item, "models")) {
          if (m.is_string()) agent.models.push_back(m.as_string());
        }
      }
      if (item.find("model") != nullptr) agent.model = text(item, "model");
      if (item.find("max_turns") != nullptr)
        agent.max_turns = number<std::uint32_t>(item, "max_turns", kMax32);
      if (item.find("max_tokens") != nullptr)
        agent.max_tokens = number<std::uint32_t>(item, "max_tokens", kMax32);
      agents_.push_back(std::move(agent));
    }
    for (const Value& item : list(root, "retries")) {
      Retry retry;
      retry.max_attempts = number<std::uint32_t>(item, "max_attempts", kMax32);
      retry.backoff_ms = number<std::int64_t>(item, "backoff_ms", kMaxDurationMs);
      retry.max_backoff_ms = number<std::int64_t>(item, "max_backoff_ms", kMaxDurationMs);
      retry.multiplier_permille = number<std::uint32_t>(item, "multiplier_permille", kMax32);
      retry.jitter_permille = number<std::uint32_t>(item, "jitter_permille", kMax32);
      retries_.push_back(retry);
    }
    for (const Value& item : list(root, "timeouts")) {
      Timeouts timeout;
      timeout.schedule_to_start_ms = number<std::int64_t>(item, "schedule_to_start_ms", kMaxDurationMs);
      timeout.start_to_close_ms = number<std::int64_t>(item, "start_to_close_ms", kMaxDurationMs);
      timeout.schedule_to_close_ms = number<std::int64_t>(item, "schedule_to_close_ms", kMaxDurationMs);
      timeout.heartbeat_ms = number<std::int64_t>(item, "heartbeat_ms", kMaxDurationMs);
      timeouts_.push_back(timeout);
    }
    for (const Value& item : list(root, "sandboxes")) {
      Sandbox sandbox;
      sandbox.network = boolean(item, "network");
      sandbox.memory_mb = number<std::uint32_t>(item, "memory_mb", kMax32);
      sandbox.processes = number<std::uint32_t>(item, "processes", kMax32);
      sandbox.output_mb = number<std::uint32_t>(item, "output_mb", kMax32);
      sandbox.disk_mb = number<std::uint32_t>(item, "disk_mb", kMax32);
      sandbox.cpu_s = number<std::uint32_t>(item, "cpu_s", kMax32);
      sandboxes_.push_back(sandbox);
    }
    if (root.find("resolvers") == nullptr) return;
    for (const Value& item : list(root, "resolvers")) {
      resolvers_.push_back(parse_resolver(item));
      if (resolvers_.back() == nullptr) fail("resolvers");
    }
  }

  template <typename T>
  T entry(const std::vector<T>& table, const Value& item, std::string_view key) {
    const auto index = number<std::size_t>(item, key, INT64_MAX);
    if (index < table.size()) return table[index];
    fail(key);
    return {};
  }

  Task task(const Value& item, std::size_t task_count) {
    Task out;
    out.id = text(item, "id");
    if (!is_name(out.id)) fail("id");
    out.name = text(item, "name");
    for (const Value& dependency : list(item, "dependencies")) {
      if (!dependency.is_int() || dependency.as_int() < 0 ||
          static_cast<std::uint64_t>(dependency.as_int()) >= task_count) {
        fail("dependencies");
        continue;
      }
      out.dependencies.push_back(static_cast<std::uint32_t>(dependency.as_int()));
    }
    if (item.find("when") != nullptr) {
      Result<Expression> parsed = Expression::parse(text(item, "when"));
      if (parsed.ok()) out.when = std::move(parsed).value();
      if (!parsed.ok()) fail("when");
    }
    out.for_each = optional_template(item, "for_each");
    out.max_parallel = number<std::uint32_t>(item, "max_parallel", static_cast<std::int64_t>(kMaxForEach));
    out.agent = entry(agents_, item, "agent");
    out.run = optional_template(item, "run");
    out.prompt = optional_template(item, "prompt");
    for (const Value& variable : list(item, "env")) {
      if (!variable.is_list() || variable.as_list().size() != 2 || !variable.as_list()[0].is_string() ||
          !variable.as_list()[1].is_string()) {
        fail("env");
        continue;
      }
      out.env.emplace_back(variable.as_list()[0].as_string(),
                           a_template(variable.as_list()[1].as_string(), "env"));
    }
    out.verify = optional_template(item, "verify");
    out.workspace = word(text(item, "workspace"), "workspace", WorkspaceMode::kWrite);
    for (const Value& glob : list(item, "artifacts")) {
      if (glob.is_string()) out.artifacts.push_back(glob.as_string());
    }
    out.concurrency = concurrency(item);
    if (const Value* rate = item.find("rate")) {
      out.rate = Rate{a_template(text(*rate, "key"), "key"), number<std::uint32_t>(*rate, "limit", 1'000'000),
                      number<std::int64_t>(*rate, "per_ms", kMaxDurationMs)};
      if (out.rate->limit == 0) fail("limit");
    }
    out.retry = entry(retries_, item, "retry");
    out.timeout = entry(timeouts_, item, "timeout");
    out.on_failure = word(text(item, "on_failure"), "on_failure", OnFailure::kRollback);
    out.checkpoint = boolean(item, "checkpoint");
    if (item.find("priority") != nullptr) out.priority = priority(text(item, "priority"));
    out.sandbox = entry(sandboxes_, item, "sandbox");
    if (const Value* approval = item.find("approval")) {
      out.approval = Approval{text(*approval, "role"), optional_template(*approval, "message")};
    }
    if (item.find("budget_microusd") != nullptr)
      out.budget_microusd = number<std::int64_t>(item, "budget_microusd", kMaxMoneyMicrousd);
    if (item.find("compensate") != nullptr)
      out.compensate = number<std::uint32_t>(item, "compensate", static_cast<std::int64_t>(kMaxTasks));
    if (item.find("resolver") != nullptr) out.resolver = entry(resolvers_, item, "resolver");
    if (const Value* schema = item.find("output_schema")) out.output_schema = *schema;
    if (const Value* mcp = item.find("mcp")) out.mcp = *mcp;
    if (const Value* wait = item.find("wait")) out.wait = a_wait(*wait);
    if (const Value* child = item.find("workflow")) {
      out.workflow = SubWorkflow{text(*child, "name"), number<std::uint32_t>(*child, "version", UINT32_MAX),
                                 named<Template>(*child, "inputs")};
      if (!is_name(out.workflow->name)) fail("workflow");
    }
    return out;
  }

  // What write_named() wrote; nothing when the member is absent.
  template <typename T>
  std::vector<std::pair<std::string, T>> named(const Value& map, std::string_view key) {
    std::vector<std::pair<std::string, T>> out;
    if (map.find(key) == nullptr) return out;
    for (const Value& item : list(map, key)) {
      const bool whole = item.is_list() && item.as_list().size() == 2 && item.as_list()[0].is_string() &&
                         item.as_list()[1].is_string();
      auto parsed = T::parse(whole ? item.as_list()[1].as_string() : std::string());
      if (!whole || !parsed.ok()) {
        fail(key);
      } else {
        out.emplace_back(item.as_list()[0].as_string(), std::move(parsed).value());
      }
    }
    return out;
  }

  Wait a_wait(const Value& given) {
    Wait out;
    if (given.find("for_ms") != nullptr) out.for_ms = number<std::int64_t>(given, "for_ms", kMaxDurationMs);
    out.until = optional_template(given, "until");
    if (given.find("signal") != nullptr) out.signal = text(given, "signal");
    if (given.find("timeout_ms") != nullptr)
      out.timeout_ms = number<std::int64_t>(given, "timeout_ms", kMaxDurationMs);
    if ((out.for_ms > 0) + out.until.has_value() + is_name(out.signal) != 1) fail("wait");
    return out;
  }

  std::string problem_;
  std::vector<std::shared_ptr<const Resolver>> resolvers_;
  std::vector<AgentNeed> agents_;
  std::vector<Retry> retries_;
  std::vector<Timeouts> timeouts_;
  std::vector<Sandbox> sandboxes_;
};

}  // namespace

Result<std::shared_ptr<const Workflow>> from_canonical(std::string_view canonical) {
  JsonLimits limits;
  limits.max_bytes = 2 * kMaxCanonicalBytes;
  limits.max_values = 4'000'000;
  const Result<Value> root = parse_json(canonical, limits);
  if (!root.ok()) return root.error().in("the canonical form of a workflow");
  return CanonicalReader().read(*root);
}

}  // namespace ez::orchestration
