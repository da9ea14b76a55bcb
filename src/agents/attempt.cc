#include "agents/attempt.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "agents/files.h"
#include "agents/resolver.h"
#include "base/json.h"

namespace ez::agents {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

std::vector<std::string> shell_for(const std::string& script_path, bool strict) {
  const bool bash = ::access("/bin/bash", X_OK) == 0;
  if (!strict) return {bash ? "/bin/bash" : "/bin/sh", script_path};
  if (bash) return {"/bin/bash", "-eo", "pipefail", script_path};
  return {"/bin/sh", "-e", script_path};
}

WorkspaceMode mode_of(const WorkItem& item) {
  if (item.workspace.mode == "write") return WorkspaceMode::kWrite;
  return item.workspace.mode == "read" ? WorkspaceMode::kRead : WorkspaceMode::kNone;
}

std::string first_line(const std::string& text) {
  return text.substr(0, std::min<std::size_t>(text.find('\n'), 200));
}

}  // namespace

Attempt::Attempt(const AttemptPorts& ports, const WorkItem& item, LogSpool& log, const CancelToken& cancel,
                 Steady::time_point began)
    : ports_(ports), item_(item), log_(log), cancel_(cancel), began_(began) {
  result_ = failure_of(item, Outcome::kFailed, Error(Code::Internal, "the work did not end"));
}

TaskResult Attempt::execute(Body& body) {
  if (Status done = prepare_and_run(body); done.ok()) {
    succeed();
  } else {
    fail(done.error());
  }
  if (workspace_) {
    body.finish(*this);
    for (ArtifactRef& artifact : kept_) {
      const auto same = [&](const ArtifactRef& other) { return other.name == artifact.name; };
      if (std::any_of(result_.artifacts.begin(), result_.artifacts.end(), same))
        artifact.name = "ez-" + artifact.name;
      result_.artifacts.push_back(std::move(artifact));
    }
    finish_workspace();
    workspace_.reset();
  }
  return std::move(result_);
}

Attempt::Guest Attempt::work_in(Workspace& place, Body& body) {
  Guest guest;
  workspace_.emplace(std::move(place));
  guest.status = write_inputs();
  if (guest.status.ok()) guest.status = body.work(*this);
  body.finish(*this);
  guest.final = result_.final;
  guest.artifacts = std::move(kept_);
  place = std::move(*workspace_);
  workspace_.reset();
  return guest;
}

TaskResult Attempt::merge(const MakeBody& bodies) {
  const MergeRequest request{
      item_.run,        item_.task,         item_.attempt,      item_.workspace.repository,
      item_.merge.into, item_.merge.commit, item_.merge.branch, item_.merge.message};
  std::optional<Resolver> resolver;
  if (item_.merge.resolver) resolver.emplace(*this, bodies);
  std::string printed;  // by the check
  WorkspaceManager::Verify verify;
  if (!item_.merge.verify.empty()) {
    verify = [&](Workspace& merged) -> Status {
      log_.note("verify on the merged tree: " + first_line(item_.merge.verify));
      workspace_.emplace(std::move(merged));
      printed.clear();
      Status checked = write_inputs();
      if (checked.ok()) {
        checked = run_script(item_.merge.verify, Code::VerifyFailed, "the check failed on the merged tree",
                             &printed);
      }
      if (resolver && !checked.ok()) resolver->check_failed(checked.error(), printed);
      merged = std::move(*workspace_);
      workspace_.reset();
      return checked;
    };
  }
  auto merged = cancel_.cancelled()
                    ? Result<MergeResult>(Error(Code::TaskCancelled, "cancelled before the merge"))
                    : ports_.workspaces.merge(request, verify, resolver ? &*resolver : nullptr);
  if (resolver) resolver->report(merged.ok() && merged->conflict.empty(), result_);
  if (!merged.ok()) {
    fail(merged.error());
    return std::move(result_);
  }
  result_.base = merged->base;
  result_.head = merged->head;
  result_.merged = merged->merged;
  result_.changed_files = merged->changed_files;
  if (merged->conflict.empty()) {
    succeed();
    log_.note(merged->merged
                  ? "merged " + item_.merge.commit + " into " + item_.merge.into + " as " + merged->head
                  : item_.merge.commit + " is part of " + item_.merge.into + " already");
    return std::move(result_);
  }
  if (merged->check_failed) {
    fail(Error(Code::VerifyFailed,
               "the check fails on the merged tree of " + item_.merge.commit + " and " + item_.merge.into));
    merged->conflict += "\n" + printed.substr(printed.size() - std::min(printed.size(), kMaxCheckText / 2));
  } else {
    fail(Error(Code::MergeConflict, item_.merge.commit + " does not merge into " + item_.merge.into));
    log_.append(merged->conflict);
  }
  result_.outcome = Outcome::kConflict;
  result_.conflict = merged->conflict;
  return std::move(result_);
}

TaskResult Attempt::recheck(const std::string& commit) {
  const auto look = [&]() -> Status {
    if (cancel_.cancelled()) return Error(Code::TaskCancelled, "cancelled before the check");
    EZ_ASSIGN(Workspace made, ports_.workspaces.create(
                                  WorkspaceRequest{WorkspaceMode::kRead, item_.run, item_.task, item_.attempt,
                                                   item_.workspace.repository, "", "", "", commit}));
    workspace_.emplace(std::move(made));
    Status checked = write_inputs();
    if (checked.ok()) checked = run_script(item_.merge.verify, Code::VerifyFailed, "the check failed");
    const Status gone = ports_.workspaces.remove(std::move(*workspace_));
    workspace_.reset();
    return checked.ok() ? gone : checked;
  };
  if (const Status done = look(); done.ok()) {
    succeed();
  } else {
    fail(done.error());
  }
  return std::move(result_);
}

void Attempt::succeed() {
  result_.outcome = Outcome::kSucceeded;
  result_.error_code.clear();
  result_.error_message.clear();
}

void Attempt::fail(const Error& error) {
  result_.outcome = error.code() == Code::TaskCancelled ? Outcome::kCancelled : Outcome::kFailed;
  result_.error_code = error.name();
  result_.error_message = error.message().substr(0, 2000);
  log_.note(error.to_string());
}

Status Attempt::prepare_and_run(Body& body) {
  for (const auto& [name, value] : item_.env) {
    if (name.size() + value.size() > kMaxEnvironmentBytes)
      return Error(Code::InputInvalid, "the variable " + name + " is too long");
  }
  auto made = ports_.workspaces.create(
      WorkspaceRequest{mode_of(item_), item_.run, item_.task, item_.attempt, item_.workspace.repository,
                       item_.workspace.base, item_.workspace.run_branch, item_.workspace.branch, ""});
  if (!made.ok()) return made.error();
  workspace_.emplace(std::move(*made));
  EZ_TRY(write_inputs());
  EZ_TRY(body.work(*this));
  EZ_TRY(given_output_ ? keep_output(*given_output_) : read_output());
  EZ_TRY(check(body));
  auto artifacts =
      collect_artifacts(ez_dir() + "/artifacts", workspace_->tree(), item_.artifacts, ports_.artifacts);
  if (!artifacts.ok()) return artifacts.error();
  result_.artifacts = std::move(*artifacts);
  return {};
}

Status Attempt::check(Body& body) {
  if (item_.verify.empty()) return {};
  const std::optional<std::int64_t> before = result_.exit_code;
  while (true) {
    log_.note("verify: " + first_line(item_.verify));
    std::string text;
    Status checked = run_script(item_.verify, Code::VerifyFailed, "the check failed", &text);
    if (checked.ok() || checked.error().code() != Code::VerifyFailed) return checked;
    EZ_ASSIGN(const bool again, body.mend(*this, checked.error(), text));
    if (!again) return checked;
    result_.exit_code = before;
    if (given_output_) EZ_TRY(keep_output(*given_output_));
  }
}

Status Attempt::write_inputs() const {
  const std::string base = ez_dir();
  for (const char* name : {"/artifacts", "/out", "/dependencies", "/files"})
    EZ_TRY(make_folders(base + name));
  EZ_TRY(fetch_dependencies(item_, base + "/dependencies", ports_.artifacts));
  EZ_TRY(fetch_files(item_, base + "/files", ports_.artifacts));
  Value::Map tasks;
  for (const auto& [name, dependency] : item_.dependencies) {
    Value task{Value::Map{}};
    task.set("state", dependency.state);
    Value output = dependency.output;
    if (!dependency.output_blob.empty()) {
      const std::string path = base + "/output-of-dependency";
      EZ_TRY(ports_.artifacts.fetch(dependency.output_blob, path));
      EZ_ASSIGN(const std::string text, read_file(path, kMaxOutputBytes));
      ::unlink(path.c_str());
      auto parsed = parse_json(text);
      if (!parsed.ok()) return parsed.error().in("output of " + name);
      output = std::move(*parsed);
    }
    task.set("output", std::move(output));
    Value::List names;
    for (const ArtifactRef& artifact : dependency.artifacts) names.emplace_back(artifact.name);
    task.set("artifacts", std::move(names));
    tasks.emplace_back(name, std::move(task));
  }
  Value input{Value::Map{}};
  input.set("inputs", item_.inputs);
  input.set("item", item_.item);
  input.set("index", item_.index);
  input.set("tasks", std::move(tasks));
  return write_file(base + "/input.json", to_json(input));
}

std::optional<milliseconds> Attempt::time_left() const {
  if (item_.start_to_close_ms <= 0) return std::nullopt;
  const auto used = std::chrono::duration_cast<milliseconds>(Steady::now() - began_);
  return milliseconds(item_.start_to_close_ms) - used;
}

Error Attempt::timed_out() const {
  return Error(Code::CommandTimeout,
               "not done within start_to_close of " + std::to_string(item_.start_to_close_ms) + " ms");
}

SandboxSpec Attempt::sandbox_spec() const {
  const std::string base = ez_dir();
  SandboxSpec spec;
  spec.directory = "/workspace";
  spec.environment = {
      {"PATH", "/usr/local/bin:/usr/bin:/bin"}, {"LANG", "C.UTF-8"}, {"TMPDIR", "/tmp"}, {"USER", "ez"}};
  spec.environment.insert(spec.environment.end(), item_.env.begin(), item_.env.end());
  // After the task's own variables, so that it cannot be misled about itself.
  spec.environment.insert(spec.environment.end(), {{"HOME", "/home/ez"},
                                                   {"EZ_RUN", item_.run},
                                                   {"EZ_TASK", item_.task},
                                                   {"EZ_ATTEMPT", std::to_string(item_.attempt)},
                                                   {"EZ_INPUT", "/ez/input.json"},
                                                   {"EZ_OUTPUT", "/ez/out/output.json"},
                                                   {"EZ_ARTIFACTS", "/ez/artifacts"},
                                                   {"EZ_DEPENDENCIES", "/ez/dependencies"},
                                                   {"EZ_FILES", "/ez/files"}});
  if (!item_.traceparent.empty()) spec.environment.emplace_back("TRACEPARENT", item_.traceparent);
  workspace_->show_in(spec);
  spec.mounts.insert(spec.mounts.end(), {{base + "/input.json", "/ez/input.json", false},
                                         {base + "/dependencies", "/ez/dependencies", false},
                                         {base + "/files", "/ez/files", false},
                                         {base + "/artifacts", "/ez/artifacts", true},
                                         {base + "/out", "/ez/out", true}});
  spec.mounts.insert(spec.mounts.end(), shown_.begin(), shown_.end());
  spec.environment.insert(spec.environment.end(), variables_.begin(), variables_.end());
  spec.measured.insert(spec.measured.end(), {base + "/artifacts", base + "/out"});
  spec.limits = item_.sandbox;
  return spec;
}

Result<SandboxOutcome> Attempt::run_shell(const std::string& script, milliseconds timeout,
                                          const Sandbox::Sink& sink, bool strict) {
  SandboxSpec spec = sandbox_spec();
  spec.files.emplace_back("/ez/run.sh", script + "\n");
  spec.argv = shell_for("/ez/run.sh", strict);
  return run_command(std::move(spec), timeout, sink);
}

Result<SandboxOutcome> Attempt::run_command(SandboxSpec spec, milliseconds timeout,
                                            const Sandbox::Sink& sink) {
  spec.timeout = timeout;
  const std::optional<milliseconds> left = time_left();
  if (left && left->count() <= 0) return timed_out();
  const bool own_end = left && (timeout.count() == 0 || *left <= timeout);
  if (own_end) spec.timeout = *left;
  auto outcome = ports_.sandbox.run(spec, sink, &cancel_);
  if (!outcome.ok()) return outcome.error();
  ports_.workspaces.note_usage(*workspace_, outcome->disk_bytes);
  disk_overrun_ = outcome->over_disk;
  const std::optional<Error>& stopped = outcome->process.stopped;
  if (own_end && stopped && stopped->code() == Code::CommandTimeout) return timed_out();
  return outcome;
}

Status Attempt::run_script(const std::string& script, Code failure, const std::string& what,
                           std::string* tail) {
  auto outcome = run_shell(script, milliseconds(0), [&](std::string_view bytes) {
    log_.append(bytes);
    if (tail == nullptr) return;
    tail->append(bytes);
    if (tail->size() > 2 * kMaxCheckText) tail->erase(0, tail->size() - kMaxCheckText);
  });
  if (tail != nullptr && tail->size() > kMaxCheckText) tail->erase(0, tail->size() - kMaxCheckText);
  if (!outcome.ok()) return outcome.error();
  if (outcome->process.stopped) return *outcome->process.stopped;
  if (failure == Code::CommandFailed || outcome->process.exit_code != 0)
    result_.exit_code = outcome->process.exit_code;
  if (outcome->process.exit_code != 0)
    return Error(failure, what + " with status " + std::to_string(outcome->process.exit_code));
  return {};
}

Status Attempt::add_artifact(const std::string& name, const std::string& path) {
  auto stored = ports_.artifacts.store(path);
  if (!stored.ok()) return stored.error().in("artifact " + name);
  stored->name = name;
  kept_.push_back(std::move(*stored));
  return {};
}

Status Attempt::read_output() {
  const std::string folder = ez_dir() + "/out";
  if (::faccessat(AT_FDCWD, (folder + "/output.json").c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0) return {};
  auto file = open_beneath(folder, "output.json");
  if (!file.ok()) return Error(Code::ArtifactInvalid, "$EZ_OUTPUT is not a regular file");
  auto text = read_all(file->get(), kMaxOutputBytes);
  if (!text.ok()) return text.error().in("$EZ_OUTPUT");
  auto value = parse_json(*text);
  if (!value.ok()) return value.error().in("$EZ_OUTPUT");
  return keep_output(*value);
}

Status Attempt::keep_output(const Value& value) {
  const std::string compact = to_json(value);
  result_.output = {};
  result_.output_blob.clear();
  if (compact.size() <= kMaxInlineOutputBytes) {
    result_.output = value;
    return {};
  }
  if (compact.size() > kMaxOutputBytes) {
    return Error(Code::PayloadTooLarge,
                 "the output has more than " + std::to_string(kMaxOutputBytes) + " bytes");
  }
  const std::string path = ez_dir() + "/output-to-store";
  EZ_TRY(write_file(path, compact));
  auto stored = ports_.artifacts.store(path);
  if (!stored.ok()) return stored.error().in("$EZ_OUTPUT");
  result_.output_blob = stored->sha256;
  return {};
}

// Keeps the work and clears the place. What fails here turns a success into a failure only when work would
// be lost.
void Attempt::finish_workspace() {
  const bool succeeded = result_.outcome == Outcome::kSucceeded;
  if (workspace_->request().mode == WorkspaceMode::kWrite && (succeeded || !disk_overrun_)) {
    const std::string message =
        item_.task + (succeeded ? ": work of " + item_.run : ": unfinished work of " + item_.run);
    auto commit = ports_.workspaces.commit(*workspace_, message);
    if (commit.ok() && !commit->id.empty()) {
      result_.branch = workspace_->branch();
      result_.commit = commit->id;
      result_.changed_files = commit->changed_files;
      for (const std::string& text : commit->notes) log_.note(text);
      log_.note(std::to_string(commit->changed_files) + " changed files committed on " +
                workspace_->branch());
    } else if (!commit.ok() && succeeded) {
      fail(commit.error());
    }
  }
  if (Status gone = ports_.workspaces.remove(std::move(*workspace_)); !gone.ok())
    log_.note(gone.error().to_string());
}

namespace {

TaskResult run_with_log(const AttemptPorts& ports, const WorkItem& item, LogPort& log,
                        const CancelToken& cancel, const std::function<TaskResult(Attempt&)>& work) {
  const auto began = Steady::now();
  TaskResult result;
  // The log lies outside of the workspace, which is removed before the upload ends; the name goes at once.
  char name[] = "/tmp/ez-log-XXXXXX";
  std::unique_ptr<LogSpool> spool;
  if (const char* folder = ::mkdtemp(name)) {
    const std::string path = std::string(folder) + "/log";
    auto opened = LogSpool::open(path, log);
    if (opened.ok()) spool = std::move(*opened);
    ::unlink(path.c_str());
    ::rmdir(folder);
  }
  if (spool == nullptr) {
    result = failure_of(item, Outcome::kFailed, Error(Code::IoFailed, "no place for the task's log in /tmp"));
  } else {
    Attempt attempt(ports, item, *spool, cancel, began);
    result = work(attempt);
    // A log that did not arrive whole does not undo the work; the control plane sees what is missing by its
    // size.
    [[maybe_unused]] const Status arrived = spool->finish(kLogWait);
  }
  result.duration_ms = std::chrono::duration_cast<milliseconds>(Steady::now() - began).count();
  return result;
}

}  // namespace

TaskResult run_item(const AttemptPorts& ports, const WorkItem& item, LogPort& log, const CancelToken& cancel,
                    Attempt::Body& body) {
  return run_with_log(ports, item, log, cancel, [&body](Attempt& attempt) { return attempt.execute(body); });
}

TaskResult run_made(const AttemptPorts& ports, const WorkItem& item, LogPort& log, const CancelToken& cancel,
                    const Attempt::MakeBody& bodies) {
  auto body = item.kind == WorkKind::kExecute
                  ? bodies(item)
                  : Result<std::unique_ptr<Attempt::Body>>(
                        Error(Code::RequestInvalid, "merges are for agents of the type exec"));
  if (!body.ok()) {
    TaskResult result = failure_of(item, Outcome::kFailed, body.error());
    result.final = true;
    return result;
  }
  return run_item(ports, item, log, cancel, **body);
}

TaskResult run_merge(const AttemptPorts& ports, const WorkItem& item, LogPort& log, const CancelToken& cancel,
                     const Attempt::MakeBody& bodies) {
  return run_with_log(ports, item, log, cancel,
                      [&bodies](Attempt& attempt) { return attempt.merge(bodies); });
}

TaskResult recheck_item(const AttemptPorts& ports, const WorkItem& item, const std::string& commit,
                        LogPort& log, const CancelToken& cancel) {
  return run_with_log(ports, item, log, cancel,
                      [&commit](Attempt& attempt) { return attempt.recheck(commit); });
}

}  // namespace ez::agents
