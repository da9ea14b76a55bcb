// Runs one work item to its result: a command-line coding agent (`runner: cli` in agents.yaml) in the
// sandbox.
//
// It is started in the place that attempt.h describes, without input and terminal, with what its type says:
// words, variables and files with placeholders (orchestration/agent_types_cli.h). Its models it reaches
// through a door (gateway_door.h) at the server's gateway, with a key that ends with the lease; everything
// else of the network is as the task's sandbox has it: none. The key is taken out of whatever it prints.
//
// Its end: it exits, or it has said that it is done (cli_events.h) and lives on for more than `linger`: then
// its processes are stopped and the attempt counts as finished. Nothing printed for `silence`: AGENT_SILENT.
// What it says of its success decides nothing: a task that changes a repository needs a `verify`
// (VERIFY_MISSING), which runs afterwards as for any task, and whose findings it is started with again,
// limits.checks times.
//
// What it says that it used is compared with what the gateway counted; both, and whether they differ, stand
// in the log and at the end of transcript.jsonl. The gateway's figures are the cost; the agent's claim counts
// only where the gateway counted nothing.
//
// Threads: run() blocks; any number of threads at once. Cancelling the token ends it soon, at any point.
#pragma once

#include "agents/attempt.h"
#include "agents/web_port.h"
#include "orchestration/agent_types.h"

namespace ez::agents {

class CliRunner {
 public:
  // All outlive the runner.
  CliRunner(const AttemptPorts& ports, WebPort& web, const orchestration::AgentTypes& types)
      : ports_(ports), web_(web), types_(types) {}

  // Never throws, always gives a result of this item; what went wrong is in its error.
  [[nodiscard]] TaskResult run(const WorkItem& item, LogPort& log, const CancelToken& cancel);
  // What the program of the item's agent type does, as the guest of a merge. AGENT_TYPE_UNKNOWN.
  [[nodiscard]] Result<std::unique_ptr<Attempt::Body>> body_of(const WorkItem& item);

 private:
  class Body;
  const AttemptPorts ports_;
  WebPort& web_;
  const orchestration::AgentTypes& types_;
};

// Where the sandbox finds programs: of each folder of `shown` itself, its `bin` and its `node_modules/.bin`,
// then `rest`.
[[nodiscard]] std::string cli_search_path(const std::vector<std::string>& shown, const std::string& rest);
// The program of a cli type as the sandbox will see it. AGENT_PROGRAM_MISSING.
[[nodiscard]] Result<std::string> find_cli_program(const orchestration::AgentType& type,
                                                   const Sandbox& sandbox);

}  // namespace ez::agents
