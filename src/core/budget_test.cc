// Money of a run: never more than its budget, whatever agents claim and however they end.
#include "core/budget.h"
#include "core/test_world.h"

namespace ez::core {
namespace {

using enum TaskState;

constexpr std::int64_t kDollar = 1'000'000;

class Budget : public ::testing::Test {
 protected:
  RunId begin(const std::string& budget, const std::string& tasks) {
    world.workflow("name: w\nbudget: {" + budget + "}\ntasks:\n" + tasks);
    agent = world.agent("one", 100, "claude");
    run = world.start("w");
    return run;
  }
  Reply::Result report(const Lease& lease, std::int64_t cost,
                       pb::ReportResult::Outcome outcome = pb::ReportResult::SUCCEEDED) {
    pb::ReportResult result;
    result.set_outcome(outcome);
    result.set_cost_microusd(cost);
    return world.report(lease, result);
  }
  Lease assign(const std::string& task) { return world.assign(agent, run, {task}).at(0); }
  Reply raise(std::int64_t microusd, std::int64_t ms = 0) {
    pb::Command command;
    command.mutable_adjust_budget()->set_run(run.value);
    command.mutable_adjust_budget()->set_add_microusd(microusd);
    command.mutable_adjust_budget()->set_extend_ms(ms);
    return world.send(std::move(command));
  }
  [[nodiscard]] std::vector<RunNotice> notices() const {
    std::vector<RunNotice> out;
    for (const RunEvent& event : world.effects.events) {
      if (event.notice != RunNotice::kNone) out.push_back(event.notice);
    }
    return out;
  }
  [[nodiscard]] const core::Run& now() const { return world.run(run); }

  TestWorld world;
  AgentId agent;
  RunId run;
};

constexpr char kTwo[] =
    "  - {id: a, agent: {type: claude}, prompt: x, budget: {cost_usd: 6}, retry: {max_attempts: 1}}\n"
    "  - {id: b, agent: {type: claude}, prompt: x, budget: {cost_usd: 6}, retry: {max_attempts: 1}}\n";

TEST_F(Budget, WhatDoesNotFitWaitsForASettle) {
  begin("cost_usd: 10", kTwo);
  EXPECT_EQ(world.state_of(run, "a"), kReady);
  EXPECT_EQ(world.state_of(run, "b"), kThrottled);
  const Lease lease = assign("a");
  EXPECT_EQ(lease.reserve_microusd, 6 * kDollar);
  EXPECT_EQ(now().reserved_microusd, 6 * kDollar);
  report(lease, 3 * kDollar);
  EXPECT_EQ(now().cost_microusd, 3 * kDollar);
  EXPECT_EQ(world.state_of(run, "b"), kReady);
  report(assign("b"), kDollar);
  EXPECT_EQ(now().state, RunState::kSucceeded);
  EXPECT_EQ(now().cost_microusd, 4 * kDollar);
}

TEST_F(Budget, ItPausesWhenNothingCouldFreeMoneyAndGoesOnWhenItIsRaised) {
  begin("cost_usd: 10", kTwo);
  report(assign("a"), 5 * kDollar);
  EXPECT_EQ(now().state, RunState::kPaused);
  EXPECT_EQ(now().error.code, "BUDGET_EXCEEDED");
  EXPECT_EQ(world.state_of(run, "b"), kThrottled);
  EXPECT_EQ(notices(), std::vector{RunNotice::kBudgetExceeded});
  // Resuming alone does not help.
  EXPECT_FALSE(world.control(run, pb::ControlRun::RESUME).error);
  EXPECT_EQ(now().state, RunState::kPaused);
  EXPECT_FALSE(raise(kDollar).error);
  EXPECT_EQ(now().state, RunState::kRunning);
  EXPECT_EQ(now().error.code, "");
  report(assign("b"), 6 * kDollar);
  EXPECT_EQ(now().state, RunState::kSucceeded);
  EXPECT_EQ(now().cost_microusd, 11 * kDollar);
}

TEST_F(Budget, ItFailsWhenTheWorkflowSaysSo) {
  begin("cost_usd: 10, when_exceeded: fail", kTwo);
  report(assign("a"), 5 * kDollar);
  EXPECT_EQ(now().state, RunState::kFailed);
  EXPECT_EQ(now().error.code, "BUDGET_EXCEEDED");
  EXPECT_EQ(world.state_of(run, "b"), kCancelled);
}

TEST_F(Budget, AnAgentThatClaimsMoreThanItsReserveHasFailed) {
  begin("cost_usd: 10", kTwo);
  report(assign("a"), 7 * kDollar);
  EXPECT_EQ(now().cost_microusd, 6 * kDollar);
  EXPECT_EQ(world.state_of(run, "a"), kPaused);
  const core::Run& where = now();
  EXPECT_EQ(where.tasks[where.find("a")].get().error.code, "BUDGET_EXCEEDED");
  EXPECT_EQ(world.state.agents.at(agent).failed, 1U);
}

TEST_F(Budget, WithoutABudgetOfItsOwnATaskReservesAllThatIsLeftAndCommandsNothing) {
  begin("cost_usd: 10",
        "  - {id: a, agent: {type: claude}, prompt: x}\n  - {id: b, agent: {type: claude}, prompt: x}\n"
        "  - {id: c, run: x}\n");
  EXPECT_EQ(world.state_of(run, "b"), kThrottled);
  EXPECT_EQ(world.state_of(run, "c"), kReady);
  const Lease lease = assign("a");
  EXPECT_EQ(lease.reserve_microusd, 10 * kDollar);
  const AgentId exec = world.agent("two");
  const Lease command = world.assign(exec, run, {"c"}).at(0);
  EXPECT_EQ(command.reserve_microusd, 0);
  report(command, 1);
  EXPECT_EQ(now().cost_microusd, 0);
  EXPECT_EQ(world.state_of(run, "c"), kBackoff);
  report(lease, 4 * kDollar);
  EXPECT_EQ(world.state_of(run, "b"), kReady);
  EXPECT_EQ(assign("b").reserve_microusd, 6 * kDollar);
}

TEST_F(Budget, ALostAgentMayHaveSpentItsReserveAndAnUndeliveredOneNothing) {
  begin("cost_usd: 20", kTwo);
  const auto expire = [&](const Lease& lease, bool undelivered) {
    pb::Command command;
    command.mutable_expire_leases()->add_fences(lease.fence.value);
    command.mutable_expire_leases()->set_undelivered(undelivered);
    world.send(std::move(command));
  };
  expire(assign("a"), true);
  EXPECT_EQ(now().cost_microusd, 0);
  expire(assign("b"), false);
  EXPECT_EQ(now().cost_microusd, 6 * kDollar);
  EXPECT_EQ(now().reserved_microusd, 6 * kDollar);  // that of a, which is ready again
}

TEST_F(Budget, WorkThatWasCancelledKeepsItsReserveUntilItsAgentSaysWhatItCost) {
  begin("cost_usd: 10", kTwo);
  const Lease lease = assign("a");
  EXPECT_FALSE(world.decide(run, "a", pb::ControlTask::CANCEL).error);
  EXPECT_EQ(now().reserved_microusd, 6 * kDollar);
  EXPECT_EQ(world.state_of(run, "b"), kThrottled);
  EXPECT_EQ(report(lease, 2 * kDollar, pb::ReportResult::CANCELLED), Reply::Result::kStale);
  EXPECT_EQ(now().cost_microusd, 2 * kDollar);
  EXPECT_EQ(world.state_of(run, "b"), kReady);
}

TEST_F(Budget, SmallOnesDoNotPassWhoStandsInLineForMore) {
  begin("cost_usd: 10",
        "  - {id: a, agent: {type: claude}, prompt: x, budget: {cost_usd: 8}}\n"
        "  - {id: b, agent: {type: claude}, prompt: x, budget: {cost_usd: 5}}\n"
        "  - {id: c, agent: {type: claude}, prompt: x, budget: {cost_usd: 1}}\n");
  EXPECT_EQ(world.state_of(run, "c"), kThrottled);
  report(assign("a"), 2 * kDollar);
  EXPECT_EQ(world.state_of(run, "b"), kReady);
  EXPECT_EQ(world.state_of(run, "c"), kReady);
}

TEST_F(Budget, WarnsOnceBeforeMoneyAndTimeAreOver) {
  begin("cost_usd: 10, deadline: 1h, warn_at: 50%",
        "  - {id: a, agent: {type: claude}, prompt: x, budget: {cost_usd: 1}}\n"
        "  - {id: b, dependencies: [a], agent: {type: claude}, prompt: x, budget: {cost_usd: 6}}\n"
        "  - {id: c, dependencies: [b], agent: {type: claude}, prompt: x, budget: {cost_usd: 1}}\n");
  report(assign("a"), kDollar);
  EXPECT_TRUE(notices().empty());
  report(assign("b"), 5 * kDollar);
  EXPECT_EQ(notices(), std::vector{RunNotice::kCostWarning});
  world.pass(1'800'000 - 1);
  EXPECT_TRUE(notices().empty());
  world.pass(1);
  EXPECT_EQ(notices(), std::vector{RunNotice::kDeadlineWarning});
  EXPECT_EQ(now().warned, kCostWarned | kDeadlineWarned);
  EXPECT_FALSE(raise(90 * kDollar, 3'600'000).error);
  EXPECT_EQ(now().warned, 0);
  world.pass(1'800'000);
  EXPECT_EQ(now().state, RunState::kRunning);
  EXPECT_EQ(notices(), std::vector{RunNotice::kDeadlineWarning});
  world.pass(3'600'000);
  EXPECT_EQ(now().state, RunState::kFailed);
}

TEST_F(Budget, WhatCannotBeRaisedIsRefused) {
  begin("cost_usd: 10", kTwo);
  EXPECT_EQ(raise(0).error->code(), Code::InvalidArgument);
  EXPECT_EQ(raise(-1).error->code(), Code::InvalidArgument);
  EXPECT_EQ(raise(0, 1'000).error->code(), Code::WrongState);
  EXPECT_EQ(raise(INT64_MAX).error->code(), Code::InvalidArgument);
  run = RunId{99};
  EXPECT_EQ(raise(1).error->code(), Code::RunNotFound);
}

TEST_F(Budget, PausedAndResumedItReservesAnew) {
  begin("cost_usd: 10", kTwo);
  EXPECT_FALSE(world.control(run, pb::ControlRun::PAUSE).error);
  EXPECT_EQ(now().reserved_microusd, 0);
  EXPECT_FALSE(world.control(run, pb::ControlRun::RESUME).error);
  EXPECT_EQ(now().reserved_microusd, 6 * kDollar);
  EXPECT_EQ(world.state_of(run, "b"), kThrottled);
}

TEST(Dollars, AreExact) {
  EXPECT_EQ(dollars(12'500'000), "$12.50");
  EXPECT_EQ(dollars(1), "$0.000001");
}

}  // namespace
}  // namespace ez::core
