// What the commands of schedules share.
#pragma once

#include <string>

#include "base/value.h"
#include "cli/session.h"

namespace ez::cli {

// "/v1/schedules/NAME" and what follows.
[[nodiscard]] std::string schedule_target(const Arguments& arguments, std::string_view rest = "");
// The schedule for people: what it starts and when, why it does what it does, what it did.
[[nodiscard]] std::string schedule_text(const Value& view);
// The instants of "next", a line each.
[[nodiscard]] std::string next_text(const Value& view);

}  // namespace ez::cli
