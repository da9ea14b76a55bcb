#include "cli/follow.h"

#include "cli/commands/commands.h"

namespace ez::cli {
namespace {

Result<int> run_follow(Session& session, const Arguments& arguments) {
  EZ_ASSIGN(const auto api, session.connect(arguments));
  EZ_ASSIGN(const Followed end, follow_run(session, *api, arguments.text("RUN"), follow_choice(arguments)));
  if (end.interrupted) return kExitInterrupted;
  return end.state == "succeeded" ? kExitOk : kExitNegative;
}

}  // namespace

Command follow_command() {
  return {"follow",
          "Watch a run until it is over",
          "  ez follow r12\n  ez follow r12 --plain > run.log\n",
          {{"--approve", "", "answer approvals with yes, without asking"},
           {"--plain", "", "one line a change instead of the live view"},
           {"--json", "", "nothing until the end, then the run as JSON"}},
          {{"RUN", "the run, for example r12"}},
          true,
          run_follow};
}

}  // namespace ez::cli
