#include "http/gateway/engine_bank.h"

#include "core/budget.h"

namespace ez::http {
namespace {

using core::Reply;

// A merge asks models only through a resolver.
bool may_ask(const core::Run& run, const core::Lease& lease) {
  if (!lease.merge) return true;
  const auto& resolver = run.definition_of(run.tasks[lease.task]).resolver;
  return resolver && resolver->agent.type != "exec";
}

models::LeaseInfo info_of(const core::State& state, const core::Run& run, const core::Lease& lease) {
  models::LeaseInfo info;
  info.fence = lease.fence;
  info.run = lease.run;
  info.task = lease.task_key;
  if (const auto agent = state.agents.find(lease.agent); agent != state.agents.end())
    info.agent = agent->second.name;
  const orchestration::Task& definition = run.definition_of(run.tasks[lease.task]);
  // While a task is merged, its key belongs to the resolver.
  const orchestration::AgentNeed& need =
      lease.merge && definition.resolver ? definition.resolver->agent : definition.agent;
  info.agent_type = need.type;
  info.models = need.models;
  info.name_space = run.workflow->namespace_name;
  info.limit_microusd = core::may_cost(run, lease);
  info.has_open = lease.open_microusd > 0;
  return info;
}

}  // namespace

void EngineBank::find(Fence fence, std::function<void(Result<models::LeaseInfo>)> found) {
  engine_.read([fence, found = std::move(found)](const core::State& state) {
    const auto lease = state.leases.find(fence);
    const core::Run* run = lease == state.leases.end() ? nullptr : state.find_run(lease->second.run);
    if (run == nullptr || lease->second.cancelled || !may_ask(*run, lease->second)) {
      return found(Error(Code::LeaseStale, "the lease of this key has ended"));
    }
    found(info_of(state, *run, lease->second));
  });
}

void EngineBank::draw(Fence fence, std::int64_t need, std::int64_t want, bool fresh,
                      std::function<void(Result<std::int64_t>)> drawn) {
  core::pb::Command command;
  core::pb::DrawAllowance& draw = *command.mutable_draw_allowance();
  draw.set_fence(fence.value);
  draw.set_need_microusd(need);
  draw.set_want_microusd(want);
  draw.set_fresh(fresh);
  engine_.propose(std::move(command), [drawn = std::move(drawn)](Result<Reply> reply) {
    if (!reply.ok()) return drawn(reply.error());
    if (reply->error) return drawn(*reply->error);
    drawn(reply->microusd);
  });
}

void EngineBank::record(models::UsageBatch batch, std::function<void(const Status&)> done) {
  core::pb::Command command;
  core::pb::MeterUsage& meter = *command.mutable_meter_usage();
  for (const models::UsageRow& row : batch.rows) {
    core::pb::MeterUsage::Row& out = *meter.add_rows();
    out.set_fence(row.fence.value);
    if (!row.fence.valid()) out.set_namespace_(row.name_space);
    out.set_provider(row.key.provider);
    out.set_model(row.key.model);
    out.set_key(row.key.key);
    out.set_replayed(row.key.replayed);
    out.set_calls(row.sum.calls);
    out.set_failed(row.sum.failed);
    out.set_input_tokens(row.sum.input_tokens);
    out.set_cache_read_tokens(row.sum.cache_read_tokens);
    out.set_cache_write_tokens(row.sum.cache_write_tokens);
    out.set_output_tokens(row.sum.output_tokens);
    out.set_cost_microusd(row.sum.microusd);
  }
  for (const models::AllowanceReturn& given : batch.returns) {
    core::pb::MeterUsage::Return& out = *meter.add_returns();
    out.set_fence(given.fence.value);
    out.set_microusd(given.microusd);
  }
  engine_.propose(std::move(command), [done = std::move(done)](const Result<Reply>& reply) {
    done(reply.ok() ? Status() : Status(reply.error()));
  });
}

}  // namespace ez::http
