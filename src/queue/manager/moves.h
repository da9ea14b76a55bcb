// Moves: what `ez queue migrate` changed of the routes that the configuration names. They are kept in the
// queue's log and applied over the configuration at each start; when the configuration itself says what they
// say, they change nothing and are forgotten. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "queue/manager/config.h"

namespace ez::queue {

inline constexpr std::size_t kMaxMoves = 64;

struct Move {
  std::string from;  // names of backends, or `embedded`
  std::string to;
  std::string topic;       // a pattern; empty: every topic
  std::int64_t at_ms = 0;  // wall time
  bool operator==(const Move&) const = default;
};

// A route as it is in force.
struct RouteRule {
  RouteConfig config;
  std::vector<std::string> within;  // patterns that a topic has to match too
  std::size_t origin = 0;           // its index in the configuration
  bool held = false;                // messages are being moved: nothing goes to a broker meanwhile
  bool operator==(const RouteRule&) const = default;
};

[[nodiscard]] bool covers(const RouteRule& rule, std::string_view topic);
[[nodiscard]] std::string name_of(const RouteRule& rule);  // a pattern; # for the rest

// The rules in order, the first that covers a topic counts. `moving`: a move that is under way: topics of
// both its backends are held.
[[nodiscard]] std::vector<RouteRule> rules_of(const std::vector<RouteConfig>& routes,
                                              const std::vector<Move>& moves,
                                              const std::optional<Move>& moving);
// Without those that change nothing.
[[nodiscard]] std::vector<Move> that_matter(const std::vector<RouteConfig>& routes,
                                            const std::vector<Move>& moves);

// Whether some topic matches both patterns. Time: words times words.
[[nodiscard]] bool overlap(std::string_view one, std::string_view other);

// A move that is under way, and those that were made: what is kept in the log.
struct MoveRecord {
  enum class Phase : std::uint8_t { kNone, kCopying, kRemoving };
  std::vector<Move> made;
  Phase phase = Phase::kNone;
  Move current;  // unless kNone
  bool operator==(const MoveRecord&) const = default;
};
[[nodiscard]] std::string write_moves(const MoveRecord& record);
[[nodiscard]] MoveRecord read_moves(const std::string& text);  // what is not understood is left out

}  // namespace ez::queue
