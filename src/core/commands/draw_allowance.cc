#include "core/budget.h"
#include "core/commands/command.h"

namespace ez::core {

void apply_draw_allowance(Context& context, const pb::DrawAllowance& command) {
  State& state = context.state;
  Reply& reply = context.effects.reply;
  const auto found = state.leases.find(Fence{command.fence()});
  if (found == state.leases.end() || found->second.cancelled) {
    reply.error = Error(Code::LeaseStale, "the lease " + std::to_string(command.fence()) + " has ended");
    return;
  }
  if (command.need_microusd() <= 0) {
    reply.error = Error(Code::InvalidArgument, "an allowance is more than nothing");
    return;
  }
  Lease& lease = found->second;
  reply.run = lease.run;
  Run& run = *state.write_run(lease.run);
  if (command.fresh()) forfeit_allowance(context, run, lease);
  reply.microusd = draw_allowance(state, run, lease, command.need_microusd(), command.want_microusd());
  if (reply.microusd == 0) {
    const std::int64_t left = may_cost(run, lease) - lease.open_microusd;
    reply.error = Error(Code::BudgetExceeded, "the next call may cost " + dollars(command.need_microusd()) +
                                                  ", of what task " + lease.task_key + " of " +
                                                  to_text(lease.run) + " may cost only " +
                                                  dollars(std::max<std::int64_t>(left, 0)) + " are free");
  }
  settle(context, run);
}

}  // namespace ez::core
