// Runs one work item to its result: the exec agent.
//
// Execute: `run_command` with `bash -eo pipefail` (or `sh -e` where there is no bash) in the place that
// attempt.h describes, then `verify` the same way. Merge: see workspace.h; `merge.verify` runs on the merged
// tree; what does not merge goes to the item's resolver, when it has one (resolver.h).
//
// Threads: run() blocks; any number of threads at once. Cancelling the token ends the work soon, with outcome
// cancelled.
#pragma once

#include "agents/attempt.h"

namespace ez::agents {

class ExecRunner {
 public:
  // All outlive the runner. `bodies` makes the bodies of resolvers of other types than exec.
  ExecRunner(const Sandbox& sandbox, WorkspaceManager& workspaces, ArtifactPort& artifacts,
             Attempt::MakeBody bodies = {})
      : ports_{sandbox, workspaces, artifacts}, bodies_(std::move(bodies)) {}

  // Never throws, always gives a result of this item; what went wrong is in its error.
  [[nodiscard]] TaskResult run(const WorkItem& item, LogPort& log, const CancelToken& cancel);

 private:
  const AttemptPorts ports_;
  const Attempt::MakeBody bodies_;
};

}  // namespace ez::agents
