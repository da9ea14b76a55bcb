// The money that the model gateway draws in advance: never more than a lease may cost, nothing lost, nothing
// counted twice.
#include "core/budget.h"
#include "core/test_world.h"
#include "core/view.h"

namespace ez::core {
namespace {

constexpr std::int64_t kDollar = 1'000'000;

class Allowance : public ::testing::Test {
 protected:
  void begin(const std::string& budget, std::int64_t task_usd = 6) {
    const std::string own = task_usd == 0 ? "" : ", budget: {cost_usd: " + std::to_string(task_usd) + "}";
    world.workflow("name: w\n" + budget +
                   "tasks:\n  - {id: a, agent: {type: claude}, prompt: x, retry: {max_attempts: 1}" + own +
                   "}\n  - {id: b, agent: {type: claude}, prompt: x, dependencies: [a]}\n");
    agent = world.agent("one", 100, "claude");
    run = world.start("w");
    lease = world.assign(agent, run, {"a"}).at(0);
  }
  Reply draw(std::int64_t need, std::int64_t want = 0, bool fresh = false) {
    pb::Command command;
    auto* body = command.mutable_draw_allowance();
    body->set_fence(lease.fence.value);
    body->set_need_microusd(need);
    body->set_want_microusd(want);
    body->set_fresh(fresh);
    return world.send(std::move(command));
  }
  void meter(std::int64_t cost, std::int64_t give_back = 0, const std::string& model = "m") {
    pb::Command command;
    auto* row = command.mutable_meter_usage()->add_rows();
    row->set_fence(lease.fence.value);
    row->set_provider("p");
    row->set_model(model);
    row->set_key("p-1");
    row->set_calls(1);
    row->set_input_tokens(10);
    row->set_output_tokens(5);
    row->set_cost_microusd(cost);
    if (give_back > 0) {
      auto* given = command.mutable_meter_usage()->add_returns();
      given->set_fence(lease.fence.value);
      given->set_microusd(give_back);
    }
    world.send(std::move(command));
  }
  void report(std::int64_t claimed) {
    pb::ReportResult result;
    result.set_outcome(pb::ReportResult::SUCCEEDED);
    result.set_cost_microusd(claimed);
    world.report(lease, result);
  }
  [[nodiscard]] const core::Run& now() const { return world.run(run); }
  [[nodiscard]] std::int64_t cost_of(CostSource source) const {
    std::int64_t sum = 0;
    if (!now().costs) return 0;
    for (const auto& [key, line] : *now().costs) {
      if (key.source == source) sum += line.microusd;
    }
    return sum;
  }

  TestWorld world;
  AgentId agent;
  RunId run;
  Lease lease;
};

TEST_F(Allowance, ItIsTakenOutOfWhatTheLeaseMayCostAndNeverMore) {
  begin("budget: {cost_usd: 10}\n");
  EXPECT_EQ(draw(kDollar, 4 * kDollar).microusd, 4 * kDollar);
  EXPECT_EQ(draw(kDollar, 4 * kDollar).microusd, 2 * kDollar);  // as much as there is
  const Reply refused = draw(1);
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->code(), Code::BudgetExceeded);
  EXPECT_EQ(now().cost_microusd, 0);
  EXPECT_EQ(now().reserved_microusd, 6 * kDollar);
}

TEST_F(Allowance, WhatIsMeteredIsSpentAtOnceAndTheClaimOfTheAgentIsNotCounted) {
  begin("budget: {cost_usd: 10}\n");
  (void)draw(kDollar, 2 * kDollar);
  meter(kDollar / 2);
  EXPECT_EQ(now().cost_microusd, kDollar / 2);
  EXPECT_EQ(now().reserved_microusd, 6 * kDollar - kDollar / 2);
  meter(kDollar / 4, 5 * kDollar / 4, "n");
  report(5 * kDollar);
  EXPECT_EQ(now().cost_microusd, 3 * kDollar / 4);
  EXPECT_EQ(cost_of(CostSource::kAgent), 0);
  EXPECT_EQ(cost_of(CostSource::kGateway), 3 * kDollar / 4);
  EXPECT_EQ(cost_of(CostSource::kUnsettled), 0);
  // Task b has no budget of its own: it sets aside all that is left.
  EXPECT_EQ(now().reserved_microusd, 10 * kDollar - 3 * kDollar / 4);
}

TEST_F(Allowance, WhatIsOpenWhenTheLeaseEndsCountsAsSpent) {
  begin("budget: {cost_usd: 10}\n");
  (void)draw(kDollar, 2 * kDollar);
  meter(kDollar / 2);
  report(0);
  EXPECT_EQ(now().cost_microusd, 2 * kDollar);
  EXPECT_EQ(cost_of(CostSource::kUnsettled), 3 * kDollar / 2);
  meter(kDollar / 4);  // too late: it was counted
  EXPECT_EQ(now().cost_microusd, 2 * kDollar);
}

TEST_F(Allowance, ALostAgentCostsWhatWasMeteredAndWhatIsOpenNotItsWholeReserve) {
  begin("budget: {cost_usd: 10}\n");
  (void)draw(kDollar);
  meter(kDollar / 4);
  pb::Command command;
  command.mutable_expire_leases()->add_fences(lease.fence.value);
  world.send(std::move(command));
  EXPECT_EQ(now().cost_microusd, kDollar);
  EXPECT_EQ(cost_of(CostSource::kUnsettled), 3 * kDollar / 4);
}

TEST_F(Allowance, AGatewayThatForgotStartsAfresh) {
  begin("budget: {cost_usd: 10}\n");
  (void)draw(kDollar, 2 * kDollar);
  world.reread();
  EXPECT_EQ(draw(kDollar, kDollar, true).microusd, kDollar);
  EXPECT_EQ(now().cost_microusd, 2 * kDollar);
  meter(kDollar, 0);
  report(0);
  EXPECT_EQ(now().cost_microusd, 3 * kDollar);
}

TEST_F(Allowance, ARunThatEndsCountsWhatIsOpen) {
  begin("budget: {cost_usd: 10}\n");
  (void)draw(kDollar, 2 * kDollar);
  meter(kDollar / 2);
  EXPECT_FALSE(world.control(run, pb::ControlRun::CANCEL).error);
  EXPECT_EQ(now().state, RunState::kCancelled);
  EXPECT_EQ(now().cost_microusd, 2 * kDollar);
  meter(kDollar);
  EXPECT_EQ(draw(1).error->code(), Code::LeaseStale);
  report(kDollar);
  EXPECT_EQ(now().cost_microusd, 2 * kDollar);
  std::int64_t total = 0;
  for (const auto& [key, sum] : world.state.cost_totals) total += sum.microusd;
  EXPECT_EQ(total, 2 * kDollar);
}

TEST_F(Allowance, AnUpstreamThatClaimsMoreThanIsOpenIsNotBelieved) {
  begin("budget: {cost_usd: 10}\n");
  (void)draw(kDollar);
  meter(100 * kDollar);
  EXPECT_EQ(now().cost_microusd, kDollar);
}

TEST_F(Allowance, WithoutABudgetItIsOnlyCounted) {
  begin("", 0);
  EXPECT_EQ(lease.reserve_microusd, kNoReserve);
  EXPECT_EQ(draw(kDollar, 50 * kDollar).microusd, 50 * kDollar);
  meter(3 * kDollar, 47 * kDollar);
  world.reread();
  report(9 * kDollar);
  EXPECT_EQ(now().cost_microusd, 3 * kDollar);
  const Value view = costs_view(now());
  EXPECT_EQ(view.int_or("cost_microusd", 0), 3 * kDollar);
  EXPECT_EQ(view.int_or("calls", 0), 1);
  EXPECT_EQ(view.find("items")->as_list().at(0).string_or("task", ""), "a");
  EXPECT_EQ(view.find("items")->as_list().at(0).string_or("agent", ""), "one");
}

TEST_F(Allowance, ATableThatIsFullStillAddsUp) {
  CostTable table;
  for (int i = 0; i < 10; ++i) {
    CostKey key;
    key.model = "m" + std::to_string(i);
    CostSum sum;
    sum.microusd = 1;
    add_cost_line(table, 4, key, sum);
  }
  std::int64_t sum = 0;
  for (const auto& [key, line] : table) sum += line.microusd;
  EXPECT_EQ(sum, 10);
  EXPECT_EQ(table.size(), 5U);
}

}  // namespace
}  // namespace ez::core
