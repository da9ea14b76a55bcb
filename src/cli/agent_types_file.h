// The agent types of this machine: the built-in ones with a file of the user's over them.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "orchestration/agent_types.h"

namespace ez::cli {

// An empty path gives the built-in types. Errors: IO_FAILED, AGENT_TYPES_INVALID with every mistake of the
// file, each as "file:line:column: what".
[[nodiscard]] Result<orchestration::AgentTypes> load_agent_types(const std::string& path);

// The folders of --show: each absolute, there, and not everything. INVALID_ARGUMENT.
[[nodiscard]] Status check_shown(const std::vector<std::string>& folders);

}  // namespace ez::cli
