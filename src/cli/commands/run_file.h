// What `ez run` does, for other commands that run a file that they made. Arguments are those of `ez run`.
#pragma once

#include "cli/session.h"

namespace ez::cli {

[[nodiscard]] Result<int> run_file(Session& session, const Arguments& arguments);

}  // namespace ez::cli
