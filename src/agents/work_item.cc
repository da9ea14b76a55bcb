#include "agents/work_item.h"

#include <algorithm>

#include "base/sha256.h"

namespace ez::agents {
namespace {

constexpr std::size_t kMaxListed = 10'000;
constexpr std::size_t kMaxNameBytes = 63 + 1 + 10;  // a task and an index

bool is_task_id(std::string_view text) {
  if (text.empty() || text.size() > kMaxNameBytes || text[0] == '-' || text[0] == '_' || text[0] == '.')
    return false;
  bool dot = false;
  for (const char c : text) {
    if (c == '.') {
      if (dot) return false;
      dot = true;
      continue;
    }
    if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_') return false;
  }
  return text.back() != '.';
}

// Reads members of one JSON object and remembers the first complaint.
class Reader {
 public:
  Reader(const Value* object, std::string path, std::optional<Error>& error)
      : object_(object), path_(std::move(path)), error_(error) {
    if (object_ != nullptr && object_->is_null()) object_ = nullptr;
    if (object_ != nullptr && !object_->is_map()) {
      complain("", "must be an object");
      object_ = nullptr;
    }
  }
  void read(std::string_view key, std::string& out) {
    if (const Value* value = of_kind(key, Value::Kind::kString)) out = value->as_string();
  }
  void read(std::string_view key, bool& out) {
    if (const Value* value = of_kind(key, Value::Kind::kBool)) out = value->as_bool();
  }
  void read(std::string_view key, std::int64_t& out, std::int64_t least = 0) {
    if (const Value* value = of_kind(key, Value::Kind::kInt)) {
      if (value->as_int() < least) return complain(key, "must be at least " + std::to_string(least));
      out = value->as_int();
    }
  }
  void read_unsigned(std::string_view key, std::uint64_t& out) {
    std::int64_t number = static_cast<std::int64_t>(out);
    read(key, number);
    out = static_cast<std::uint64_t>(number);
  }
  void read(std::string_view key, Value& out) {
    if (object_ == nullptr) return;
    if (const Value* value = object_->find(key)) out = *value;
  }
  void read_path(std::string_view key, std::string& out) {
    read(key, out);
    if (!is_safe_path(out)) complain(key, "must be a relative path without \"..\"");
  }
  void read_digest(std::string_view key, std::string& out, bool needed) {
    read(key, out);
    if ((needed || !out.empty()) && !is_sha256_hex(out))
      complain(key, "must be a SHA-256 digest in hexadecimal");
  }
  // Calls each(element, path) for the elements of a list.
  template <typename Each>
  void read_list(std::string_view key, const Each& each) {
    const Value* value = of_kind(key, Value::Kind::kList);
    if (value == nullptr) return;
    if (value->as_list().size() > kMaxListed) return complain(key, "has too many elements");
    std::size_t at = 0;
    for (const Value& element : value->as_list())
      each(element, member(key) + "[" + std::to_string(at++) + "]");
  }
  template <typename Each>
  void read_map(std::string_view key, const Each& each) {
    const Value* value = of_kind(key, Value::Kind::kMap);
    if (value == nullptr) return;
    if (value->as_map().size() > kMaxListed) return complain(key, "has too many members");
    for (const auto& [name, element] : value->as_map()) each(name, element, member(key) + "." + name);
  }
  [[nodiscard]] bool has(std::string_view key) const {
    const Value* value = object_ == nullptr ? nullptr : object_->find(key);
    return value != nullptr && !value->is_null();
  }
  [[nodiscard]] Reader inner(std::string_view key) {
    return Reader(object_ == nullptr ? nullptr : object_->find(key), member(key), error_);
  }
  void complain(std::string_view key, std::string_view what) {
    if (!error_)
      error_ = Error(Code::RequestInvalid, (key.empty() ? path_ : member(key)) + " " + std::string(what));
  }

 private:
  [[nodiscard]] std::string member(std::string_view key) const {
    return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
  }
  const Value* of_kind(std::string_view key, Value::Kind kind) {
    if (object_ == nullptr) return nullptr;
    const Value* value = object_->find(key);
    if (value == nullptr || value->is_null()) return nullptr;
    if (value->kind() != kind) {
      complain(key, "must be a " + std::string(kind_name(kind)));
      return nullptr;
    }
    return value;
  }
  const Value* object_;
  std::string path_;
  std::optional<Error>& error_;
};

ArtifactRef read_artifact(const Value& json, const std::string& path, std::optional<Error>& error) {
  ArtifactRef artifact;
  Reader reader(&json, path, error);
  reader.read_path("name", artifact.name);
  reader.read_digest("sha256", artifact.sha256, true);
  reader.read("size", artifact.size);
  return artifact;
}

template <typename Item>
void read_identity(Reader& reader, Item& item) {
  reader.read("run", item.run);
  if (!parse_run_id(item.run)) reader.complain("run", "must be the id of a run");
  reader.read("task", item.task);
  if (!is_task_id(item.task)) reader.complain("task", "must be the id of a task");
  reader.read_unsigned("attempt", item.attempt);
  reader.read_unsigned("fence", item.fence.value);
  if (item.attempt == 0) reader.complain("attempt", "must be positive");
  if (item.fence.value == 0) reader.complain("fence", "must be positive");
  std::string kind = "execute";
  reader.read("kind", kind);
  item.kind = kind == "merge" ? WorkKind::kMerge : WorkKind::kExecute;
  if (kind != "merge" && kind != "execute") reader.complain("kind", "must be execute or merge");
}

template <typename Item>
void write_identity(Value& out, const Item& item) {
  out.set("run", item.run);
  out.set("task", item.task);
  out.set("attempt", static_cast<std::int64_t>(item.attempt));
  out.set("fence", static_cast<std::int64_t>(item.fence.value));
  out.set("kind", to_text(item.kind));
}

void set_text(Value& out, std::string_view key, const std::string& text) {
  if (!text.empty()) out.set(key, text);
}

Value artifact_list(const std::vector<ArtifactRef>& artifacts) {
  Value::List list;
  for (const ArtifactRef& artifact : artifacts) {
    list.push_back(Value::Map{{"name", artifact.name}, {"sha256", artifact.sha256}, {"size", artifact.size}});
  }
  return list;
}

void read_agent_need(Reader agent, std::string& type, std::string& model, std::int64_t& max_turns,
                     std::int64_t& max_tokens) {
  agent.read("type", type);
  agent.read("model", model);
  agent.read("max_turns", max_turns);
  agent.read("max_tokens", max_tokens);
}

Value agent_need(const std::string& type, const std::string& model, std::int64_t max_turns,
                 std::int64_t max_tokens) {
  Value agent(Value::Map{{"type", type}});
  set_text(agent, "model", model);
  if (max_turns > 0) agent.set("max_turns", max_turns);
  if (max_tokens > 0) agent.set("max_tokens", max_tokens);
  return agent;
}

constexpr std::int64_t kMaxTries = 100;

ResolverNeed read_resolver_need(Reader reader) {
  ResolverNeed need;
  read_agent_need(reader.inner("agent"), need.agent_type, need.agent_model, need.max_turns, need.max_tokens);
  reader.read("run_command", need.run_command);
  reader.read("prompt", need.prompt);
  reader.read("tries", need.tries, 1);
  if (need.tries > kMaxTries) reader.complain("tries", "is too large");
  reader.read("timeout_ms", need.timeout_ms, 1);
  return need;
}

Value resolver_need(const ResolverNeed& need) {
  Value out(
      Value::Map{{"agent", agent_need(need.agent_type, need.agent_model, need.max_turns, need.max_tokens)}});
  set_text(out, "run_command", need.run_command);
  set_text(out, "prompt", need.prompt);
  out.set("tries", need.tries);
  out.set("timeout_ms", need.timeout_ms);
  return out;
}

Value resolution_of(const TaskResult& result) {
  Value::List tries;
  for (const ResolverTry& one : result.resolver_tries) {
    Value entry{Value::Map{}};
    if (!one.error_code.empty())
      entry.set("error", Value::Map{{"code", one.error_code}, {"message", one.error_message}});
    tries.push_back(std::move(entry));
  }
  return Value::Map{{"agent_type", result.resolver_type}, {"tries", std::move(tries)}};
}

}  // namespace

std::string_view to_text(WorkKind kind) { return kind == WorkKind::kMerge ? "merge" : "execute"; }

std::string_view to_text(Outcome outcome) {
  switch (outcome) {
    case Outcome::kSucceeded:
      return "succeeded";
    case Outcome::kFailed:
      return "failed";
    case Outcome::kCancelled:
      return "cancelled";
    case Outcome::kConflict:
      return "conflict";
  }
  return "failed";
}

bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > 1024 || path[0] == '/' || path.find('\0') != std::string_view::npos)
    return false;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash + 1 == path.size()) return false;
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return true;
}

Result<WorkItem> parse_work_item(const Value& json) {
  std::optional<Error> error;
  WorkItem item;
  Reader reader(&json, "", error);
  read_identity(reader, item);
  reader.read("namespace", item.namespace_name);
  reader.read("workflow", item.workflow);
  reader.read("workflow_version", item.workflow_version);
  Reader lease = reader.inner("lease");
  lease.read("heartbeat_ms", item.heartbeat_ms, 1);
  lease.read("start_to_close_ms", item.start_to_close_ms);
  read_agent_need(reader.inner("agent"), item.agent_type, item.agent_model, item.max_turns, item.max_tokens);
  Reader gateway = reader.inner("model_gateway");
  gateway.read("url", item.model_gateway.url);
  gateway.read("key", item.model_gateway.key);
  reader.read("output_schema", item.output_schema);
  reader.read("mcp", item.mcp);
  reader.read("run_command", item.run_command);
  reader.read("prompt", item.prompt);
  reader.read_map("env", [&](const std::string& name, const Value& value, const std::string& path) {
    if (!value.is_string() || name.empty() || name.find('=') != std::string::npos) {
      if (!error) error = Error(Code::RequestInvalid, path + " must be a string with a usable name");
      return;
    }
    item.env.emplace_back(name, value.as_string());
  });
  reader.read("verify", item.verify);
  reader.read("inputs", item.inputs);
  reader.read("item", item.item);
  reader.read("index", item.index);
  reader.read_map("dependencies", [&](const std::string& task, const Value& value, const std::string& path) {
    Reader inner(&value, path, error);
    if (!is_task_id(task)) inner.complain("", "must be the id of a task");
    Dependency& dependency = item.dependencies[task];
    inner.read("state", dependency.state);
    inner.read("output", dependency.output);
    inner.read_digest("output_blob", dependency.output_blob, false);
    inner.read_list("artifacts", [&](const Value& element, const std::string& at) {
      dependency.artifacts.push_back(read_artifact(element, at, error));
    });
  });
  Reader workspace = reader.inner("workspace");
  workspace.read("mode", item.workspace.mode);
  if (item.workspace.mode != "write" && item.workspace.mode != "read" && item.workspace.mode != "none") {
    workspace.complain("mode", "must be write, read or none");
  }
  workspace.read("repository", item.workspace.repository);
  workspace.read("base", item.workspace.base);
  workspace.read("run_branch", item.workspace.run_branch);
  workspace.read("branch", item.workspace.branch);
  Reader merge = reader.inner("merge");
  merge.read("branch", item.merge.branch);
  merge.read("commit", item.merge.commit);
  merge.read("into", item.merge.into);
  merge.read("message", item.merge.message);
  merge.read("verify", item.merge.verify);
  if (item.kind == WorkKind::kMerge && (item.merge.commit.empty() || item.merge.into.empty())) {
    merge.complain("", "needs commit and into");
  }
  if (merge.has("resolver")) item.merge.resolver = read_resolver_need(merge.inner("resolver"));
  reader.read_list("artifacts", [&](const Value& element, const std::string& at) {
    if (element.is_string() && is_safe_path(element.as_string())) {
      item.artifacts.push_back(element.as_string());
    } else if (!error) {
      error = Error(Code::RequestInvalid, at + " must be a relative pattern without \"..\"");
    }
  });
  Reader sandbox = reader.inner("sandbox");
  sandbox.read("network", item.sandbox.network);
  // Upper bounds keep the arithmetic in bytes and milliseconds far from overflow.
  const std::pair<const char*, std::int64_t*> limits[] = {{"memory_mb", &item.sandbox.memory_mb},
                                                          {"processes", &item.sandbox.processes},
                                                          {"output_mb", &item.sandbox.output_mb},
                                                          {"disk_mb", &item.sandbox.disk_mb}};
  for (const auto& [name, target] : limits) {
    sandbox.read(name, *target, 1);
    if (*target > 1'000'000'000) sandbox.complain(name, "is too large");
  }
  sandbox.read("cpu_s", item.sandbox.cpu_s);
  if (item.sandbox.cpu_s > 1'000'000'000) sandbox.complain("cpu_s", "is too large");
  reader.read_list("files", [&](const Value& element, const std::string& at) {
    Reader file(&element, at, error);
    WorkflowFile entry;
    std::int64_t mode = entry.mode;
    file.read_path("path", entry.path);
    file.read_digest("sha256", entry.sha256, true);
    file.read("mode", mode);
    entry.mode = static_cast<std::uint32_t>(mode) & 0777;
    item.files.push_back(std::move(entry));
  });
  reader.read("traceparent", item.traceparent);
  if (error) return *error;
  return item;
}

Value to_value(const WorkItem& item) {
  Value out{Value::Map{}};
  write_identity(out, item);
  out.set("namespace", item.namespace_name);
  out.set("workflow", item.workflow);
  out.set("workflow_version", item.workflow_version);
  out.set("lease",
          Value::Map{{"heartbeat_ms", item.heartbeat_ms}, {"start_to_close_ms", item.start_to_close_ms}});
  out.set("agent", agent_need(item.agent_type, item.agent_model, item.max_turns, item.max_tokens));
  if (!item.model_gateway.url.empty()) {
    out.set("model_gateway", Value::Map{{"url", item.model_gateway.url}, {"key", item.model_gateway.key}});
  }
  if (!item.output_schema.is_null()) out.set("output_schema", item.output_schema);
  if (!item.mcp.is_null()) out.set("mcp", item.mcp);
  set_text(out, "run_command", item.run_command);
  set_text(out, "prompt", item.prompt);
  Value::Map env;
  for (const auto& [name, value] : item.env) env.emplace_back(name, value);
  out.set("env", std::move(env));
  set_text(out, "verify", item.verify);
  out.set("inputs", item.inputs);
  if (!item.item.is_null()) out.set("item", item.item);
  if (!item.index.is_null()) out.set("index", item.index);
  Value::Map dependencies;
  for (const auto& [task, dependency] : item.dependencies) {
    Value entry{Value::Map{}};
    entry.set("state", dependency.state);
    if (dependency.output_blob.empty()) entry.set("output", dependency.output);
    set_text(entry, "output_blob", dependency.output_blob);
    entry.set("artifacts", artifact_list(dependency.artifacts));
    dependencies.emplace_back(task, std::move(entry));
  }
  out.set("dependencies", std::move(dependencies));
  out.set("workspace", Value::Map{{"mode", item.workspace.mode},
                                  {"repository", item.workspace.repository},
                                  {"base", item.workspace.base},
                                  {"run_branch", item.workspace.run_branch},
                                  {"branch", item.workspace.branch}});
  if (item.kind == WorkKind::kMerge) {
    Value merge(Value::Map{{"branch", item.merge.branch},
                           {"commit", item.merge.commit},
                           {"into", item.merge.into},
                           {"message", item.merge.message},
                           {"verify", item.merge.verify}});
    if (item.merge.resolver) merge.set("resolver", resolver_need(*item.merge.resolver));
    out.set("merge", std::move(merge));
  }
  Value::List globs(item.artifacts.begin(), item.artifacts.end());
  out.set("artifacts", std::move(globs));
  out.set("sandbox", Value::Map{{"network", item.sandbox.network},
                                {"memory_mb", item.sandbox.memory_mb},
                                {"processes", item.sandbox.processes},
                                {"output_mb", item.sandbox.output_mb},
                                {"disk_mb", item.sandbox.disk_mb},
                                {"cpu_s", item.sandbox.cpu_s}});
  Value::List files;
  for (const WorkflowFile& file : item.files) {
    files.push_back(
        Value::Map{{"path", file.path}, {"sha256", file.sha256}, {"mode", std::int64_t{file.mode}}});
  }
  out.set("files", std::move(files));
  set_text(out, "traceparent", item.traceparent);
  return out;
}

Result<TaskResult> parse_task_result(const Value& json) {
  std::optional<Error> error;
  TaskResult result;
  Reader reader(&json, "", error);
  read_identity(reader, result);
  std::string outcome;
  reader.read("outcome", outcome);
  bool known = false;
  for (const Outcome each :
       {Outcome::kSucceeded, Outcome::kFailed, Outcome::kCancelled, Outcome::kConflict}) {
    if (outcome == to_text(each)) {
      result.outcome = each;
      known = true;
    }
  }
  if (!known) reader.complain("outcome", "must be succeeded, failed, cancelled or conflict");
  reader.read("output", result.output);
  reader.read_digest("output_blob", result.output_blob, false);
  Reader failure = reader.inner("error");
  failure.read("code", result.error_code);
  failure.read("message", result.error_message);
  const Value* exit_code = json.find("exit_code");
  if (exit_code != nullptr && exit_code->is_int()) result.exit_code = exit_code->as_int();
  if (exit_code != nullptr && !exit_code->is_int() && !exit_code->is_null())
    reader.complain("exit_code", "must be an int");
  reader.read_list("artifacts", [&](const Value& element, const std::string& at) {
    result.artifacts.push_back(read_artifact(element, at, error));
  });
  reader.read("branch", result.branch);
  reader.read("commit", result.commit);
  reader.read("base", result.base);
  reader.read("head", result.head);
  reader.read("merged", result.merged);
  reader.read("final", result.final);
  reader.read("changed_files", result.changed_files);
  reader.read("cost_microusd", result.cost_microusd);
  reader.read("conflict", result.conflict);
  Reader resolver = reader.inner("resolver");
  resolver.read("agent_type", result.resolver_type);
  resolver.read_list("tries", [&](const Value& element, const std::string& at) {
    Reader failed = Reader(&element, at, error).inner("error");
    ResolverTry one;
    failed.read("code", one.error_code);
    failed.read("message", one.error_message);
    result.resolver_tries.push_back(std::move(one));
  });
  reader.read("duration_ms", result.duration_ms);
  if (error) return *error;
  return result;
}

Value to_value(const TaskResult& result) {
  Value out{Value::Map{}};
  write_identity(out, result);
  out.set("outcome", to_text(result.outcome));
  if (!result.output.is_null()) out.set("output", result.output);
  set_text(out, "output_blob", result.output_blob);
  if (!result.error_code.empty()) {
    out.set("error", Value::Map{{"code", result.error_code}, {"message", result.error_message}});
  }
  if (result.exit_code) out.set("exit_code", *result.exit_code);
  out.set("artifacts", artifact_list(result.artifacts));
  set_text(out, "branch", result.branch);
  set_text(out, "commit", result.commit);
  set_text(out, "base", result.base);
  set_text(out, "head", result.head);
  if (result.kind == WorkKind::kMerge) out.set("merged", result.merged);
  if (result.final) out.set("final", true);
  out.set("changed_files", result.changed_files);
  out.set("cost_microusd", result.cost_microusd);
  set_text(out, "conflict", result.conflict);
  if (!result.resolver_type.empty()) out.set("resolver", resolution_of(result));
  out.set("duration_ms", result.duration_ms);
  return out;
}

TaskResult failure_of(const WorkItem& item, Outcome outcome, const Error& error) {
  TaskResult result;
  result.run = item.run;
  result.task = item.task;
  result.attempt = item.attempt;
  result.fence = item.fence;
  result.kind = item.kind;
  result.outcome = outcome;
  result.error_code = error.name();
  result.error_message = error.message().substr(0, 2000);
  return result;
}

}  // namespace ez::agents
