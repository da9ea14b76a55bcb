#include "base/ids.h"

#include <charconv>

namespace ez {
namespace {

constexpr int kShardShift = 48;

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == 0) return std::nullopt;
  return value;
}

}  // namespace

std::string to_text(RunId id) {
  const std::uint64_t shard = id.value >> kShardShift;
  const std::uint64_t number = id.value & ((1ULL << kShardShift) - 1);
  return shard == 0 ? "r" + std::to_string(number)
                    : "r" + std::to_string(shard) + "-" + std::to_string(number);
}

std::string to_text(AgentId id) { return "a" + std::to_string(id.value); }

std::optional<RunId> parse_run_id(std::string_view text) {
  if (text.size() < 2 || text[0] != 'r') return std::nullopt;
  text.remove_prefix(1);
  std::uint64_t shard = 0;
  if (const auto dash = text.find('-'); dash != std::string_view::npos) {
    const auto parsed = parse_number(text.substr(0, dash));
    if (!parsed || *parsed >= (1ULL << 16)) return std::nullopt;
    shard = *parsed;
    text.remove_prefix(dash + 1);
  }
  const auto number = parse_number(text);
  if (!number || (*number >> kShardShift) != 0) return std::nullopt;
  return RunId{(shard << kShardShift) | *number};
}

std::optional<AgentId> parse_agent_id(std::string_view text) {
  if (text.size() < 2 || text[0] != 'a') return std::nullopt;
  const auto number = parse_number(text.substr(1));
  if (!number) return std::nullopt;
  return AgentId{*number};
}

}  // namespace ez
