// `ez validate RUN` and `ez test RUN`: the checks of a finished run once more, in sandboxes on this machine,
// with the repository that is here.
//
// validate asks of each merged task: was it really done? Its `verify` runs on the tree of its own merge, and
// that merge has to be part of the run's branch. test asks of the whole: does what the run made pass all of
// its checks together? Every `verify` runs on the tree of one commit, by default the head of the run's
// branch. Either way each check has a clean workspace of its own and the variables and files that it had
// before.
//
// Nothing in the repository is changed. One check at a time; what each printed is kept at most at its end.
#pragma once

#include "base/result.h"
#include "cli/session.h"

namespace ez::cli {

enum class RunCheck { kValidate, kTest };

// The options that both have.
[[nodiscard]] std::vector<OptionSpec> run_check_options();

// 0 when every check passed, 1 when one failed or a merge is missing, 130 when a signal came. Errors:
// WRONG_STATE (the run is not over), NOTHING_TO_CHECK, TASK_NOT_FOUND, REPOSITORY_INVALID, GIT_FAILED, and
// what keeps this machine from running checks at all (SANDBOX_UNAVAILABLE, WORKSPACE_BUDGET, IO_FAILED …).
[[nodiscard]] Result<int> check_run(Session& session, const Arguments& arguments, const std::string& run,
                                    RunCheck what);

}  // namespace ez::cli
