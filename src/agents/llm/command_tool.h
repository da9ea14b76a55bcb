// The tool run_command: a shell command in the sandbox of the attempt, with its limits. What it prints goes
// to the task's log as it comes and, shortened, to the model.
#pragma once

#include <chrono>

#include "agents/attempt.h"
#include "agents/llm/attempt_log.h"
#include "agents/llm/tool_box.h"

namespace ez::agents {

inline constexpr std::size_t kMaxCommandText = 32 * 1024;  // of its output, for the model

// `attempt` and `log` outlive the box. `longest` bounds one command; the model may ask for less.
[[nodiscard]] Status add_command_tool(ToolBox& box, Attempt& attempt, AttemptLog& log,
                                      std::chrono::milliseconds longest);

}  // namespace ez::agents
