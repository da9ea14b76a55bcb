// What a person has to settle: the conflict of a task and what its resolver tried.
#pragma once

#include <string>

#include "base/value.h"

namespace ez::cli {

inline constexpr std::size_t kMaxConflictLines = 200;  // shown

// Of a task or an approval as the API shows it; "" when there is nothing to say. Lines begin with `indent`.
[[nodiscard]] std::string conflict_text(const Value& view, const std::string& indent);

}  // namespace ez::cli
