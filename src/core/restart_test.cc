// Tasks of a live run that are done again: alone, or with everything that follows.
#include "core/test_world.h"

namespace ez::core {
namespace {

using enum TaskState;

class Restart : public ::testing::Test {
 protected:
  Restart() : agent(world.agent("one")) {}
  Reply restart(const std::string& task, bool redo) {
    pb::Command command;
    command.mutable_restart_task()->set_run(run.value);
    command.mutable_restart_task()->set_task(task);
    command.mutable_restart_task()->set_redo(redo);
    command.mutable_restart_task()->set_principal("tester");
    return world.send(std::move(command));
  }
  void begin(const std::string& tasks, const std::string& inputs = "{}") {
    world.workflow("name: w\ninputs: {items: {type: list, default: []}}\ntasks:\n" + tasks);
    run = world.start("w", inputs);
  }
  void finish(const std::string& task, const std::string& output = "") {
    world.finish(agent, run, task, output);
  }
  [[nodiscard]] TaskState state(const std::string& task) const { return world.state_of(run, task); }

  TestWorld world;
  AgentId agent;
  RunId run;
};

constexpr char kChain[] =
    "  - {id: a, run: x}\n  - {id: b, dependencies: [a], run: x}\n  - {id: c, dependencies: [b], run: x}\n"
    "  - {id: d, run: x}\n";

TEST_F(Restart, RedoneWithWhatFollows) {
  begin(kChain);
  finish("a", "1");
  finish("b", "2");
  const Lease stopped = world.assign(agent, run, {"c"}).at(0);
  EXPECT_FALSE(restart("a", true).error);
  EXPECT_EQ(state("a"), kReady);
  EXPECT_EQ(state("b"), kWaiting);
  EXPECT_EQ(state("c"), kWaiting);
  EXPECT_EQ(state("d"), kReady);
  ASSERT_EQ(world.effects.cancelled.size(), 1U);
  EXPECT_EQ(world.report(stopped, pb::ReportResult::SUCCEEDED), Reply::Result::kStale);
  const auto lease = world.assign(agent, run, {"a"}).at(0);
  EXPECT_EQ(lease.attempt, 2U);
  world.report(lease, pb::ReportResult::SUCCEEDED, "9");
  finish("b");
  finish("c");
  finish("d");
  EXPECT_EQ(world.run(run).state, RunState::kSucceeded);
  EXPECT_EQ(world.run(run).tasks[0].get().output, "9");
}

TEST_F(Restart, WhatFollowsKeepsItsResults) {
  begin(kChain);
  finish("a", "1");
  finish("b", "2");
  EXPECT_FALSE(restart("a", false).error);
  EXPECT_EQ(state("a"), kReady);
  EXPECT_EQ(state("b"), kSucceeded);
  EXPECT_EQ(state("c"), kReady);
  finish("a");
  finish("c");
  EXPECT_FALSE(restart("b", false).error);
  finish("b");
  finish("d");
  EXPECT_EQ(world.run(run).state, RunState::kSucceeded);
}

TEST_F(Restart, WhoWaitedWaitsAgain) {
  begin("  - {id: a, run: x}\n  - {id: e, run: x}\n  - {id: b, dependencies: [a, e], run: x}\n");
  finish("a");
  EXPECT_FALSE(restart("a", false).error);
  finish("e");
  EXPECT_EQ(state("b"), kWaiting);
  finish("a");
  EXPECT_EQ(state("b"), kReady);
}

TEST_F(Restart, ACancelledTaskTakesWhatItCancelledWithIt) {
  begin(kChain);
  world.decide(run, "a", pb::ControlTask::CANCEL);
  EXPECT_EQ(state("c"), kCancelled);
  EXPECT_FALSE(restart("a", true).error);
  EXPECT_EQ(state("c"), kWaiting);
  for (const char* task : {"a", "b", "c", "d"}) finish(task);
  EXPECT_EQ(world.run(run).state, RunState::kSucceeded);
}

TEST_F(Restart, OneInstanceOfAForEach) {
  begin(
      "  - {id: each, for_each: '${{ inputs.items }}', run: x}\n  - {id: join, dependencies: [each], run: "
      "x}\n"
      "  - {id: d, run: x}\n",
      R"({"items": [1, 2]})");
  finish("each.0");
  finish("each.1");
  finish("join");
  EXPECT_FALSE(restart("each.1", true).error);
  EXPECT_EQ(state("each"), kExpanded);
  EXPECT_EQ(state("each.0"), kSucceeded);
  EXPECT_EQ(state("join"), kWaiting);
  finish("each.1");
  EXPECT_EQ(state("each"), kSucceeded);
  finish("join");
  EXPECT_EQ(restart("each", true).error->code(), Code::WrongState);
  EXPECT_FALSE(restart("each.0", false).error);
  EXPECT_EQ(state("join"), kSucceeded);
  finish("each.0");
  finish("d");
  EXPECT_EQ(world.run(run).state, RunState::kSucceeded);
}

TEST_F(Restart, WhatCannotBeDoneAgainIsRefused) {
  begin(kChain);
  EXPECT_EQ(restart("a", true).error->code(), Code::WrongState);  // it is ready
  EXPECT_EQ(restart("b", true).error->code(), Code::WrongState);  // it waits
  EXPECT_EQ(restart("z", true).error->code(), Code::TaskNotFound);
  run = RunId{77};
  EXPECT_EQ(restart("a", true).error->code(), Code::RunNotFound);
}

TEST_F(Restart, InAPausedRunItWaitsForTheRun) {
  begin(kChain);
  finish("a");
  world.control(run, pb::ControlRun::PAUSE);
  EXPECT_FALSE(restart("a", true).error);
  EXPECT_TRUE(world.assign(agent, run, {"a"}).empty());
  world.control(run, pb::ControlRun::RESUME);
  finish("a");
  EXPECT_EQ(state("b"), kReady);
}

}  // namespace
}  // namespace ez::core
