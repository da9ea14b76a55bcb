// Runs that are started by tasks of other runs.
#include "core/family.h"

#include "core/test_world.h"
#include "core/why.h"

namespace ez::core {
namespace {

using enum TaskState;

constexpr const char* kChildSource =
    "name: child\ninputs: {n: {type: int, default: 1}}\n"
    "outputs: {double: inputs.n * 2, said: tasks.a.output}\ntasks:\n  - {id: a, run: x}\n";

class FamilyTest : public ::testing::Test {
 protected:
  // The run that the task has started.
  RunId child_of(RunId run, const std::string& task) const {
    return world.run(run).tasks[world.run(run).find(task)].get().child;
  }
  const TaskDetail& detail(RunId run, const std::string& task) const {
    return world.run(run).tasks[world.run(run).find(task)].get();
  }
  Reply adjust(RunId run, std::int64_t add, std::int64_t extend = 0) {
    pb::Command command;
    command.mutable_adjust_budget()->set_run(run.value);
    command.mutable_adjust_budget()->set_add_microusd(add);
    command.mutable_adjust_budget()->set_extend_ms(extend);
    return world.send(std::move(command));
  }
  // Assigns and reports with a cost.
  void spend(AgentId agent, RunId run, const std::string& task, std::int64_t cost) {
    const auto leases = world.assign(agent, run, {task});
    ASSERT_EQ(leases.size(), 1U);
    pb::ReportResult result;
    result.set_outcome(pb::ReportResult::SUCCEEDED);
    result.set_cost_microusd(cost);
    EXPECT_EQ(world.report(leases[0], std::move(result)), Reply::Result::kAccepted);
  }
  TestWorld world;
};

TEST_F(FamilyTest, ATaskStartsARunAndTakesItsOutputs) {
  world.workflow(kChildSource);
  world.workflow(
      "name: parent\ntasks:\n  - {id: first, run: x}\n"
      "  - {id: sub, dependencies: [first],\n"
      "     workflow: {name: child, inputs: {n: '${{ tasks.first.output.n }}'}}}\n"
      "  - {id: last, dependencies: [sub], when: tasks.sub.output.double == 42, run: x}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("parent");
  world.finish(agent, run, "first", R"({"n": 21})");
  EXPECT_EQ(world.state_of(run, "sub"), kChild);
  const RunId child = child_of(run, "sub");
  ASSERT_NE(world.state.find_run(child), nullptr);
  EXPECT_EQ(world.run(child).lineage->parent, run);
  EXPECT_EQ(world.run(child).lineage->task, "sub");
  EXPECT_EQ(world.run(child).principal, "tester");
  const Value why = why_view(world.state, world.run(run), world.run(run).find("sub"));
  EXPECT_NE(why.string_or("summary", "").find("waits for r2, a run of child, which is running"),
            std::string::npos);
  world.reread();
  world.finish(agent, child, "a", R"("hello")");
  EXPECT_EQ(world.run(child).state, RunState::kSucceeded);
  EXPECT_EQ(world.state_of(run, "sub"), kSucceeded);
  EXPECT_EQ(detail(run, "sub").output, R"({"double":42,"said":"hello"})");
  world.finish(agent, run, "last");
  EXPECT_EQ(world.run(run).state, RunState::kSucceeded);
}

TEST_F(FamilyTest, AChildThatHasNothingToDoEndsInTheSameCommand) {
  world.workflow("name: idle\noutputs: {n: 1}\ntasks:\n  - {id: a, when: 'false', run: x}\n");
  world.workflow(
      "name: parent\ntasks:\n  - {id: each, for_each: '${{ [1, 2, 3] }}', workflow: {name: idle}}\n"
      "  - {id: sum, dependencies: [each], run: x,\n"
      "     when: 'size(tasks.each.outputs.filter(o, o.n == 1)) == 3'}\n");
  const RunId run = world.start("parent");
  EXPECT_EQ(world.state_of(run, "each"), kSucceeded);
  EXPECT_EQ(world.state_of(run, "sum"), kReady);
  EXPECT_EQ(world.state.live_runs, 1U);
  EXPECT_EQ(world.done.size(), 3U);
}

TEST_F(FamilyTest, AFailureIsTriedAgainAndThenOnFailureDecides) {
  world.workflow("name: child\ntasks:\n  - {id: a, run: x, on_failure: fail, retry: {max_attempts: 1}}\n");
  world.workflow(
      "name: parent\ntasks:\n"
      "  - {id: sub, workflow: {name: child}, retry: {max_attempts: 2, backoff: 5s, jitter: 0}}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("parent");
  const RunId first = child_of(run, "sub");
  world.report(world.assign(agent, first, {"a"}).at(0), pb::ReportResult::FAILED);
  EXPECT_EQ(world.run(first).state, RunState::kFailed);
  EXPECT_EQ(world.state_of(run, "sub"), kBackoff);
  EXPECT_EQ(detail(run, "sub").error.code, "COMMAND_FAILED");
  EXPECT_NE(detail(run, "sub").error.message.find("r2 (child) failed: task a"), std::string::npos);
  world.pass(5'000);
  const RunId second = child_of(run, "sub");
  EXPECT_NE(second, first);
  EXPECT_EQ(world.state_of(run, "sub"), kChild);
  world.report(world.assign(agent, second, {"a"}).at(0), pb::ReportResult::FAILED);
  EXPECT_EQ(world.state_of(run, "sub"), kPaused);
  EXPECT_FALSE(world.control(run, pb::ControlRun::RETRY).error.has_value());
  const RunId third = child_of(run, "sub");
  // A person who cancels the child does not want it tried again.
  world.control(third, pb::ControlRun::CANCEL);
  EXPECT_EQ(world.state_of(run, "sub"), kPaused);
  EXPECT_EQ(detail(run, "sub").error.code, "TASK_CANCELLED");
  world.decide(run, "sub", pb::ControlTask::REJECT);
  EXPECT_EQ(world.run(run).state, RunState::kFailed);
}

TEST_F(FamilyTest, CancelPauseAndResumeReachEveryGeneration) {
  world.workflow("name: low\ntasks:\n  - {id: a, run: x}\n  - {id: b, run: x}\n");
  world.workflow("name: mid\ntasks:\n  - {id: sub, workflow: {name: low}}\n");
  world.workflow("name: top\ntasks:\n  - {id: sub, workflow: {name: mid}}\n  - {id: own, run: x}\n");
  const AgentId agent = world.agent("one");
  const RunId top = world.start("top");
  const RunId mid = child_of(top, "sub");
  const RunId low = child_of(mid, "sub");
  world.control(top, pb::ControlRun::PAUSE);
  EXPECT_EQ(world.run(mid).state, RunState::kPaused);
  EXPECT_EQ(world.run(low).state, RunState::kPaused);
  EXPECT_TRUE(world.assign(agent, low, {"a"}).empty());
  world.reread();
  world.control(top, pb::ControlRun::RESUME);
  EXPECT_EQ(world.run(low).state, RunState::kRunning);
  // What a person paused stays so.
  world.control(low, pb::ControlRun::PAUSE);
  world.control(top, pb::ControlRun::PAUSE);
  world.control(top, pb::ControlRun::RESUME);
  EXPECT_EQ(world.run(mid).state, RunState::kRunning);
  EXPECT_EQ(world.run(low).state, RunState::kPaused);
  world.control(low, pb::ControlRun::RESUME);
  const auto lease = world.assign(agent, low, {"a"});
  ASSERT_EQ(lease.size(), 1U);
  world.control(top, pb::ControlRun::CANCEL);
  EXPECT_EQ(world.run(mid).state, RunState::kCancelled);
  EXPECT_EQ(world.run(low).state, RunState::kCancelled);
  EXPECT_EQ(world.state.live_runs, 0U);
  EXPECT_EQ(world.report(lease[0], pb::ReportResult::SUCCEEDED), Reply::Result::kStale);
}

TEST_F(FamilyTest, ATaskThatIsCancelledTimedOutOrDoneAgainStopsItsChild) {
  world.workflow(kChildSource);
  world.workflow(
      "name: parent\ntasks:\n  - {id: one, workflow: {name: child}, on_failure: continue}\n"
      "  - {id: two, workflow: {name: child}, timeout: {start_to_close: 1m}, retry: {max_attempts: 1}}\n"
      "  - {id: step, run: x}\n  - {id: three, dependencies: [step], workflow: {name: child}}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("parent");
  world.finish(agent, run, "step");
  const RunId one = child_of(run, "one");
  const RunId two = child_of(run, "two");
  const RunId three = child_of(run, "three");
  EXPECT_FALSE(world.decide(run, "one", pb::ControlTask::CANCEL).error.has_value());
  EXPECT_EQ(world.run(one).state, RunState::kCancelled);
  world.pass(60'000);
  EXPECT_EQ(world.run(two).state, RunState::kCancelled);
  EXPECT_EQ(detail(run, "two").error.code, "TASK_TIMEOUT");
  EXPECT_EQ(world.state_of(run, "two"), kPaused);
  pb::Command again;
  again.mutable_restart_task()->set_run(run.value);
  again.mutable_restart_task()->set_task("step");
  again.mutable_restart_task()->set_redo(true);
  EXPECT_FALSE(world.send(std::move(again)).error.has_value());
  EXPECT_EQ(world.run(three).state, RunState::kCancelled);
  world.finish(agent, run, "step");
  EXPECT_NE(child_of(run, "three"), three);
  EXPECT_EQ(world.state_of(run, "three"), kChild);
}

TEST_F(FamilyTest, MoneyIsSetAsideForTheChildAndCountedOnce) {
  world.workflow(
      "name: child\nbudget: {cost_usd: 0.000060}\ntasks:\n  - {id: a, run: x, budget: {cost_usd: 0.000050}}\n"
      "  - {id: b, dependencies: [a], run: x, budget: {cost_usd: 0.000040}}\n");
  world.workflow(
      "name: parent\nbudget: {cost_usd: 0.000100}\ntasks:\n  - {id: sub, workflow: {name: child}}\n"
      "  - {id: own, run: x, budget: {cost_usd: 0.000030}}\n"
      "  - {id: late, run: x, budget: {cost_usd: 0.000050}}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("parent");
  const RunId child = child_of(run, "sub");
  EXPECT_EQ(world.run(child).budget_microusd, 60);  // its own is the smaller one
  EXPECT_EQ(world.run(run).reserved_microusd, 90);  // it and `own`
  EXPECT_EQ(world.state_of(run, "late"), kThrottled);
  spend(agent, child, "a", 30);
  EXPECT_EQ(world.run(child).state, RunState::kPaused);  // 30 are left, b may cost 40
  EXPECT_EQ(adjust(child, 20).error->code(), Code::BudgetExceeded);  // the parent has only 10
  EXPECT_FALSE(adjust(child, 10).error.has_value());
  EXPECT_EQ(world.run(run).reserved_microusd, 100);
  spend(agent, child, "b", 40);
  EXPECT_EQ(world.run(child).state, RunState::kSucceeded);
  EXPECT_EQ(world.run(run).cost_microusd, 70);
  EXPECT_EQ(world.run(run).reserved_microusd, 30);
  spend(agent, run, "own", 10);
  EXPECT_EQ(world.run(run).state, RunState::kPaused);  // 20 are left, late may cost 50
  adjust(run, 30);
  spend(agent, run, "late", 0);
  EXPECT_EQ(world.run(run).state, RunState::kSucceeded);
  EXPECT_EQ(world.run(run).cost_microusd, 80);
}

TEST_F(FamilyTest, WhatAStoppedChildMayHaveSpentCounts) {
  world.workflow("name: child\ntasks:\n  - {id: a, run: x, budget: {cost_usd: 0.000020}}\n");
  world.workflow(
      "name: parent\nbudget: {cost_usd: 0.000100}\ntasks:\n"
      "  - {id: sub, workflow: {name: child}, budget: {cost_usd: 0.000050}, on_failure: continue}\n"
      "  - {id: own, approval: {}}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("parent");
  const RunId child = child_of(run, "sub");
  EXPECT_EQ(world.run(child).budget_microusd, 50);
  world.assign(agent, child, {"a"});
  world.decide(run, "sub", pb::ControlTask::CANCEL);
  EXPECT_EQ(world.run(run).cost_microusd, 20);
  EXPECT_EQ(world.run(run).reserved_microusd, 0);
}

TEST_F(FamilyTest, TheDeadlineOfTheParentHoldsForTheChild) {
  world.workflow("name: child\nbudget: {deadline: 1h}\ntasks:\n  - {id: a, run: x}\n");
  world.workflow("name: plain\ntasks:\n  - {id: a, run: x}\n");
  world.workflow(
      "name: parent\nbudget: {deadline: 10m}\ntasks:\n  - {id: sub, workflow: {name: child}}\n"
      "  - {id: other, workflow: {name: plain}}\n");
  const RunId run = world.start("parent");
  const RunId sub = child_of(run, "sub");
  const RunId other = child_of(run, "other");
  EXPECT_EQ(world.run(sub).deadline_ms, world.run(run).deadline_ms);
  EXPECT_EQ(world.run(other).deadline_ms, world.run(run).deadline_ms);
  EXPECT_EQ(adjust(sub, 0, 1'000).error->code(), Code::WrongState);
  EXPECT_FALSE(adjust(run, 0, 60'000).error.has_value());
  EXPECT_EQ(world.run(other).deadline_ms, world.run(run).deadline_ms);
  world.pass(659'999);
  EXPECT_EQ(world.run(run).state, RunState::kRunning);
  world.pass(1);
  EXPECT_EQ(world.run(run).state, RunState::kFailed);
  EXPECT_EQ(world.run(run).error.code, "TASK_TIMEOUT");
  EXPECT_EQ(world.run(other).state, RunState::kCancelled);
  EXPECT_EQ(world.state.live_runs, 0U);
}

TEST_F(FamilyTest, CirclesAndDepthAreAnswered) {
  const std::string once = "\ndefaults: {on_failure: fail, retry: {max_attempts: 1}}\ntasks:\n";
  world.workflow("name: a" + once + "  - {id: sub, workflow: {name: b}}\n");
  world.workflow("name: b" + once + "  - {id: sub, workflow: {name: a}}\n");
  const RunId circle = world.start("a");
  EXPECT_EQ(world.run(circle).state, RunState::kFailed);
  EXPECT_EQ(world.run(circle).error.code, "SUB_WORKFLOW_TOO_DEEP");
  EXPECT_NE(world.run(circle).error.message.find("a → b → a"), std::string::npos);
  for (std::uint32_t i = 0; i <= kMaxDepth + 1; ++i) {
    world.workflow("name: w" + std::to_string(i) + once + "  - {id: sub, workflow: {name: w" +
                   std::to_string(i + 1) + "}}\n");
  }
  const RunId deep = world.start("w0");
  EXPECT_EQ(world.run(deep).state, RunState::kFailed);
  EXPECT_EQ(world.run(deep).error.code, "SUB_WORKFLOW_TOO_DEEP");
  EXPECT_EQ(world.state.live_runs, 0U);
}

TEST_F(FamilyTest, AChildThatCannotStartFailsTheTask) {
  world.workflow(kChildSource);
  world.workflow(
      "name: parent\ntasks:\n  - {id: none, workflow: {name: missing}, retry: {backoff: 1s, jitter: 0}}\n"
      "  - {id: bad, workflow: {name: child, inputs: {n: many}}}\n"
      "  - {id: old, workflow: {name: child, version: 7}, retry: {max_attempts: 1}}\n");
  const RunId run = world.start("parent");
  EXPECT_EQ(world.state_of(run, "none"), kBackoff);  // somebody may register it yet
  EXPECT_EQ(detail(run, "none").error.code, "WORKFLOW_NOT_FOUND");
  EXPECT_EQ(world.state_of(run, "bad"), kPaused);
  EXPECT_EQ(detail(run, "bad").error.code, "INPUT_INVALID");
  EXPECT_EQ(world.state_of(run, "old"), kPaused);
  world.workflow("name: missing\ntasks:\n  - {id: a, run: x}\n");
  world.pass(1'000);
  EXPECT_EQ(world.state_of(run, "none"), kChild);
}

TEST_F(FamilyTest, AParentWaitsForTheRollbackOfItsChild) {
  world.workflow(
      "name: child\ntasks:\n  - {id: a, run: x, compensate: {run: y}}\n"
      "  - {id: b, dependencies: [a], run: x, on_failure: rollback, retry: {max_attempts: 1}}\n");
  world.workflow(
      "name: parent\nbudget: {deadline: 1h}\ntasks:\n"
      "  - {id: sub, workflow: {name: child}, retry: {max_attempts: 1}}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("parent");
  const RunId child = child_of(run, "sub");
  world.finish(agent, child, "a");
  const auto lease = world.assign(agent, child, {"b"});
  ASSERT_EQ(lease.size(), 1U);
  world.control(run, pb::ControlRun::PAUSE);
  EXPECT_EQ(world.run(child).state, RunState::kPaused);
  world.report(lease[0], pb::ReportResult::FAILED);
  // The rollback ends the pause of the child, and the parent's task waits for it.
  EXPECT_EQ(world.state_of(child, "undo-a"), kReady);
  world.control(run, pb::ControlRun::RESUME);
  world.reread();
  EXPECT_EQ(world.state_of(run, "sub"), kChild);
  world.finish(agent, child, "undo-a");
  EXPECT_EQ(world.run(child).state, RunState::kFailed);
  EXPECT_EQ(world.state_of(run, "sub"), kPaused);
  EXPECT_EQ(detail(run, "sub").error.code, "COMMAND_FAILED");
}

TEST_F(FamilyTest, AFailedParentUndoesWhatItsChildrenDid) {
  world.workflow("name: child\ntasks:\n  - {id: a, run: x}\n");
  world.workflow(
      "name: parent\ntasks:\n  - {id: sub, workflow: {name: child}, compensate: undo}\n"
      "  - {id: undo, workflow: {name: child}}\n  - {id: late, workflow: {name: child}}\n"
      "  - {id: own, dependencies: [sub], run: x, on_failure: rollback, retry: {max_attempts: 1}}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("parent");
  const RunId late = child_of(run, "late");
  world.finish(agent, child_of(run, "sub"), "a");
  world.report(world.assign(agent, run, {"own"}).at(0), pb::ReportResult::FAILED);
  EXPECT_EQ(world.run(late).state, RunState::kCancelled);
  EXPECT_EQ(world.state_of(run, "undo"), kChild);
  world.reread();
  world.finish(agent, child_of(run, "undo"), "a");
  EXPECT_EQ(world.run(run).state, RunState::kFailed);
  EXPECT_EQ(world.state_of(run, "undo"), kSucceeded);
}

TEST_F(FamilyTest, OneTreeOfRunsHoldsOnePlaceUnderConcurrencyKeys) {
  world.workflow("name: same\nconcurrency: {key: k}\ntasks:\n  - {id: a, run: x}\n");
  world.workflow("name: other\nconcurrency: {key: o}\ntasks:\n  - {id: a, run: x}\n");
  world.workflow(
      "name: parent\nconcurrency: {key: k}\ntasks:\n  - {id: sub, workflow: {name: same}}\n"
      "  - {id: more, workflow: {name: other}, retry: {backoff: 1s, jitter: 0}}\n");
  world.workflow("name: free\ntasks:\n  - {id: sub, workflow: {name: other}}\n");
  const AgentId agent = world.agent("one");
  const RunId holder = world.start("other");
  const RunId run = world.start("parent");
  // It holds k already, so its child needs no other place; but it does not wait for a second key.
  EXPECT_EQ(world.state_of(run, "sub"), kChild);
  EXPECT_EQ(world.run(child_of(run, "sub")).state, RunState::kRunning);
  EXPECT_EQ(world.state_of(run, "more"), kBackoff);
  EXPECT_EQ(detail(run, "more").error.code, "CONCURRENCY_FULL");
  // A tree that holds none stands in line.
  const RunId free_run = world.start("free");
  const RunId queued = child_of(free_run, "sub");
  EXPECT_EQ(world.run(queued).state, RunState::kQueued);
  world.reread();
  world.finish(agent, holder, "a");
  EXPECT_EQ(world.run(queued).state, RunState::kRunning);
  world.finish(agent, queued, "a");
  world.pass(1'000);
  EXPECT_EQ(world.state_of(run, "more"), kChild);
}

TEST_F(FamilyTest, ManyChildrenSideBySide) {
  world.workflow("name: child\ntasks:\n  - {id: a, run: x}\n");
  world.workflow(
      "name: parent\ninputs: {items: {type: list}}\ntasks:\n"
      "  - {id: each, for_each: '${{ inputs.items }}', workflow: {name: child}}\n");
  std::string items = "1";
  for (int i = 1; i < 250; ++i) items += ",1";
  const AgentId agent = world.agent("one", 1'000);
  const RunId run = world.start("parent", "{\"items\": [" + items + "]}");
  EXPECT_EQ(world.state.live_runs, 1U + orchestration::kDefaultChildren);
  while (world.state.live_runs > 0) {
    RunId last;
    world.state.each_run([&](const Cow<core::Run>& one) {
      last = one->id;
      return true;
    });
    world.finish(agent, last, "a");
  }
  EXPECT_EQ(world.run(run).state, RunState::kSucceeded);
  EXPECT_EQ(world.done.size(), 251U);
}

TEST_F(FamilyTest, OutputsThatCannotBeToldFailTheRun) {
  world.workflow("name: w\noutputs: {n: tasks.a.output.n}\ntasks:\n  - {id: a, run: x}\n");
  world.workflow(
      "name: big\noutputs: {n: tasks.a.output.t + tasks.a.output.t}\ntasks:\n  - {id: a, run: x}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  world.finish(agent, run, "a", R"({"m": 1})");
  EXPECT_EQ(world.run(run).state, RunState::kFailed);
  EXPECT_EQ(world.run(run).error.code, "EXPRESSION_FAILED");
  const RunId big = world.start("big");
  world.finish(agent, big, "a", "{\"t\": \"" + std::string(9'000, 'x') + "\"}");
  EXPECT_EQ(world.run(big).state, RunState::kFailed);
  EXPECT_EQ(world.run(big).error.code, "PAYLOAD_TOO_LARGE");
}

}  // namespace
}  // namespace ez::core
