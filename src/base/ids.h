// Strong identifiers: values of different kinds never mix. Text forms are what users see and type.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ez {

template <typename Tag>
struct StrongId {
  std::uint64_t value = 0;
  auto operator<=>(const StrongId&) const = default;
  [[nodiscard]] bool valid() const { return value != 0; }
};

// A run: the number that the log gave it when it was started; 1 is the first. Text: r1, r2, … The upper 16
// bits are the shard (0 today), so that several logs can share the load later: r3-17 is run 17 of shard 3.
using RunId = StrongId<struct RunTag>;
// A registered agent. Text: a1, a2, …
using AgentId = StrongId<struct AgentTag>;
// Fencing token of a lease; grows with every lease of the log, so a late holder is always recognised.
using Fence = StrongId<struct FenceTag>;
// Position of a record in the log; 1 is the first.
using LogIndex = StrongId<struct LogIndexTag>;
// Epoch (term) of the log: a new leader has a larger one.
using Epoch = StrongId<struct EpochTag>;

[[nodiscard]] std::string to_text(RunId id);
[[nodiscard]] std::string to_text(AgentId id);
[[nodiscard]] std::optional<RunId> parse_run_id(std::string_view text);
[[nodiscard]] std::optional<AgentId> parse_agent_id(std::string_view text);

}  // namespace ez
