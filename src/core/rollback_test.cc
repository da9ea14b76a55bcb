// on_failure: rollback: what is undone, in which order, and what can happen on the way.
#include "core/rollback.h"

#include "core/test_world.h"

namespace ez::core {
namespace {

using enum TaskState;

class Rollbacks : public ::testing::Test {
 protected:
  Rollbacks() : agent(world.agent("one")) {}
  void begin(const std::string& tasks, const std::string& top = "", const std::string& inputs = "{}") {
    ASSERT_EQ(world.workflow("name: w\n" + top +
                             "inputs: {items: {type: list, default: []}}\n"
                             "defaults: {retry: {max_attempts: 1}, on_failure: rollback}\ntasks:\n" +
                             tasks),
              1U);
    run = world.start("w", inputs);
  }
  void finish(const std::string& task, const std::string& output = "") {
    world.finish(agent, run, task, output);
  }
  void fail(const std::string& task) {
    const auto leases = world.assign(agent, run, {task});
    ASSERT_EQ(leases.size(), 1U) << task << " is " << to_text(state(task));
    world.report(leases[0], pb::ReportResult::FAILED);
  }
  [[nodiscard]] TaskState state(const std::string& task) const { return world.state_of(run, task); }
  [[nodiscard]] const core::Run& it() const { return world.run(run); }
  // The compensations that ran, by doing them until the run is over.
  std::vector<std::string> undo() {
    std::vector<std::string> done;
    while (world.state.find_run(run) != nullptr) {
      std::string ready;
      for (std::uint32_t i = 0; i < it().tasks.size(); ++i) {
        if (it().tasks[i].state == kReady) ready = it().key_of(it().tasks[i]);
      }
      if (ready.empty()) break;
      done.push_back(ready);
      finish(ready);
      world.reread();
    }
    return done;
  }

  TestWorld world;
  AgentId agent;
  RunId run;
};

using Names = std::vector<std::string>;

constexpr char kThree[] =
    "  - {id: a, run: x, compensate: {run: u}}\n"
    "  - {id: b, dependencies: [a], run: x, compensate: {run: u}}\n"
    "  - {id: c, dependencies: [b], run: x, compensate: {run: u}}\n";

TEST_F(Rollbacks, UndoWhatSucceededTheLastFirst) {
  begin(kThree);
  EXPECT_EQ(state("undo-a"), kSkipped);
  EXPECT_EQ(it().open, 3U);
  finish("a");
  finish("b");
  fail("c");
  EXPECT_EQ(rollback_state(it()), "under_way");
  EXPECT_EQ(it().state, RunState::kRunning);
  EXPECT_EQ(undo(), (Names{"undo-b", "undo-a"}));
  EXPECT_EQ(it().state, RunState::kFailed);
  EXPECT_EQ(rollback_state(it()), "done");
  EXPECT_EQ(it().error.code, "COMMAND_FAILED");
  EXPECT_EQ(state("undo-c"), kSkipped);
}

TEST_F(Rollbacks, ARunThatSucceedsUndoesNothing) {
  begin(kThree);
  for (const char* task : {"a", "b", "c"}) finish(task);
  EXPECT_EQ(it().state, RunState::kSucceeded);
  EXPECT_EQ(state("undo-a"), kSkipped);
  EXPECT_EQ(rollback_state(it()), "");
}

TEST_F(Rollbacks, NothingToUndoIsDoneAtOnce) {
  begin(kThree);
  fail("a");
  EXPECT_EQ(it().state, RunState::kFailed);
  EXPECT_EQ(rollback_state(it()), "done");
}

TEST_F(Rollbacks, ByCompletionAmongIndependentTasks) {
  begin(
      "  - {id: a, run: x, compensate: {run: u}}\n  - {id: b, run: x, compensate: {run: u}}\n"
      "  - {id: c, run: x, compensate: {run: u}}\n  - {id: d, run: x}\n");
  finish("b");
  finish("c");
  finish("a");
  fail("d");
  EXPECT_EQ(undo(), (Names{"undo-a", "undo-c", "undo-b"}));
}

TEST_F(Rollbacks, NeverBeforeWhatDependsOnIt) {
  begin(kThree);
  finish("a");
  finish("b");
  // a is done again, after b: it is undone last all the same.
  pb::Command again;
  again.mutable_restart_task()->set_run(run.value);
  again.mutable_restart_task()->set_task("a");
  world.send(std::move(again));
  finish("a");
  fail("c");
  EXPECT_EQ(undo(), (Names{"undo-b", "undo-a"}));
}

TEST_F(Rollbacks, WaitUntilAgentsHaveStopped) {
  begin("  - {id: a, run: x, compensate: {run: u}}\n  - {id: b, run: x}\n  - {id: c, run: x}\n");
  finish("a");
  const auto running = world.assign(agent, run, {"b"});
  fail("c");
  EXPECT_EQ(state("b"), kCancelled);
  EXPECT_EQ(it().open, 0U);
  world.reread();
  EXPECT_EQ(world.report(running[0], pb::ReportResult::CANCELLED), Reply::Result::kStale);
  EXPECT_EQ(undo(), (Names{"undo-a"}));
  EXPECT_EQ(rollback_state(it()), "done");
}

TEST_F(Rollbacks, ACompensationThatFailsPausesAndAsks) {
  begin(kThree);
  finish("a");
  finish("b");
  fail("c");
  fail("undo-b");
  EXPECT_EQ(state("undo-b"), kPaused);
  world.reread();
  EXPECT_FALSE(world.decide(run, "undo-b", pb::ControlTask::RETRY).error);
  fail("undo-b");
  // A person gives it up: the next one comes.
  EXPECT_FALSE(world.decide(run, "undo-b", pb::ControlTask::REJECT).error);
  EXPECT_EQ(state("undo-b"), kFailed);
  EXPECT_EQ(undo(), (Names{"undo-a"}));
  EXPECT_EQ(it().state, RunState::kFailed);
  EXPECT_EQ(rollback_state(it()), "incomplete");
}

TEST_F(Rollbacks, ACompensationHasRetriesOfItsOwn) {
  begin(
      "  - id: a\n    run: x\n    compensate: {run: u, retry: {max_attempts: 2, backoff: 1s}}\n"
      "  - {id: b, run: x, dependencies: [a]}\n");
  finish("a");
  fail("b");
  fail("undo-a");
  EXPECT_EQ(state("undo-a"), kBackoff);
  world.pass(5'000);
  EXPECT_EQ(undo(), (Names{"undo-a"}));
  EXPECT_EQ(it().tasks[it().find("undo-a")].attempt, 2U);
}

TEST_F(Rollbacks, OfAForEachOnceWhenAnyInstanceSucceeded) {
  begin("  - {id: a, run: x, for_each: '${{ inputs.items }}', compensate: {run: u}}\n", "",
        R"({"items":[1,2]})");
  finish("a.1");
  fail("a.0");
  EXPECT_EQ(undo(), (Names{"undo-a"}));
  EXPECT_EQ(rollback_state(it()), "done");
}

TEST_F(Rollbacks, ATaskOfItsOwnMayUndo) {
  begin(
      "  - {id: a, run: x, compensate: clean}\n  - {id: clean, run: u, when: tasks.a.output.made}\n"
      "  - {id: b, run: x, dependencies: [a]}\n");
  finish("a", R"({"made": false})");
  fail("b");
  // Its condition says that there is nothing to undo.
  EXPECT_EQ(it().state, RunState::kFailed);
  EXPECT_EQ(state("clean"), kSkipped);
  EXPECT_EQ(rollback_state(it()), "done");
}

TEST_F(Rollbacks, TheDeadlineRollsBackToo) {
  begin(kThree, "budget: {deadline: 1h}\n");
  finish("a");
  world.pass(3600 * 1000);
  EXPECT_EQ(it().error.code, "TASK_TIMEOUT");
  EXPECT_EQ(undo(), (Names{"undo-a"}));
  EXPECT_EQ(it().state, RunState::kFailed);
}

TEST_F(Rollbacks, ATaskThatSaysFailDoesNotRollBack) {
  begin(
      "  - {id: a, run: x, compensate: {run: u}}\n  - {id: b, run: x, dependencies: [a], on_failure: "
      "fail}\n");
  finish("a");
  fail("b");
  EXPECT_EQ(it().state, RunState::kFailed);
  EXPECT_EQ(rollback_state(it()), "");
}

TEST_F(Rollbacks, ItMayBeStoppedAndPaused) {
  begin(kThree);
  finish("a");
  finish("b");
  fail("c");
  world.control(run, pb::ControlRun::PAUSE);
  world.reread();
  world.control(run, pb::ControlRun::RESUME);
  finish("undo-b");
  world.control(run, pb::ControlRun::CANCEL);
  EXPECT_EQ(it().state, RunState::kCancelled);
  EXPECT_EQ(rollback_state(it()), "incomplete");
  EXPECT_EQ(it().error.code, "COMMAND_FAILED");
}

TEST_F(Rollbacks, NothingIsDoneAgainMeanwhile) {
  begin(kThree);
  pb::Command command;
  command.mutable_restart_task()->set_run(run.value);
  command.mutable_restart_task()->set_task("undo-a");
  EXPECT_EQ(world.send(command).error->code(), Code::WrongState);
  finish("a");
  finish("b");
  fail("c");
  command.mutable_restart_task()->set_task("b");
  EXPECT_EQ(world.send(command).error->code(), Code::WrongState);
}

}  // namespace
}  // namespace ez::core
