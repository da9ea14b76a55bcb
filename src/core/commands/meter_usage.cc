#include "core/budget.h"
#include "core/commands/command.h"

namespace ez::core {
namespace {

constexpr std::size_t kMaxNameBytes = 128;

std::string bounded(const std::string& text) { return text.substr(0, kMaxNameBytes); }

// A live run has the lease; what comes later was counted as spent when the lease or the run ended.
Lease* live(State& state, std::uint64_t fence) {
  const auto found = state.leases.find(Fence{fence});
  if (found == state.leases.end() || state.find_run(found->second.run) == nullptr) return nullptr;
  return &found->second;
}

}  // namespace

void apply_meter_usage(Context& context, const pb::MeterUsage& command) {
  State& state = context.state;
  for (const pb::MeterUsage::Row& row : command.rows()) {
    CostKey key;
    key.provider = bounded(row.provider());
    key.model = bounded(row.model());
    key.key = bounded(row.key());
    key.replayed = row.replayed();
    const CostSum sum{row.calls(),
                      row.failed(),
                      row.input_tokens(),
                      row.cache_read_tokens(),
                      row.cache_write_tokens(),
                      row.output_tokens(),
                      row.cost_microusd()};
    if (row.fence() == 0) {
      key.name_space = bounded(row.namespace_());
      add_cost_line(state.cost_totals, kMaxCostTotals, std::move(key), sum);
      continue;
    }
    Lease* lease = live(state, row.fence());
    if (lease == nullptr) continue;
    Run& run = *state.write_run(lease->run);
    meter_usage(context, run, *lease, std::move(key), sum);
    settle(context, run);  // nothing may be left for what waits
  }
  for (const pb::MeterUsage::Return& given : command.returns()) {
    if (Lease* lease = live(state, given.fence())) return_allowance(state, *lease, given.microusd());
  }
}

}  // namespace ez::core
