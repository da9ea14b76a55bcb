// What the commands of queues share.
#pragma once

#include <optional>
#include <string>

#include "cli/session.h"

namespace ez::cli {

// "/v1/queues/TOPIC/rest".
[[nodiscard]] std::string queue_target(std::string_view topic, std::string_view rest = "");
// A duration like 30s, in milliseconds; `fallback` when it is absent. INVALID_ARGUMENT.
[[nodiscard]] Result<std::int64_t> duration_of(const Arguments& arguments, std::string_view name,
                                               std::int64_t fallback);
// One message for people: id, key, attempt, payload.
[[nodiscard]] std::string message_line(const Value& message);

}  // namespace ez::cli
