// Concurrency keys of tasks and of whole runs, and rates.
#include "core/test_world.h"

namespace ez::core {
namespace {

using enum TaskState;

std::string keyed(const std::string& name, const std::string& policy, int limit = 1) {
  return "name: " + name +
         "\ntasks:\n  - id: a\n    run: x\n    on_failure: fail\n    concurrency: {key: k, limit: " +
         std::to_string(limit) + ", when_full: " + policy + "}\n";
}

std::string whole(const std::string& name, const std::string& policy) {
  return "name: " + name + "\nconcurrency: {key: k, when_full: " + policy +
         "}\ntasks:\n  - {id: a, run: x}\n  - {id: b, dependencies: [a], run: x}\n";
}

Reply start(TestWorld& world, const std::string& name) {
  pb::Command command;
  command.mutable_start_run()->set_namespace_("default");
  command.mutable_start_run()->set_workflow(name);
  return world.send(std::move(command));
}

TEST(Concurrency, RejectFailsTheTaskAtOnce) {
  TestWorld world;
  world.workflow(keyed("w", "reject"));
  const RunId first = world.start("w");
  const RunId second = world.start("w");
  EXPECT_EQ(world.state_of(first, "a"), kReady);
  EXPECT_EQ(world.run(second).state, RunState::kFailed);
  EXPECT_EQ(world.run(second).tasks[0].get().error.code, "CONCURRENCY_FULL");
}

TEST(Concurrency, CancelNewestEndsTheOneThatComes) {
  TestWorld world;
  world.workflow(keyed("w", "cancel_newest"));
  const RunId first = world.start("w");
  const RunId second = world.start("w");
  EXPECT_EQ(world.state_of(second, "a"), kCancelled);
  EXPECT_EQ(world.state_of(first, "a"), kReady);
}

TEST(Concurrency, CancelOldestStopsTheOneThatHasThePlaceLongest) {
  TestWorld world;
  world.workflow(keyed("w", "cancel_oldest", 2));
  const AgentId agent = world.agent("one");
  const RunId first = world.start("w");
  const Lease lease = world.assign(agent, first, {"a"}).at(0);
  world.now_ms += 10;
  const RunId second = world.start("w");
  world.reread();
  world.now_ms += 10;
  const RunId third = world.start("w");
  EXPECT_EQ(world.state_of(first, "a"), kCancelled);
  EXPECT_EQ(world.run(first).tasks[0].get().error.code, "CONCURRENCY_FULL");
  EXPECT_EQ(world.effects.cancelled.size(), 1U);  // its agent is told
  EXPECT_EQ(world.report(lease, pb::ReportResult::SUCCEEDED), Reply::Result::kStale);
  EXPECT_EQ(world.state_of(second, "a"), kReady);
  EXPECT_EQ(world.state_of(third, "a"), kReady);
}

TEST(Concurrency, CancelOldestAmongInstancesLeavesTheLast) {
  TestWorld world;
  world.workflow(
      "name: w\ninputs: {items: {type: list, default: [1, 2, 3]}}\ntasks:\n  - id: a\n    run: x\n"
      "    for_each: ${{ inputs.items }}\n    concurrency: {key: k, limit: 1, when_full: cancel_oldest}\n");
  const RunId run = world.start("w");
  EXPECT_EQ(world.state_of(run, "a.0"), kCancelled);
  EXPECT_EQ(world.state_of(run, "a.1"), kCancelled);
  EXPECT_EQ(world.state_of(run, "a.2"), kReady);
}

TEST(Concurrency, EachTaskIsHeldToTheLimitOfItsOwnWorkflow) {
  TestWorld world;
  world.workflow(keyed("wide", "wait", 2));
  world.workflow(keyed("narrow", "wait", 1));
  const AgentId agent = world.agent("one");
  const RunId wide = world.start("wide");
  const RunId narrow = world.start("narrow");
  const RunId other = world.start("wide");
  EXPECT_EQ(world.state_of(narrow, "a"), kThrottled);
  EXPECT_EQ(world.state_of(other, "a"), kReady);
  world.finish(agent, wide, "a");
  EXPECT_EQ(world.state_of(narrow, "a"), kThrottled);
  world.finish(agent, other, "a");
  EXPECT_EQ(world.state_of(narrow, "a"), kReady);
}

TEST(RunConcurrency, ARunWaitsAndBeginsWhenAPlaceIsFree) {
  TestWorld world;
  world.workflow(whole("w", "wait"));
  const AgentId agent = world.agent("one");
  const RunId first = world.start("w");
  const RunId second = world.start("w");
  const RunId third = world.start("w");
  EXPECT_EQ(world.run(second).state, RunState::kQueued);
  EXPECT_EQ(world.state_of(second, "a"), kWaiting);
  world.reread();
  EXPECT_FALSE(world.control(second, pb::ControlRun::CANCEL).error);
  EXPECT_EQ(world.run(second).state, RunState::kCancelled);
  world.finish(agent, first, "a");
  EXPECT_EQ(world.run(third).state, RunState::kQueued);
  world.finish(agent, first, "b");
  EXPECT_EQ(world.run(third).state, RunState::kRunning);
  world.finish(agent, third, "a");
  world.finish(agent, third, "b");
  EXPECT_TRUE(world.state.throttles.empty());
}

TEST(RunConcurrency, PauseLeavesTheLineAndResumeStandsThereAgain) {
  TestWorld world;
  world.workflow(whole("w", "wait"));
  const AgentId agent = world.agent("one");
  const RunId first = world.start("w");
  const RunId second = world.start("w");
  EXPECT_FALSE(world.control(second, pb::ControlRun::PAUSE).error);
  world.reread();
  EXPECT_FALSE(world.control(second, pb::ControlRun::RESUME).error);
  EXPECT_EQ(world.run(second).state, RunState::kQueued);
  EXPECT_FALSE(world.control(second, pb::ControlRun::PAUSE).error);
  world.finish(agent, first, "a");
  world.finish(agent, first, "b");
  EXPECT_EQ(world.run(second).state, RunState::kPaused);
  EXPECT_FALSE(world.control(second, pb::ControlRun::RESUME).error);
  world.finish(agent, second, "a");
  EXPECT_EQ(world.state_of(second, "b"), kReady);
}

TEST(RunConcurrency, TheOtherPolicies) {
  TestWorld world;
  world.workflow(whole("oldest", "cancel_oldest"));
  world.workflow(whole("newest", "cancel_newest"));
  world.workflow(whole("none", "reject"));
  const RunId first = world.start("oldest");
  const RunId second = world.start("oldest");
  EXPECT_EQ(world.run(first).state, RunState::kCancelled);
  EXPECT_EQ(world.run(first).error.code, "CONCURRENCY_FULL");
  EXPECT_EQ(world.run(second).state, RunState::kRunning);
  EXPECT_EQ(world.run(world.start("newest")).state, RunState::kCancelled);
  const Reply refused = start(world, "none");
  ASSERT_TRUE(refused.error);
  EXPECT_EQ(refused.error->code(), Code::ConcurrencyFull);
  EXPECT_EQ(world.run(second).state, RunState::kRunning);
}

TEST(RunConcurrency, TheDeadlineCountsWhileARunWaits) {
  TestWorld world;
  world.workflow("name: w\nconcurrency: {key: k}\nbudget: {deadline: 1m}\ntasks:\n  - {id: a, run: x}\n");
  world.workflow("name: long\nconcurrency: {key: k}\ntasks:\n  - {id: a, run: x}\n");
  world.start("long");
  const RunId late = world.start("w");
  EXPECT_EQ(world.run(late).state, RunState::kQueued);
  world.pass(60'000);
  EXPECT_EQ(world.run(late).state, RunState::kFailed);
}

TEST(Rate, StartsAreSpreadOverTime) {
  TestWorld world;
  world.workflow("name: w\ntasks:\n  - {id: a, run: x, rate: {key: k, limit: 2, per: 1m}}\n");
  const AgentId agent = world.agent("one");
  std::vector<RunId> runs;
  for (int i = 0; i < 5; ++i) runs.push_back(world.start("w"));
  const auto ready = [&] {
    int count = 0;
    for (const RunId run : runs) count += world.state_of(run, "a") == kReady ? 1 : 0;
    return count;
  };
  EXPECT_EQ(ready(), 2);
  EXPECT_EQ(world.state_of(runs[2], "a"), kThrottled);
  world.reread();
  world.pass(29'999);
  EXPECT_EQ(ready(), 2);
  world.pass(1);
  EXPECT_EQ(ready(), 3);
  world.pass(60'000);
  EXPECT_EQ(ready(), 5);
  for (const RunId run : runs) world.finish(agent, run, "a");
  world.pass(120'000);
  world.start("w");
  EXPECT_EQ(world.state.rates.size(), 1U);
}

TEST(Rate, EachAttemptIsAStartAndAPauseKeepsTheTurn) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: a, run: x, rate: {key: k, limit: 1, per: 1m}, retry: {max_attempts: 3, "
      "backoff: 1s, jitter: 0}}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  world.report(world.assign(agent, run, {"a"}).at(0), pb::ReportResult::FAILED);
  world.pass(1'000);
  EXPECT_EQ(world.state_of(run, "a"), kThrottled);
  EXPECT_FALSE(world.control(run, pb::ControlRun::PAUSE).error);
  EXPECT_FALSE(world.control(run, pb::ControlRun::RESUME).error);
  EXPECT_EQ(world.state_of(run, "a"), kThrottled);
  world.pass(59'000);
  EXPECT_EQ(world.state_of(run, "a"), kReady);
}

}  // namespace
}  // namespace ez::core
