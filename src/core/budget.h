// Money of a run: reserve, then settle. What an attempt may cost at most is set aside before it may start, so
// that attempts side by side never spend more than the run has.
//
// A task's reserve is its own `budget`; without one, nothing for agents of the type exec, and for all others
// everything that is left, so that such an attempt runs alone among those that cost something. The reserve
// belongs to the task while it is ready and to its lease afterwards, until the agent answers or is lost.
#pragma once

#include <cstdint>
#include <string>

#include "core/progress.h"

namespace ez::core {

// In Lease::reserve_microusd: the attempt may cost what it will.
inline constexpr std::int64_t kNoReserve = -1;
// In Task::held: it has its reserve.
inline constexpr std::uint8_t kBudgetBit = 4;
// Run::warned, a bit each.
inline constexpr std::uint8_t kCostWarned = 1;
inline constexpr std::uint8_t kDeadlineWarned = 2;

// Whether the task stands in the line of its run's budget when the money does not suffice.
[[nodiscard]] bool needs_reserve(const Run& run, const Task& task);
// The throttle whose line that is.
[[nodiscard]] std::string budget_key(RunId run);
// Whether what is left suffices for the task's reserve.
[[nodiscard]] bool reserve_fits(const Run& run, const Task& task);
void take_reserve(Run& run, Task& task);
void drop_reserve(Run& run, Task& task);
// The task was leased: its reserve moves to the lease.
[[nodiscard]] std::int64_t move_reserve(const Run& run, Task& task);

// The model gateway takes part of the lease's reserve in advance, meters what calls cost, and gives back what
// it does not use (commands draw_allowance and meter_usage). A metered lease's own claim is not counted.
//
// Takes as much of `want` as fits; nothing when `need` does not.
// A merge begins with nothing set aside, since few need a resolver. What its resolver asks for is lent out of
// what is free of the run's budget, past those who stand in line, up to the resolver's own budget; what it
// does not spend is free again when the lease ends.
[[nodiscard]] std::int64_t draw_allowance(State& state, Run& run, Lease& lease, std::int64_t need,
                                          std::int64_t want);
// What the lease may still cost, with what could be lent; -1: no limit.
[[nodiscard]] std::int64_t may_cost(const Run& run, const Lease& lease);
// `sum.microusd` is spent, at most what is open.
void meter_usage(Context& context, Run& run, Lease& lease, CostKey key, CostSum sum);
void return_allowance(State& state, Lease& lease, std::int64_t microusd);
// What is open of the lease's allowance counts as spent.
void forfeit_allowance(Context& context, Run& run, Lease& lease);
// The same for all leases of a run that ends.
void forfeit_allowances(Context& context, Run& run);

// The attempt behind the lease is over and said what it cost. Gives what of it exceeds the lease's reserve,
// which is not counted: a run's cost stays within its budget whatever an agent claims.
std::int64_t settle_reserve(Context& context, Run& run, Lease lease, std::int64_t spent_microusd);
// It ended without saying: what may have been spent counts as spent.
void forfeit_reserve(Context& context, Run& run, Lease lease);

// A run that this task had started has cost so much.
void add_child_cost(Context& context, Run& run, std::uint32_t task, RunId child, std::int64_t microusd);

// Warns once when cost has passed the run's mark.
void warn_of_cost(Context& context, Run& run);
// When somebody stands in the line and nothing that is under way could free a reserve: the run pauses or
// fails, as its workflow says.
void check_budget(Context& context, Run& run);

// "$12.50".
[[nodiscard]] std::string dollars(std::int64_t microusd);

}  // namespace ez::core
