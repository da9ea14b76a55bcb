// Compares what a command-line agent says that it used with what the model gateway counted for its attempt.
#pragma once

#include <optional>
#include <string>

#include "agents/cli/cli_events.h"
#include "agents/process.h"
#include "agents/web_port.h"
#include "agents/work_item.h"

namespace ez::agents {

struct GatewayUsage {
  std::int64_t calls = 0;
  std::int64_t failed_calls = 0;
  std::int64_t under_way = 0;
  CliUsage usage;
};

// GET {gateway}/v1/usage with the attempt's key, again for a moment while calls are under way (an agent that
// was stopped leaves some). Errors: those of the port, MODEL_KEY_REFUSED, MODEL_REPLY_INVALID.
[[nodiscard]] Result<GatewayUsage> ask_usage(WebPort& web, const WorkItem& item, const CancelToken& cancel);

// One line for people: both, and whether they differ in their tokens. Money is no part of that: an agent
// knows its vendor's prices, not ours.
[[nodiscard]] std::string compared(const std::optional<CliUsage>& agent, const GatewayUsage& gateway);
[[nodiscard]] bool differs(const CliUsage& agent, const GatewayUsage& gateway);
[[nodiscard]] Value usage_value(const CliUsage& usage);

}  // namespace ez::agents
