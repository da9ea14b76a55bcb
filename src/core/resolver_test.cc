// Merges with a resolver: its time, its money, and what is kept of it.
#include "core/budget.h"
#include "core/test_world.h"
#include "core/view.h"

namespace ez::core {
namespace {

constexpr std::int64_t kDollar = 1'000'000;

class ResolverOfMerge : public ::testing::Test {
 protected:
  void begin(const std::string& budget, const std::string& resolver, const std::string& other = "") {
    world.workflow("name: w\nrepository: /r\n" + budget + resolver +
                   "tasks:\n  - {id: a, run: x, retry: {max_attempts: 1}, timeout: {start_to_close: 1m}}\n" +
                   other);
    agent = world.agent("one");
    run = world.start("w");
    world.finish(agent, run, "a", "", "c1");
    lease = world.assign(agent, run, {"a"}).at(0);
    ASSERT_TRUE(lease.merge);
  }
  Reply draw(std::int64_t need, std::int64_t want = 0) {
    pb::Command command;
    auto* body = command.mutable_draw_allowance();
    body->set_fence(lease.fence.value);
    body->set_need_microusd(need);
    body->set_want_microusd(want);
    return world.send(std::move(command));
  }
  void meter(std::int64_t cost) {
    pb::Command command;
    auto* row = command.mutable_meter_usage()->add_rows();
    row->set_fence(lease.fence.value);
    row->set_model("m");
    row->set_cost_microusd(cost);
    world.send(std::move(command));
  }
  static pb::ReportResult outcome_of(pb::ReportResult::Outcome outcome,
                                     const std::vector<std::string>& tries) {
    pb::ReportResult result;
    result.set_outcome(outcome);
    result.set_conflict("<<<<<<<");
    result.set_head("h");
    result.mutable_resolution()->set_agent_type("claude");
    for (std::size_t i = 0; i < tries.size(); ++i) {
      result.mutable_resolution()->add_tries()->set_error_code(tries[i]);
      auto* artifact = result.add_artifacts();
      artifact->set_name("resolver/" + std::to_string(i + 1) + "/transcript.jsonl");
      artifact->set_sha256(std::string(64, static_cast<char>('a' + i)));
    }
    return result;
  }
  [[nodiscard]] const core::Run& now() const { return world.run(run); }
  [[nodiscard]] const Lease& live() const { return world.state.leases.at(lease.fence); }

  TestWorld world;
  AgentId agent;
  RunId run;
  Lease lease;
};

const std::string kClaude = "resolver: {agent: {type: claude}, budget: {cost_usd: 2}}\n";
const std::string kOpen = "resolver: {agent: {type: claude}}\n";

TEST_F(ResolverOfMerge, MoneyIsLentWhenItIsAskedForAndNeverMoreThanItsBudget) {
  begin("budget: {cost_usd: 10}\n", kClaude);
  EXPECT_EQ(live().reserve_microusd, 0);
  EXPECT_EQ(now().reserved_microusd, 0);
  EXPECT_EQ(may_cost(now(), live()), 2 * kDollar);
  EXPECT_EQ(draw(kDollar / 2, kDollar).microusd, kDollar);
  EXPECT_EQ(now().reserved_microusd, kDollar);
  meter(kDollar / 4);
  EXPECT_EQ(now().cost_microusd, kDollar / 4);
  EXPECT_EQ(may_cost(now(), live()), 2 * kDollar - kDollar / 4);
  EXPECT_EQ(draw(kDollar / 2, 4 * kDollar).microusd, kDollar);  // all that its budget leaves
  EXPECT_EQ(live().lent_microusd, 2 * kDollar);
  const Reply refused = draw(1);
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->code(), Code::BudgetExceeded);
  world.reread();
  world.report(lease, outcome_of(pb::ReportResult::SUCCEEDED, {""}));
  // What was open counts as spent, as for every lease.
  EXPECT_EQ(now().cost_microusd, 2 * kDollar);
  EXPECT_EQ(now().reserved_microusd, 0);
}

TEST_F(ResolverOfMerge, TheRunsBudgetIsTheEnd) {
  begin("budget: {cost_usd: 1}\n", kOpen);
  EXPECT_EQ(may_cost(now(), live()), kDollar);
  EXPECT_TRUE(draw(kDollar + 1).error.has_value());
  EXPECT_EQ(now().reserved_microusd, 0);  // what does not suffice is not taken
  EXPECT_EQ(draw(kDollar).microusd, kDollar);
  EXPECT_TRUE(draw(1).error.has_value());
}

TEST_F(ResolverOfMerge, WithoutABudgetOfTheRunItsOwnHolds) {
  begin("", kClaude);
  EXPECT_EQ(live().reserve_microusd, 2 * kDollar);
  EXPECT_EQ(draw(kDollar, 5 * kDollar).microusd, 2 * kDollar);
  EXPECT_TRUE(draw(1).error.has_value());
}

TEST_F(ResolverOfMerge, WithoutAnyBudgetItMayCostWhatItWill) {
  begin("", kOpen);
  EXPECT_EQ(may_cost(now(), live()), kNoReserve);
  EXPECT_EQ(draw(50 * kDollar).microusd, 50 * kDollar);
}

TEST_F(ResolverOfMerge, AMergeWithoutOneGetsNothing) {
  begin("budget: {cost_usd: 10}\n", "");
  EXPECT_EQ(may_cost(now(), live()), 0);
  EXPECT_TRUE(draw(1).error.has_value());
}

TEST_F(ResolverOfMerge, TasksThatTakeAllLeaveItsBudget) {
  begin("budget: {cost_usd: 10}\n", kClaude, "  - {id: b, agent: {type: gpt}, prompt: x}\n");
  EXPECT_EQ(now().reserved_microusd, 8 * kDollar);  // of b, which is ready
  EXPECT_EQ(may_cost(now(), live()), 2 * kDollar);
  EXPECT_EQ(draw(kDollar).microusd, kDollar);
  world.report(lease, outcome_of(pb::ReportResult::SUCCEEDED, {""}));
  EXPECT_EQ(now().reserved_microusd, 8 * kDollar);
}

TEST_F(ResolverOfMerge, ItsTriesAndTranscriptsStayWithTheTask) {
  begin("", kOpen);
  world.report(lease, outcome_of(pb::ReportResult::CONFLICT, {"MERGE_CONFLICT", "COMMAND_TIMEOUT"}));
  EXPECT_EQ(world.state_of(run, "a"), TaskState::kConflict);
  const Value::List waiting = approvals_view(now());
  ASSERT_EQ(waiting.size(), 1U);
  const Value* resolver = waiting[0].find("resolver");
  ASSERT_TRUE(resolver != nullptr && resolver->is_map());
  EXPECT_EQ(resolver->string_or("agent_type", ""), "claude");
  EXPECT_EQ(resolver->find("tries")->as_list()[1].find("error")->string_or("code", ""), "COMMAND_TIMEOUT");
  EXPECT_EQ(now().tasks[0].get().artifacts.size(), 2U);
  world.reread();
  // A person settled it on the branch; the next merge needs one try, whose transcript replaces the first.
  world.decide(run, "a", pb::ControlTask::APPROVE);
  lease = world.assign(agent, run, {"a"}).at(0);
  world.report(lease, outcome_of(pb::ReportResult::SUCCEEDED, {""}));
  EXPECT_EQ(now().state, RunState::kSucceeded);
  EXPECT_EQ(now().tasks[0].get().artifacts.size(), 2U);
  EXPECT_EQ(now().tasks[0].get().resolution->tries.size(), 1U);
}

TEST_F(ResolverOfMerge, AMergeHasTheTimeOfItsTriesToo) {
  begin("", "resolver: {run: ./settle, tries: 3, timeout: 2m}\n");
  world.pass(6 * 60'000);
  EXPECT_EQ(world.state_of(run, "a"), TaskState::kMerging);
  world.pass(60'001);
  EXPECT_EQ(world.state_of(run, "a"), TaskState::kPaused);
}

TEST_F(ResolverOfMerge, ALostMergeIsMadeAgain) {
  begin("budget: {cost_usd: 10}\n", kClaude);
  (void)draw(kDollar);
  meter(kDollar / 4);
  pb::Command command;
  command.mutable_expire_leases()->add_fences(lease.fence.value);
  world.send(std::move(command));
  EXPECT_EQ(world.state_of(run, "a"), TaskState::kMergeReady);
  EXPECT_EQ(now().cost_microusd, kDollar);  // what was open may have been spent
  EXPECT_EQ(now().reserved_microusd, 0);
}

}  // namespace
}  // namespace ez::core
