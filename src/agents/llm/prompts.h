// What a model is told: the system prompt of a type, and the task.
#pragma once

#include <string>

#include "agents/work_item.h"
#include "orchestration/agent_types.h"

namespace ez::agents {

inline constexpr std::size_t kMaxShownOutput = 8 * 1024;  // of one dependency's output, in the prompt

[[nodiscard]] std::string system_prompt(const orchestration::AgentTypes& types,
                                        const orchestration::AgentType& type);

// Who works with it: our own loop, or a program with tools of its own.
enum class PromptReader { kLoop, kProgram };

// The prompt with what belongs to it: inputs, the item of a for_each, results of earlier tasks, the check,
// and what is to be given back.
[[nodiscard]] std::string task_prompt(const WorkItem& item, PromptReader reader = PromptReader::kLoop);

// The user's turn after a check that failed.
[[nodiscard]] std::string check_prompt(const WorkItem& item, const Error& failure, const std::string& text);

}  // namespace ez::agents
