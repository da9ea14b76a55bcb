#include "agents/exec_runner.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "agents/files.h"
#include "base/json.h"

namespace ez::agents {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

std::vector<std::string> shell_for(const std::string& script_path) {
  if (::access("/bin/bash", X_OK) == 0) return {"/bin/bash", "-eo", "pipefail", script_path};
  return {"/bin/sh", "-e", script_path};
}

WorkspaceMode mode_of(const WorkItem& item) {
  if (item.workspace.mode == "write") return WorkspaceMode::kWrite;
  return item.workspace.mode == "read" ? WorkspaceMode::kRead : WorkspaceMode::kNone;
}

}  // namespace

class ExecRunner::Job {
 public:
  Job(ExecRunner& runner, const WorkItem& item, LogSpool& log, const CancelToken& cancel,
      Steady::time_point began)
      : runner_(runner), item_(item), log_(log), cancel_(cancel), began_(began) {
    result_ = failure_of(item, Outcome::kFailed, Error(Code::Internal, "the work did not end"));
  }

  TaskResult execute() {
    if (Status done = prepare_and_run(); done.ok()) {
      succeed();
    } else {
      fail(done.error());
    }
    if (workspace_) {
      finish_workspace();
      workspace_.reset();
    }
    return std::move(result_);
  }

  TaskResult merge() {
    const MergeRequest request{
        item_.run,        item_.task,         item_.attempt,      item_.workspace.repository,
        item_.merge.into, item_.merge.commit, item_.merge.branch, item_.merge.message};
    WorkspaceManager::Verify verify;
    if (!item_.merge.verify.empty()) {
      verify = [this](Workspace& merged) -> Status {
        log_.note("verify on the merged tree: " + first_line(item_.merge.verify));
        EZ_TRY(write_inputs(merged));
        return run_script(merged, item_.merge.verify, Code::VerifyFailed,
                          "the check failed on the merged tree");
      };
    }
    auto merged = cancel_.cancelled()
                      ? Result<MergeResult>(Error(Code::TaskCancelled, "cancelled before the merge"))
                      : runner_.workspaces_.merge(request, verify);
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
    } else {
      fail(Error(Code::MergeConflict, item_.merge.commit + " does not merge into " + item_.merge.into));
      result_.outcome = Outcome::kConflict;
      result_.conflict = merged->conflict;
      log_.append(merged->conflict);
    }
    return std::move(result_);
  }

 private:
  static std::string first_line(const std::string& text) {
    return text.substr(0, std::min<std::size_t>(text.find('\n'), 200));
  }

  void succeed() {
    result_.outcome = Outcome::kSucceeded;
    result_.error_code.clear();
    result_.error_message.clear();
  }

  void fail(const Error& error) {
    result_.outcome = error.code() == Code::TaskCancelled ? Outcome::kCancelled : Outcome::kFailed;
    result_.error_code = error.name();
    result_.error_message = error.message().substr(0, 2000);
    log_.note(error.to_string());
  }

  Status prepare_and_run() {
    if (item_.agent_type != "exec") {
      return Error(Code::RequestInvalid, "this agent runs work of type exec, not " + item_.agent_type);
    }
    for (const auto& [name, value] : item_.env) {
      if (name.size() + value.size() > kMaxEnvironmentBytes)
        return Error(Code::InputInvalid, "the variable " + name + " is too long");
    }
    auto made = runner_.workspaces_.create(
        WorkspaceRequest{mode_of(item_), item_.run, item_.task, item_.attempt, item_.workspace.repository,
                         item_.workspace.base, item_.workspace.run_branch, item_.workspace.branch, ""});
    if (!made.ok()) return made.error();
    workspace_.emplace(std::move(*made));
    EZ_TRY(write_inputs(*workspace_));
    if (!item_.run_command.empty()) {
      EZ_TRY(run_script(*workspace_, item_.run_command, Code::CommandFailed, "the command failed"));
    }
    EZ_TRY(read_output());
    if (!item_.verify.empty()) {
      log_.note("verify: " + first_line(item_.verify));
      EZ_TRY(run_script(*workspace_, item_.verify, Code::VerifyFailed, "the check failed"));
    }
    auto artifacts = collect_artifacts(ez_dir(*workspace_) + "/artifacts", workspace_->tree(),
                                       item_.artifacts, runner_.artifacts_);
    if (!artifacts.ok()) return artifacts.error();
    result_.artifacts = std::move(*artifacts);
    return {};
  }

  static std::string ez_dir(const Workspace& workspace) { return workspace.root() + "/ez"; }

  Status write_inputs(const Workspace& workspace) {
    const std::string base = ez_dir(workspace);
    for (const char* name : {"/artifacts", "/out", "/dependencies", "/files"})
      EZ_TRY(make_folders(base + name));
    EZ_TRY(fetch_dependencies(item_, base + "/dependencies", runner_.artifacts_));
    EZ_TRY(fetch_files(item_, base + "/files", runner_.artifacts_));
    Value::Map tasks;
    for (const auto& [name, dependency] : item_.dependencies) {
      Value task{Value::Map{}};
      task.set("state", dependency.state);
      Value output = dependency.output;
      if (!dependency.output_blob.empty()) {
        const std::string path = base + "/output-of-dependency";
        EZ_TRY(runner_.artifacts_.fetch(dependency.output_blob, path));
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

  SandboxSpec sandbox_spec(const Workspace& workspace) const {
    const std::string base = ez_dir(workspace);
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
    workspace.show_in(spec);
    spec.mounts.insert(spec.mounts.end(), {{base + "/input.json", "/ez/input.json", false},
                                           {base + "/dependencies", "/ez/dependencies", false},
                                           {base + "/files", "/ez/files", false},
                                           {base + "/artifacts", "/ez/artifacts", true},
                                           {base + "/out", "/ez/out", true}});
    spec.measured.insert(spec.measured.end(), {base + "/artifacts", base + "/out"});
    spec.limits = item_.sandbox;
    return spec;
  }

  Status run_script(Workspace& workspace, const std::string& script, Code failure, const std::string& what) {
    SandboxSpec spec = sandbox_spec(workspace);
    spec.files.emplace_back("/ez/run.sh", script + "\n");
    spec.argv = shell_for("/ez/run.sh");
    if (item_.start_to_close_ms > 0) {
      const auto used = std::chrono::duration_cast<milliseconds>(Steady::now() - began_);
      spec.timeout = milliseconds(item_.start_to_close_ms) - used;
      if (spec.timeout.count() <= 0) return timed_out();
    }
    auto outcome = runner_.sandbox_.run(
        spec, [this](std::string_view bytes) { log_.append(bytes); }, &cancel_);
    if (!outcome.ok()) return outcome.error();
    runner_.workspaces_.note_usage(workspace, outcome->disk_bytes);
    if (outcome->process.stopped) {
      disk_overrun_ = outcome->process.stopped->code() == Code::DiskLimit;
      if (outcome->process.stopped->code() == Code::CommandTimeout) return timed_out();
      return *outcome->process.stopped;
    }
    if (failure == Code::CommandFailed || outcome->process.exit_code != 0)
      result_.exit_code = outcome->process.exit_code;
    if (outcome->process.exit_code != 0) {
      return Error(failure, what + " with status " + std::to_string(outcome->process.exit_code));
    }
    return {};
  }

  Error timed_out() const {
    return Error(Code::CommandTimeout,
                 "not done within start_to_close of " + std::to_string(item_.start_to_close_ms) + " ms");
  }

  Status read_output() {
    const std::string folder = ez_dir(*workspace_) + "/out";
    if (::faccessat(AT_FDCWD, (folder + "/output.json").c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0) return {};
    auto file = open_beneath(folder, "output.json");
    if (!file.ok()) return Error(Code::ArtifactInvalid, "$EZ_OUTPUT is not a regular file");
    auto text = read_all(file->get(), kMaxOutputBytes);
    if (!text.ok()) return text.error().in("$EZ_OUTPUT");
    auto value = parse_json(*text);
    if (!value.ok()) return value.error().in("$EZ_OUTPUT");
    const std::string compact = to_json(*value);
    if (compact.size() <= kMaxInlineOutputBytes) {
      result_.output = std::move(*value);
      return {};
    }
    const std::string path = ez_dir(*workspace_) + "/output-to-store";
    EZ_TRY(write_file(path, compact));
    auto stored = runner_.artifacts_.store(path);
    if (!stored.ok()) return stored.error().in("$EZ_OUTPUT");
    result_.output_blob = stored->sha256;
    return {};
  }

  // Keeps the work and clears the place. What fails here turns a success into a failure only when work would
  // be lost.
  void finish_workspace() {
    const bool succeeded = result_.outcome == Outcome::kSucceeded;
    if (workspace_->request().mode == WorkspaceMode::kWrite && (succeeded || !disk_overrun_)) {
      const std::string message =
          item_.task + (succeeded ? ": work of " + item_.run : ": unfinished work of " + item_.run);
      auto commit = runner_.workspaces_.commit(*workspace_, message);
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
    if (Status gone = runner_.workspaces_.remove(std::move(*workspace_)); !gone.ok())
      log_.note(gone.error().to_string());
  }

  ExecRunner& runner_;
  const WorkItem& item_;
  LogSpool& log_;
  const CancelToken& cancel_;
  const Steady::time_point began_;
  std::optional<Workspace> workspace_;
  TaskResult result_;
  bool disk_overrun_ = false;
};

TaskResult ExecRunner::run(const WorkItem& item, LogPort& log, const CancelToken& cancel) {
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
    Job job(*this, item, *spool, cancel, began);
    result = item.kind == WorkKind::kMerge ? job.merge() : job.execute();
    // A log that did not arrive whole does not undo the work; the control plane sees what is missing by its
    // size.
    [[maybe_unused]] const Status arrived = spool->finish(kLogWait);
  }
  result.duration_ms = std::chrono::duration_cast<milliseconds>(Steady::now() - began).count();
  return result;
}

}  // namespace ez::agents
