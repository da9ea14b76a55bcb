// Times as people and other systems write them: RFC 3339, section 5.6.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ez {

// "2026-11-22T16:48:00Z", "2026-11-22T16:48:00.250+01:00": milliseconds since 1970-01-01 UTC. The date is
// checked against the calendar; digits of a second beyond the third are dropped; a leap second (":60") counts
// as the second after it. nullopt for anything else, also for a time without an offset.
[[nodiscard]] std::optional<std::int64_t> parse_rfc3339(std::string_view text);

}  // namespace ez
