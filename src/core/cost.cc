#include "core/cost.h"

namespace ez::core {

void CostSum::add(const CostSum& other) {
  calls += other.calls;
  failed += other.failed;
  input_tokens += other.input_tokens;
  cache_read_tokens += other.cache_read_tokens;
  cache_write_tokens += other.cache_write_tokens;
  output_tokens += other.output_tokens;
  microusd += other.microusd;
}

void add_cost_line(CostTable& table, std::size_t limit, CostKey key, const CostSum& sum) {
  auto found = table.find(key);
  if (found == table.end()) {
    if (table.size() >= limit) {
      CostKey rest;
      rest.model = "other";
      rest.source = key.source;
      rest.replayed = key.replayed;
      key = std::move(rest);
    }
    found = table.try_emplace(std::move(key)).first;
  }
  found->second.add(sum);
}

std::string_view to_text(CostSource source) {
  switch (source) {
    case CostSource::kGateway:
      return "gateway";
    case CostSource::kAgent:
      return "agent";
    case CostSource::kChild:
      return "child";
    default:
      return "unsettled";
  }
}

}  // namespace ez::core
