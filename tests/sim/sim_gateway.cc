// The model gateway of the simulated world: it draws allowances for leases, meters calls, gives money back,
// forgets what it drew, and says things late or of leases that are over.
#include "world.h"

namespace ez::sim {

void World::call_models(const SimAgent& agent) {
  if (agent.work.empty()) return;
  const core::Lease& lease = agent.work[random_.below(agent.work.size())];
  core::pb::Command command;
  if (random_.chance(1, 2)) {
    auto* draw = command.mutable_draw_allowance();
    draw->set_fence(lease.fence.value);
    draw->set_need_microusd(static_cast<std::int64_t>(1 + random_.below(12)));
    draw->set_want_microusd(static_cast<std::int64_t>(random_.below(40)));
    draw->set_fresh(random_.chance(1, 6));
    kernel_->propose(std::move(command), [this](const Result<core::Reply>& reply) {
      if (reply.ok() && !reply->error) ++tally_.draws;
    });
    return;
  }
  auto* meter = command.mutable_meter_usage();
  for (std::uint64_t i = random_.below(3); i-- > 0;) {
    auto* row = meter->add_rows();
    row->set_fence(random_.chance(1, 20) ? lease.fence.value + 1 : lease.fence.value);
    row->set_provider("provider");
    row->set_model("model-" + std::to_string(random_.below(3)));
    row->set_key("provider-1");
    row->set_calls(1);
    row->set_input_tokens(random_.below(1'000));
    // Sometimes more than was drawn: it is not believed.
    row->set_cost_microusd(static_cast<std::int64_t>(random_.below(10)));
  }
  if (random_.chance(1, 2)) {
    auto* given = meter->add_returns();
    given->set_fence(lease.fence.value);
    given->set_microusd(static_cast<std::int64_t>(random_.below(30)));
  }
  kernel_->propose(std::move(command), [](const Result<core::Reply>&) {});
}

}  // namespace ez::sim
