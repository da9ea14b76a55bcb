// One event as one line. Private to this room; pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "telemetry/log.h"

namespace ez::telemetry {

struct LineLimits {
  std::size_t max_value_bytes;
  std::size_t max_line_bytes;
};

// The line with its final newline, redacted and within its limits. Fields that do not fit any more are left
// out, and the line then has the field truncated=true.
[[nodiscard]] std::string format_line(LogFormat format, const LineLimits& limits, const Redactor& redactor,
                                      std::int64_t now_ms, Level level, std::string_view component,
                                      std::string_view message, std::span<const Field> fields);

}  // namespace ez::telemetry
