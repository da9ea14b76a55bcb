// What runs cost and for what: lines by task, agent, model and key. The lines of a run add up to its cost,
// the totals of the server to the costs of all its runs since it began to keep them.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>

namespace ez::core {

// Who says so.
enum class CostSource : std::uint8_t {
  kGateway,    // the model gateway metered it
  kAgent,      // the agent claimed it; its calls did not go through the gateway
  kUnsettled,  // set aside and lost sight of (a crash, a lost agent): counted as spent
  kChild,      // a run that the task had started; its id stands as the model
};

inline constexpr std::uint32_t kNoTask = UINT32_MAX;

struct CostKey {
  std::uint32_t task = kNoTask;  // index in the run
  std::string name_space;        // in the totals only
  std::string agent;             // its name
  std::string provider;
  std::string model;
  std::string key;  // the label of the provider's key, never the key itself
  CostSource source = CostSource::kGateway;
  bool replayed = false;  // answered from a cassette: costs nothing
  auto operator<=>(const CostKey&) const = default;
};

struct CostSum {
  std::uint64_t calls = 0;
  std::uint64_t failed = 0;
  std::uint64_t input_tokens = 0;  // without those of the cache
  std::uint64_t cache_read_tokens = 0;
  std::uint64_t cache_write_tokens = 0;
  std::uint64_t output_tokens = 0;
  std::int64_t microusd = 0;
  void add(const CostSum& other);
};

using CostTable = std::map<CostKey, CostSum>;

// A table that has so many lines adds further ones to one line of the model "other".
inline constexpr std::size_t kMaxRunCosts = 20'000;
inline constexpr std::size_t kMaxCostTotals = 2'000;

void add_cost_line(CostTable& table, std::size_t limit, CostKey key, const CostSum& sum);

// "gateway", "agent", "unsettled", "child".
[[nodiscard]] std::string_view to_text(CostSource source);

}  // namespace ez::core
