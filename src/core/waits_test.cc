// Waits for time and for signals.
#include "core/waits.h"

#include "core/test_world.h"
#include "core/why.h"

namespace ez::core {
namespace {

using enum TaskState;

Reply signal(TestWorld& world, RunId run, const std::string& name, const std::string& payload = "",
             const std::string& id = "") {
  pb::Command command;
  auto* body = command.mutable_send_signal();
  body->set_run(run.value);
  body->set_name(name);
  body->set_payload(payload);
  body->set_id(id);
  body->set_principal("ann");
  return world.send(std::move(command));
}

std::string output_of(const TestWorld& world, RunId run, const std::string& task) {
  return world.run(run).tasks[world.run(run).find(task)].get().output;
}

std::string said(const TestWorld& world, RunId run, const std::string& task) {
  return std::string(
      why_view(world.state, world.run(run), world.run(run).find(task)).string_or("summary", ""));
}

TEST(Waits, ForAStretchOfTimeAlsoAcrossARestart) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: cool, wait: {for: 10m}}\n  - {id: b, dependencies: [cool], run: x}\n");
  const RunId run = world.start("w");
  EXPECT_EQ(world.state_of(run, "cool"), kTimer);
  EXPECT_EQ(world.state.timers.size(), 1U);
  EXPECT_NE(said(world, run, "cool").find("waits until 1970-01-01T00:26:40.000Z"), std::string::npos);
  world.pass(599'999);
  world.reread();
  EXPECT_EQ(world.state_of(run, "cool"), kTimer);
  world.pass(1);
  EXPECT_EQ(world.state_of(run, "cool"), kSucceeded);
  EXPECT_EQ(world.state_of(run, "b"), kReady);
}

TEST(Waits, UntilAMomentThatMayBePastAlready) {
  TestWorld world;
  world.workflow(
      "name: w\ninputs: {at: {type: string}}\ntasks:\n  - {id: a, wait: {until: '${{ inputs.at }}'}}\n");
  const RunId later = world.start("w", R"({"at": "1970-01-01T01:20:00.5+01:00"})");
  EXPECT_EQ(world.state_of(later, "a"), kTimer);
  world.pass(200'499);
  EXPECT_EQ(world.state_of(later, "a"), kTimer);
  world.pass(1);
  EXPECT_EQ(world.run(later).state, RunState::kSucceeded);
  const RunId past = world.start("w", R"({"at": "1970-01-01T00:00:00Z"})");
  EXPECT_EQ(world.run(past).state, RunState::kSucceeded);
  const RunId wrong = world.start("w", R"({"at": "tomorrow"})");
  EXPECT_EQ(world.run(wrong).state, RunState::kFailed);
  EXPECT_EQ(world.run(wrong).error.code, "EXPRESSION_FAILED");
  EXPECT_NE(world.run(wrong).error.message.find("`tomorrow`"), std::string::npos);
  const RunId far = world.start("w", R"({"at": "2999-01-01T00:00:00Z"})");
  EXPECT_EQ(world.run(far).state, RunState::kFailed);
}

TEST(Waits, ASignalIsTakenByOneWaitTheOldestFirst) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: step, run: x}\n  - {id: late, dependencies: [step], wait: {signal: go}}\n"
      "  - {id: early, wait: {signal: go}}\n  - {id: other, wait: {signal: stop}}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  world.now_ms += 5;
  world.finish(agent, run, "step");
  EXPECT_NE(said(world, run, "late").find("`ez signal r1 go`"), std::string::npos);
  const Reply first = signal(world, run, "go", R"({"n":1})");
  EXPECT_EQ(first.task, "early");
  EXPECT_TRUE(first.created);
  EXPECT_EQ(output_of(world, run, "early"), R"({"n":1})");
  EXPECT_EQ(world.state_of(run, "late"), kSignal);
  EXPECT_EQ(signal(world, run, "go").task, "late");
  EXPECT_EQ(world.state_of(run, "other"), kSignal);
  EXPECT_EQ(signal(world, run, "stop").task, "other");
  EXPECT_EQ(world.run(run).state, RunState::kSucceeded);
  EXPECT_EQ(signal(world, run, "stop").error->code(), Code::RunNotFound);
}

TEST(Waits, ASignalThatComesBeforeItsWaitIsKeptInOrder) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: step, run: x}\n  - {id: a, dependencies: [step], wait: {signal: go}}\n"
      "  - {id: b, dependencies: [a], wait: {signal: go}}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  EXPECT_EQ(signal(world, run, "go", "1").task, "");
  EXPECT_EQ(signal(world, run, "go", "2").task, "");
  world.reread();
  world.finish(agent, run, "step");
  EXPECT_EQ(world.run(run).state, RunState::kSucceeded);
  EXPECT_EQ(output_of(world, run, "a"), "1");
  EXPECT_EQ(output_of(world, run, "b"), "2");
}

TEST(Waits, ARepeatedSignalCountsOnce) {
  TestWorld world;
  world.workflow("name: w\ntasks:\n  - {id: a, wait: {signal: go}}\n  - {id: b, wait: {signal: go}}\n");
  const RunId run = world.start("w");
  EXPECT_EQ(signal(world, run, "go", "1", "x").task, "a");
  world.reread();
  const Reply again = signal(world, run, "go", "1", "x");
  EXPECT_FALSE(again.error.has_value());
  EXPECT_FALSE(again.created);
  EXPECT_EQ(world.state_of(run, "b"), kSignal);
  EXPECT_EQ(signal(world, run, "go", "2", "x").error->code(), Code::IdempotencyConflict);
  EXPECT_EQ(signal(world, run, "go", "1", "y").task, "b");
}

TEST(Waits, WhatIsKeptIsBounded) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: s, run: x}\n  - {id: a, dependencies: [s], wait: {signal: go}}\n");
  const RunId run = world.start("w");
  EXPECT_EQ(signal(world, run, "gone").error->code(), Code::SignalNotFound);
  const std::string large = "\"" + std::string(kMaxInlineBytes - 2, 'x') + "\"";
  EXPECT_EQ(signal(world, run, "go", large + " ").error->code(), Code::PayloadTooLarge);
  for (int i = 0; i < 16; ++i) EXPECT_FALSE(signal(world, run, "go", large).error.has_value());
  EXPECT_EQ(signal(world, run, "go", "1").error->code(), Code::SignalsFull);
  const RunId small = world.start("w");
  for (std::size_t i = 0; i < kMaxKeptSignals; ++i)
    EXPECT_FALSE(signal(world, small, "go", "", "id" + std::to_string(i)).error.has_value());
  EXPECT_EQ(signal(world, small, "go", "", "one-more").error->code(), Code::SignalsFull);
  // What was refused was not counted; what was counted is still known.
  EXPECT_FALSE(signal(world, small, "go", "", "id0").error.has_value());
  EXPECT_EQ(world.run(small).mail->kept.size(), kMaxKeptSignals);
}

TEST(Waits, ATimeoutFailsTheTaskAsItsPolicySays) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: asks, wait: {signal: go, timeout: 1m}}\n"
      "  - {id: goes, on_failure: continue, wait: {signal: go, timeout: 2m}}\n"
      "  - {id: after, dependencies: [goes], when: \"tasks.goes.error.code == 'TASK_TIMEOUT'\", run: x}\n");
  const RunId run = world.start("w");
  world.pass(60'000);
  EXPECT_EQ(world.state_of(run, "asks"), kPaused);
  EXPECT_EQ(world.run(run).tasks[0].get().error.code, "TASK_TIMEOUT");
  EXPECT_FALSE(world.decide(run, "asks", pb::ControlTask::RETRY).error.has_value());
  EXPECT_EQ(world.state_of(run, "asks"), kSignal);
  EXPECT_EQ(world.run(run).tasks[0].due_ms, world.now_ms + 60'000);
  world.pass(60'000);
  EXPECT_EQ(world.state_of(run, "goes"), kFailed);
  EXPECT_EQ(world.state_of(run, "after"), kReady);
  EXPECT_FALSE(world.decide(run, "asks", pb::ControlTask::REJECT).error.has_value());
  EXPECT_EQ(world.run(run).state, RunState::kFailed);
}

TEST(Waits, APausedRunTakesWhatCameWhenItIsResumed) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: t, wait: {for: 1m}}\n  - {id: s, wait: {signal: go, timeout: 1m}}\n"
      "  - {id: u, wait: {signal: other, timeout: 1m}}\n");
  const RunId run = world.start("w");
  world.control(run, pb::ControlRun::PAUSE);
  EXPECT_EQ(signal(world, run, "go", "7").task, "");
  world.pass(70'000);
  world.reread();
  EXPECT_EQ(world.state_of(run, "t"), kTimer);
  EXPECT_EQ(world.state_of(run, "s"), kSignal);
  EXPECT_NE(said(world, run, "t").find("when the run is resumed"), std::string::npos);
  world.control(run, pb::ControlRun::RESUME);
  EXPECT_EQ(world.state_of(run, "t"), kSucceeded);
  EXPECT_EQ(output_of(world, run, "s"), "7");
  // The pause was nobody's fault: the timeout begins anew.
  EXPECT_EQ(world.state_of(run, "u"), kSignal);
  world.pass(59'999);
  EXPECT_EQ(world.state_of(run, "u"), kSignal);
  world.pass(1);
  EXPECT_EQ(world.state_of(run, "u"), kPaused);
}

TEST(Waits, AreCancelledWithTheirRunAndMayBeDoneAgain) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: s, wait: {signal: go}}\n  - {id: t, dependencies: [s], wait: {for: 1h}}\n");
  const RunId run = world.start("w");
  signal(world, run, "go", "1");
  EXPECT_EQ(world.state_of(run, "t"), kTimer);
  pb::Command again;
  again.mutable_restart_task()->set_run(run.value);
  again.mutable_restart_task()->set_task("s");
  again.mutable_restart_task()->set_redo(true);
  EXPECT_FALSE(world.send(std::move(again)).error.has_value());
  EXPECT_EQ(world.state_of(run, "s"), kSignal);
  EXPECT_EQ(world.state_of(run, "t"), kWaiting);
  EXPECT_TRUE(world.state.timers.empty());
  signal(world, run, "go", "2");
  world.control(run, pb::ControlRun::CANCEL);
  EXPECT_EQ(world.state_of(run, "t"), kCancelled);
  EXPECT_EQ(output_of(world, run, "s"), "2");
  EXPECT_TRUE(world.state.timers.empty());
}

TEST(Waits, GoAlongWhenTheRunMovesToAnotherVersion) {
  TestWorld world;
  const auto migrate = [&](RunId run, std::uint32_t version) {
    pb::Command command;
    command.mutable_migrate_run()->set_run(run.value);
    command.mutable_migrate_run()->set_to_version(version);
    return world.send(std::move(command));
  };
  world.workflow("name: w\ntasks:\n  - {id: s, wait: {signal: go}}\n");
  const RunId run = world.start("w");
  const RunId other = world.start("w");
  world.workflow(
      "name: w\ntasks:\n  - {id: first, run: x}\n  - {id: s, wait: {signal: go}}\n"
      "  - {id: t, dependencies: [s], wait: {for: 1m}}\n");
  EXPECT_FALSE(migrate(run, 2).error.has_value());
  EXPECT_EQ(signal(world, run, "go").task, "s");
  EXPECT_EQ(world.state_of(run, "t"), kTimer);
  world.reread();
  world.workflow("name: w\ntasks:\n  - {id: s, wait: {signal: stop}}\n");
  EXPECT_EQ(migrate(other, 3).error->code(), Code::MigrationRefused);
  world.workflow("name: w\ntasks:\n  - {id: s, run: x}\n");
  EXPECT_EQ(migrate(other, 4).error->code(), Code::MigrationRefused);
  EXPECT_EQ(world.state_of(other, "s"), kSignal);
}

TEST(Waits, OneForEachItem) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: each, for_each: \"${{ [1, 2] }}\", wait: {signal: vote}}\n"
      "  - {id: sum, dependencies: [each], run: x,\n"
      "     when: 'tasks.each.outputs[0] + tasks.each.outputs[1] == 5'}\n");
  const RunId run = world.start("w");
  EXPECT_EQ(signal(world, run, "vote", "2").task, "each.0");
  EXPECT_EQ(signal(world, run, "vote", "3").task, "each.1");
  EXPECT_EQ(world.state_of(run, "sum"), kReady);
}

}  // namespace
}  // namespace ez::core
