// validate: was each merged task of a finished run really done?
#include "base/ids.h"
#include "cli/commands/commands.h"
#include "cli/run_checks.h"

namespace ez::cli {
namespace {

Result<int> validate(Session& session, const Arguments& arguments) {
  const std::string run = arguments.text("RUN");
  if (!parse_run_id(run)) {
    return Error(Code::InvalidArgument, "'" + run + "' is no run",
                 "A run is named like r12; `ez workflow validate FILE` checks a workflow file.");
  }
  return check_run(session, arguments, run, RunCheck::kValidate);
}

}  // namespace

Command validate_command() {
  std::vector<OptionSpec> options = run_check_options();
  options.push_back({"--json", "", "as JSON"});
  return {"validate",
          "Repeat the check of each merged task of a finished run, on the tree of its merge",
          "  ez validate r12\n  ez validate r12 --task build --verbose\n  ez validate r12 --json\n",
          std::move(options),
          {{"RUN", "the run, for example r12"}},
          true,
          validate};
}

}  // namespace ez::cli
