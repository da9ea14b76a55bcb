// One attempt at a task, whoever does the work: the workspace, the inputs, the check, what is collected and
// the commit. Runners (exec_runner.h, llm/llm_runner.h) give it a Body that does the work in between.
//
// Order: workspace, inputs, Body::work(), $EZ_OUTPUT, `verify` (a Body may mend what the check found and has
// it run again), artifacts, Body::finish(), a commit on the attempt's branch, and the workspace is gone. An
// attempt that fails keeps what it had written as a commit on its branch too, except when it broke the limit
// of the disk.
//
// Inside the sandbox: /workspace (current directory), /home/ez, /tmp, /git (read-only), /ez/input.json,
// /ez/out/output.json, /ez/artifacts, /ez/dependencies, /ez/files. docs/guide/agents.md is the user's side.
//
// Time: start_to_close_ms bounds the whole item from the call of run_item(), after which a command gets
// SIGTERM, two seconds, SIGKILL. Threads: an Attempt belongs to the thread of run_item(); any number at once.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agents/artifacts.h"
#include "agents/log_spool.h"
#include "agents/process.h"
#include "agents/sandbox.h"
#include "agents/work_item.h"
#include "agents/workspace.h"

namespace ez::agents {

inline constexpr std::size_t kMaxEnvironmentBytes =
    64 * 1024;  // of one variable; the kernel's own bound is 128 KiB
inline constexpr std::chrono::milliseconds kLogWait{
    30'000};                                             // for the rest of the log after the work is done
inline constexpr std::size_t kMaxCheckText = 16 * 1024;  // of what a failed check printed, its end

// What every attempt needs; all outlive it.
struct AttemptPorts {
  const Sandbox& sandbox;
  WorkspaceManager& workspaces;
  ArtifactPort& artifacts;
};

class Attempt {
 public:
  class Body {
   public:
    virtual ~Body() = default;
    virtual Status work(Attempt& attempt) = 0;
    // The check failed; `text` is the end of what it printed. True: there is new work, check it again.
    virtual Result<bool> mend(Attempt&, const Error& failure, const std::string& text) {
      (void)failure;
      (void)text;
      return false;
    }
    // Once, however it ended, while the workspace is still there; may add artifacts.
    virtual void finish(Attempt&) {}
  };

  Attempt(const AttemptPorts& ports, const WorkItem& item, LogSpool& log, const CancelToken& cancel,
          std::chrono::steady_clock::time_point began);

  [[nodiscard]] TaskResult execute(Body& body);
  // `bodies` makes the body of the item's resolver, if it comes to that (resolver.h).
  using MakeBody = std::function<Result<std::unique_ptr<Body>>(const WorkItem& item)>;
  [[nodiscard]] TaskResult merge(const MakeBody& bodies);
  // The check of a merge once more, on a clean tree of `commit`; nothing is merged or kept.
  [[nodiscard]] TaskResult recheck(const std::string& commit);

  // A body's work alone, in a place that the caller made and keeps: no check, no output, no commit.
  struct Guest {
    Status status;
    bool final = false;                  // of make_final()
    std::vector<ArtifactRef> artifacts;  // of add_artifact()
  };
  [[nodiscard]] Guest work_in(Workspace& place, Body& body);
  // More that every command of this attempt sees.
  void show(SandboxMount mount) { shown_.push_back(std::move(mount)); }
  void set_variable(std::string name, std::string value) {
    variables_.emplace_back(std::move(name), std::move(value));
  }

  [[nodiscard]] const WorkItem& item() const { return item_; }
  [[nodiscard]] LogSpool& log() { return log_; }
  [[nodiscard]] const CancelToken& cancel() const { return cancel_; }
  [[nodiscard]] const Workspace& workspace() const { return *workspace_; }
  [[nodiscard]] std::string ez_dir() const { return workspace_->root() + "/ez"; }
  [[nodiscard]] const AttemptPorts& ports() const { return ports_; }
  // What is left of start_to_close; nullopt: no limit. Not positive: the time is over.
  [[nodiscard]] std::optional<std::chrono::milliseconds> time_left() const;
  [[nodiscard]] Error timed_out() const;

  // Mounts, variables and limits of every command of this attempt; argv is the caller's.
  [[nodiscard]] SandboxSpec sandbox_spec() const;
  // A shell script in the sandbox with at most `timeout` (0: none) and never beyond time_left(). What stopped
  // it is in the outcome; COMMAND_TIMEOUT as an error: the attempt's own time is over.
  // `strict`: the first command that fails ends it (bash -eo pipefail); otherwise as a terminal would.
  [[nodiscard]] Result<SandboxOutcome> run_shell(const std::string& script, std::chrono::milliseconds timeout,
                                                 const Sandbox::Sink& sink, bool strict = true);
  // A command of the caller's in its sandbox_spec(), with the same bounds of time.
  [[nodiscard]] Result<SandboxOutcome> run_command(SandboxSpec spec, std::chrono::milliseconds timeout,
                                                   const Sandbox::Sink& sink);
  // The same with the task's log as sink, where an end of any other kind than exit 0 is an error: `failure`.
  // The end of what it printed goes to `tail` when that is given.
  [[nodiscard]] Status run_script(const std::string& script, Code failure, const std::string& what,
                                  std::string* tail = nullptr);
  // No retry mends what goes wrong now.
  void make_final() { result_.final = true; }
  void set_exit_code(int code) { result_.exit_code = code; }
  // What the agent says that the attempt cost; counted when the gateway metered nothing of it.
  void claim_cost(std::int64_t microusd) { result_.cost_microusd = microusd; }

  // Becomes the task's output, in place of $EZ_OUTPUT.
  void set_output(Value output) { given_output_ = std::move(output); }
  // Stored and reported, also when the attempt fails; a file of the same name that the task made stays as
  // it is, and this one gets a prefix.
  [[nodiscard]] Status add_artifact(const std::string& name, const std::string& path);

 private:
  void succeed();
  void fail(const Error& error);
  [[nodiscard]] Status prepare_and_run(Body& body);
  [[nodiscard]] Status check(Body& body);
  [[nodiscard]] Status write_inputs() const;
  [[nodiscard]] Status read_output();
  [[nodiscard]] Status keep_output(const Value& value);
  void finish_workspace();

  const AttemptPorts ports_;
  const WorkItem& item_;
  LogSpool& log_;
  const CancelToken& cancel_;
  const std::chrono::steady_clock::time_point began_;
  std::optional<Workspace> workspace_;
  TaskResult result_;
  std::optional<Value> given_output_;
  std::vector<SandboxMount> shown_;
  std::vector<std::pair<std::string, std::string>> variables_;
  std::vector<ArtifactRef> kept_;  // of add_artifact()
  bool disk_overrun_ = false;      // what is in the workspace then is not committed
};

// One item to its result, with its log. Never throws, always gives a result of this item; what went wrong is
// in its error.
[[nodiscard]] TaskResult run_item(const AttemptPorts& ports, const WorkItem& item, LogPort& log,
                                  const CancelToken& cancel, Attempt::Body& body);
// The same with a body that is made for it; a final failure when there is none. Not for merges.
[[nodiscard]] TaskResult run_made(const AttemptPorts& ports, const WorkItem& item, LogPort& log,
                                  const CancelToken& cancel, const Attempt::MakeBody& bodies);
// The same for a merge.
[[nodiscard]] TaskResult run_merge(const AttemptPorts& ports, const WorkItem& item, LogPort& log,
                                   const CancelToken& cancel, const Attempt::MakeBody& bodies);
// The check of a merge item (merge.verify) on a clean tree of `commit`, in the place and with the variables
// that it had when it was merged. Succeeded, or VERIFY_FAILED and what else may end a command.
[[nodiscard]] TaskResult recheck_item(const AttemptPorts& ports, const WorkItem& item,
                                      const std::string& commit, LogPort& log, const CancelToken& cancel);

}  // namespace ez::agents
