// How runs go on: dependencies, conditions, for_each, approvals, failures, control.
#include "core/test_world.h"

namespace ez::core {
namespace {

using enum TaskState;

TEST(Flow, DependenciesInOrderAndTheRunLeavesTheState) {
  TestWorld world;
  ASSERT_EQ(world.workflow("name: w\ntasks:\n  - {id: a, run: x}\n  - {id: b, dependencies: [a], run: x}\n"),
            1U);
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  EXPECT_EQ(world.state_of(run, "a"), kReady);
  EXPECT_EQ(world.state_of(run, "b"), kWaiting);
  EXPECT_TRUE(world.assign(agent, run, {"b"}).empty());
  world.finish(agent, run, "a");
  EXPECT_EQ(world.state_of(run, "b"), kReady);
  world.finish(agent, run, "b");
  EXPECT_EQ(world.state.find_run(run), nullptr);
  EXPECT_EQ(world.run(run).state, RunState::kSucceeded);
}

TEST(Flow, WhenDecidesFromOutputsAndSkipsCountAsComplete) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: a, run: x}\n  - {id: b, dependencies: [a], when: tasks.a.output.n > 1, run: "
      "x}\n"
      "  - {id: c, dependencies: [b], when: \"tasks.b.state == 'skipped'\", run: x}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  world.finish(agent, run, "a", R"({"n": 1})");
  EXPECT_EQ(world.state_of(run, "b"), kSkipped);
  world.finish(agent, run, "c");
  EXPECT_EQ(world.run(run).state, RunState::kSucceeded);
}

TEST(Flow, AConditionThatCannotBeEvaluatedFailsTheRunWithItsReason) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: a, run: x}\n  - {id: b, dependencies: [a], when: tasks.a.output.n > 1, run: "
      "x}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  world.finish(agent, run, "a", R"({"m": 1})");
  EXPECT_EQ(world.run(run).state, RunState::kFailed);
  EXPECT_EQ(world.run(run).error.code, "EXPRESSION_FAILED");
}

TEST(Flow, ForEachMakesInstancesAndJoinsTheirOutputs) {
  TestWorld world;
  world.workflow(
      "name: w\ninputs: {items: {type: list}}\ntasks:\n"
      "  - {id: each, for_each: '${{ inputs.items }}', max_parallel: 2, run: x}\n"
      "  - {id: join, dependencies: [each], when: 'tasks.each.outputs[2].i == 2', run: x}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w", R"({"items": ["p", "q", "r"]})");
  EXPECT_EQ(world.state_of(run, "each"), kExpanded);
  EXPECT_EQ(world.state_of(run, "each.1"), kReady);
  EXPECT_EQ(world.state_of(run, "each.2"), kThrottled);  // max_parallel
  world.finish(agent, run, "each.0", R"({"i": 0})");
  EXPECT_EQ(world.state_of(run, "each.2"), kReady);
  world.finish(agent, run, "each.1", R"({"i": 1})");
  world.finish(agent, run, "each.2", R"({"i": 2})");
  EXPECT_EQ(world.state_of(run, "each"), kSucceeded);
  EXPECT_EQ(world.state_of(run, "join"), kReady);
}

TEST(Flow, ForEachOverNothingSucceeds) {
  TestWorld world;
  world.workflow(
      "name: w\ninputs: {items: {type: list}}\ntasks:\n  - {id: each, for_each: '${{ inputs.items }}', run: "
      "x}\n");
  const RunId run = world.start("w", R"({"items": []})");
  EXPECT_EQ(world.run(run).state, RunState::kSucceeded);
}

TEST(Flow, AChainOfManySkippedTasksNeedsNoStack) {
  TestWorld world;
  std::string source = "name: w\ntasks:\n  - {id: t0, when: 'false', run: x}\n";
  constexpr int kTasks = 3'000;
  for (int i = 1; i < kTasks; ++i) {
    source += "  - {id: t" + std::to_string(i) + ", dependencies: [t" + std::to_string(i - 1) +
              "], when: 'false', run: x}\n";
  }
  world.workflow(source);
  EXPECT_EQ(world.run(world.start("w")).counts[static_cast<int>(kSkipped)],
            static_cast<std::uint32_t>(kTasks));
}

TEST(Flow, RetriesBackOffAndThenPauseAndAsk) {
  TestWorld world;
  world.workflow("name: w\ntasks:\n  - {id: a, run: x, retry: {max_attempts: 2, backoff: 10s, jitter: 0}}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  EXPECT_EQ(world.report(world.assign(agent, run, {"a"}).at(0), pb::ReportResult::FAILED),
            Reply::Result::kAccepted);
  EXPECT_EQ(world.state_of(run, "a"), kBackoff);
  world.pass(9'999);
  EXPECT_EQ(world.state_of(run, "a"), kBackoff);
  world.pass(1);
  EXPECT_EQ(world.state_of(run, "a"), kReady);
  const auto second = world.assign(agent, run, {"a"}).at(0);
  EXPECT_EQ(second.attempt, 2U);
  world.report(second, pb::ReportResult::FAILED);
  EXPECT_EQ(world.state_of(run, "a"), kPaused);
  EXPECT_FALSE(world.decide(run, "a", pb::ControlTask::RETRY).error);
  world.finish(agent, run, "a");
  EXPECT_EQ(world.run(run).state, RunState::kSucceeded);
  EXPECT_EQ(world.run(run).tasks[0].get().attempts.size(), 2U);
}

TEST(Flow, OnFailureFailStopsTheRestAndTellsItsAgents) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: a, run: x, on_failure: fail, retry: {max_attempts: 1}}\n  - {id: b, run: "
      "x}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  const auto leases = world.assign(agent, run, {"a", "b"});
  world.report(leases.at(0), pb::ReportResult::FAILED);
  EXPECT_EQ(world.run(run).state, RunState::kFailed);
  EXPECT_EQ(world.state_of(run, "b"), kCancelled);
  ASSERT_EQ(world.effects.cancelled.size(), 1U);
  EXPECT_EQ(world.effects.cancelled[0].fence, leases.at(1).fence);
  // The late result of the cancelled one is recognised, and only then its place at the agent is free.
  EXPECT_EQ(world.state.agents.at(agent).running, 1U);
  EXPECT_EQ(world.report(leases.at(1), pb::ReportResult::SUCCEEDED), Reply::Result::kStale);
  EXPECT_EQ(world.state.agents.at(agent).running, 0U);
}

TEST(Flow, OnFailureContinueLetsDependantsGoOn) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: a, run: x, on_failure: continue, retry: {max_attempts: 1}}\n"
      "  - {id: b, dependencies: [a], when: \"tasks.a.state == 'failed'\", run: x}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  world.report(world.assign(agent, run, {"a"}).at(0), pb::ReportResult::FAILED);
  world.finish(agent, run, "b");
  EXPECT_EQ(world.run(run).state, RunState::kSucceeded);
}

TEST(Flow, AFinalFailureIsNotRetried) {
  TestWorld world;
  world.workflow("name: w\ntasks:\n  - {id: a, run: x, retry: {max_attempts: 9}}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  pb::ReportResult result;
  result.set_outcome(pb::ReportResult::FAILED);
  result.set_final(true);
  world.report(world.assign(agent, run, {"a"}).at(0), std::move(result));
  EXPECT_EQ(world.state_of(run, "a"), kPaused);
}

TEST(Flow, ApprovalBeforeWorkAndApprovalAlone) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: a, approval: {message: sure?}, run: x}\n"
      "  - {id: b, dependencies: [a], approval: {role: maintainer}}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  EXPECT_EQ(world.state_of(run, "a"), kApproval);
  EXPECT_FALSE(world.decide(run, "a", pb::ControlTask::APPROVE).error);
  EXPECT_TRUE(world.decide(run, "a", pb::ControlTask::APPROVE).error);
  world.finish(agent, run, "a");
  EXPECT_FALSE(world.decide(run, "b", pb::ControlTask::APPROVE).error);
  EXPECT_EQ(world.run(run).state, RunState::kSucceeded);
}

TEST(Flow, RejectionFailsTheRun) {
  TestWorld world;
  world.workflow("name: w\ntasks:\n  - {id: a, approval: {message: sure?}}\n");
  const RunId run = world.start("w");
  EXPECT_FALSE(world.decide(run, "a", pb::ControlTask::REJECT).error);
  EXPECT_EQ(world.run(run).state, RunState::kFailed);
  EXPECT_EQ(world.run(run).error.code, "REJECTED");
}

TEST(Flow, PauseHoldsBackReadyTasksAndResumeLetsThemGo) {
  TestWorld world;
  world.workflow("name: w\ntasks:\n  - {id: a, run: x}\n  - {id: b, dependencies: [a], run: x}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  const auto lease = world.assign(agent, run, {"a"}).at(0);
  EXPECT_FALSE(world.control(run, pb::ControlRun::PAUSE).error);
  world.report(lease, pb::ReportResult::SUCCEEDED);  // what runs may finish
  EXPECT_EQ(world.state_of(run, "b"), kReady);
  EXPECT_TRUE(world.assign(agent, run, {"b"}).empty());
  EXPECT_FALSE(world.control(run, pb::ControlRun::RESUME).error);
  EXPECT_TRUE(world.control(run, pb::ControlRun::RESUME).error);
  world.finish(agent, run, "b");
}

TEST(Flow, CancelEndsEverythingAtOnce) {
  TestWorld world;
  world.workflow("name: w\ntasks:\n  - {id: a, run: x}\n  - {id: b, dependencies: [a], run: x}\n");
  const RunId run = world.start("w");
  EXPECT_FALSE(world.control(run, pb::ControlRun::CANCEL).error);
  EXPECT_EQ(world.run(run).state, RunState::kCancelled);
  EXPECT_EQ(world.control(run, pb::ControlRun::CANCEL).error->code(), Code::RunNotFound);
}

TEST(Flow, ACancelledTaskTakesItsDependantsWithIt) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: a, run: x}\n  - {id: b, dependencies: [a], run: x}\n  - {id: c, run: x}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  EXPECT_FALSE(world.decide(run, "a", pb::ControlTask::CANCEL).error);
  EXPECT_EQ(world.state_of(run, "b"), kCancelled);
  EXPECT_EQ(world.state_of(run, "c"), kReady);
  world.finish(agent, run, "c");
  EXPECT_EQ(world.run(run).state, RunState::kFailed);
}

TEST(Flow, OneIdempotencyKeyStartsOneRun) {
  TestWorld world;
  world.workflow("name: w\ninputs: {n: {type: int, default: 1}}\ntasks:\n  - {id: a, run: x}\n");
  const RunId first = world.start("w", "{}", "key");
  EXPECT_EQ(world.start("w", "{}", "key"), first);
  EXPECT_FALSE(world.effects.reply.created);
  world.start("w", R"({"n": 2})", "key");
  EXPECT_EQ(world.effects.reply.error->code(), Code::IdempotencyConflict);
  EXPECT_EQ(world.state.live_runs, 1U);
  world.now_ms += kIdempotencyMs + 1;
  EXPECT_NE(world.start("w", "{}", "key"), first);
}

TEST(Flow, AVersionNeverChangesAndARunKeepsItsOwn) {
  TestWorld world;
  EXPECT_EQ(world.workflow("name: w\ntasks:\n  - {id: a, run: x}\n"), 1U);
  const RunId old = world.start("w");
  EXPECT_EQ(world.workflow("name: w\ntasks:\n  - {id: a, run: x}\n"), 1U);  // the same again
  EXPECT_EQ(world.workflow("name: w\ntasks:\n  - {id: b, run: x}\n"), 2U);
  EXPECT_EQ(world.run(old).workflow->version, 1U);
  EXPECT_EQ(world.run(world.start("w")).workflow->version, 2U);
}

}  // namespace
}  // namespace ez::core
