// Runs one work item to its result: the built-in coding agent. A model works on the task with the tools of
// file_tools.h and command_tool.h, in the place that attempt.h describes, until it calls `finish`; then
// `verify` runs, and what it finds is given back to the model, limits.checks times.
//
// The loop itself (loop.h) runs in the worker; commands run in the sandbox; models are asked through the
// gateway that the work item names, with a key that ends with the lease. What the calls cost is the gateway's
// to report: the result claims nothing.
//
// Kept: the model's words and its commands' output in the task's log, and everything as the artifact
// transcript.jsonl, also when the attempt fails.
//
// Threads: run() blocks; any number of threads at once. Cancelling the token ends it soon, at any point.
#pragma once

#include "agents/attempt.h"
#include "agents/web_port.h"
#include "orchestration/agent_types.h"

namespace ez::agents {

inline constexpr std::string_view kTranscriptName = "transcript.jsonl";
inline constexpr int kBrokenStreams = 2;  // in a row that are asked again

class LlmRunner {
 public:
  // All outlive the runner.
  LlmRunner(const AttemptPorts& ports, WebPort& web, const orchestration::AgentTypes& types)
      : ports_(ports), web_(web), types_(types) {}

  // What does the work of an item of a type that asks a model; for resolvers too. AGENT_TYPE_UNKNOWN.
  [[nodiscard]] Result<std::unique_ptr<Attempt::Body>> body_of(const WorkItem& item);

  // Never throws, always gives a result of this item; what went wrong is in its error. Not for merges.
  [[nodiscard]] TaskResult run(const WorkItem& item, LogPort& log, const CancelToken& cancel);

 private:
  class Body;
  const AttemptPorts ports_;
  WebPort& web_;
  const orchestration::AgentTypes& types_;
};

}  // namespace ez::agents
