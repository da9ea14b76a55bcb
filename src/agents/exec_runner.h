// Runs one work item to its result: the exec agent.
//
// Execute: a workspace, the item's inputs, then `run_command` with `bash -eo pipefail` (or `sh -e` where
// there is no bash) in a sandbox, `verify` the same way, $EZ_OUTPUT and artifacts collected, and a commit on
// the attempt's branch. An attempt that fails keeps what it had written as a commit on its branch too. Merge:
// see workspace.h; `merge.verify` runs on the merged tree. Inside: /workspace (current directory), /home/ez,
// /tmp, /git (read-only), /ez/input.json, /ez/out/output.json, /ez/artifacts, /ez/dependencies, /ez/files.
// docs/guide/agents.md is the user's side of it.
//
// Time: start_to_close_ms bounds the whole item from the call of run(), after which the command gets SIGTERM,
// two seconds, SIGKILL. Threads: run() blocks; any number of threads at once. Cancelling the token ends the
// work soon, with outcome cancelled.
#pragma once

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
    30'000};  // for the rest of the log after the work is done

class ExecRunner {
 public:
  // All outlive the runner.
  ExecRunner(const Sandbox& sandbox, WorkspaceManager& workspaces, ArtifactPort& artifacts)
      : sandbox_(sandbox), workspaces_(workspaces), artifacts_(artifacts) {}

  // Never throws, always gives a result of this item; what went wrong is in its error.
  [[nodiscard]] TaskResult run(const WorkItem& item, LogPort& log, const CancelToken& cancel);

 private:
  class Job;
  const Sandbox& sandbox_;
  WorkspaceManager& workspaces_;
  ArtifactPort& artifacts_;
};

}  // namespace ez::agents
