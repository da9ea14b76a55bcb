// Live runs that move to another version of their workflow.
#include "core/migration.h"

#include "core/test_world.h"

namespace ez::core {
namespace {

using enum TaskState;

class Migrations : public ::testing::Test {
 protected:
  Migrations() : agent(world.agent("one")) {}
  void version(const std::string& tasks, const std::string& top = "") {
    last = world.workflow(
        "name: w\n" + top +
        (top.find("inputs") == std::string::npos ? "inputs: {items: {type: list, default: [1, 2]}}\n" : "") +
        "tasks:\n" + tasks);
  }
  Reply migrate(std::uint32_t to = 0, std::uint32_t from = 0) {
    pb::Command command;
    command.mutable_migrate_run()->set_run(run.value);
    command.mutable_migrate_run()->set_to_version(to);
    command.mutable_migrate_run()->set_from_version(from);
    command.mutable_migrate_run()->set_principal("tester");
    const Reply reply = world.send(std::move(command));
    world.reread();
    return reply;
  }
  // The refusal, which changes nothing.
  std::string refused() {
    const Reply reply = migrate();
    EXPECT_TRUE(reply.error);
    if (!reply.error) return "";
    EXPECT_EQ(reply.error->code(), Code::MigrationRefused);
    EXPECT_EQ(world.run(run).workflow->version, 1U);
    return reply.error->message();
  }
  void finish(const std::string& task, const std::string& output = "") {
    world.finish(agent, run, task, output);
  }
  [[nodiscard]] TaskState state(const std::string& task) const { return world.state_of(run, task); }

  TestWorld world;
  AgentId agent;
  RunId run;
  std::uint32_t last = 0;
};

constexpr char kOld[] =
    "  - {id: a, run: x}\n  - {id: b, dependencies: [a], run: old}\n  - {id: c, dependencies: [b], run: x}\n";

TEST_F(Migrations, WhatHasNotBegunIsThatOfTheNewVersion) {
  version(kOld);
  run = world.start("w");
  finish("a", "7");
  // b waits for an agent: it has begun; c is gone, d is new and stands before everything.
  version(
      "  - {id: d, dependencies: [a], run: x}\n  - {id: b, dependencies: [a], run: old}\n"
      "  - {id: a, run: x}\n  - {id: e, dependencies: [b, d], run: '${{ tasks.d.output }}'}\n");
  const Reply reply = migrate(2, 1);
  ASSERT_FALSE(reply.error) << reply.error->to_string();
  EXPECT_EQ(reply.version, 2U);
  EXPECT_EQ(state("a"), kSucceeded);
  EXPECT_EQ(world.run(run).tasks[world.run(run).find("a")].get().output, "7");
  EXPECT_EQ(state("b"), kReady);
  EXPECT_EQ(state("d"), kReady);
  EXPECT_EQ(world.run(run).find("c"), UINT32_MAX);
  for (const char* task : {"d", "b", "e"}) finish(task);
  EXPECT_EQ(world.run(run).state, RunState::kSucceeded);
  ASSERT_TRUE(world.run(run).migrations);
  EXPECT_EQ(world.run(run).migrations->at(0).from_version, 1U);
}

TEST_F(Migrations, LeasesInstancesTimersAndPlacesGoAlong) {
  const std::string group =
      "  - {id: g, run: x, for_each: '${{ inputs.items }}', max_parallel: 1, concurrency: {key: k, limit: 1},"
      " timeout: {start_to_close: 1m}}\n";
  version(group + "  - {id: z, dependencies: [g], run: x}\n");
  run = world.start("w");
  const auto leases = world.assign(agent, run, {"g.0"});
  ASSERT_EQ(leases.size(), 1U);
  EXPECT_EQ(state("g.1"), kThrottled);
  version("  - {id: first, run: x}\n" + group + "  - {id: z, dependencies: [g, first], run: y}\n");
  ASSERT_FALSE(migrate().error);
  EXPECT_EQ(state("g.0"), kRunning);
  EXPECT_EQ(world.report(leases[0], pb::ReportResult::SUCCEEDED), Reply::Result::kAccepted);
  EXPECT_EQ(state("g.1"), kReady);
  ASSERT_EQ(world.assign(agent, run, {"g.1"}).size(), 1U);
  world.pass(60'000);  // its timer still finds it
  EXPECT_NE(state("g.1"), kRunning);
  world.pass(60'000);
  finish("g.1");
  finish("first");
  finish("z");
  EXPECT_EQ(world.run(run).state, RunState::kSucceeded);
}

TEST_F(Migrations, WhatHasBegunMustBeTheSame) {
  version(kOld);
  run = world.start("w");
  finish("a");
  version("  - {id: a, run: x}\n  - {id: b, dependencies: [a], run: new}\n");
  EXPECT_NE(refused().find("task b has begun, and its run is another one there"), std::string::npos);
  version("  - {id: a, run: x}\n");
  EXPECT_NE(refused().find("task b has begun, and that version has no such task"), std::string::npos);
  version("  - {id: q, run: x}\n  - {id: a, run: x}\n  - {id: b, dependencies: [a, q], run: old}\n");
  EXPECT_NE(refused().find("task b has begun, and there it waits for q"), std::string::npos);
  version(kOld, "inputs: {must: {type: string}}\n");
  EXPECT_NE(refused().find("must"), std::string::npos);
  version(kOld, "concurrency: {key: k, limit: 1}\n");
  EXPECT_NE(refused().find("concurrency"), std::string::npos);
  // Retries and timeouts may change under way.
  version("  - {id: a, run: x}\n  - {id: b, dependencies: [a], run: old, retry: {max_attempts: 9}}\n");
  EXPECT_FALSE(migrate().error);
}

TEST_F(Migrations, OtherMistakesAreAnswered) {
  version(kOld);
  run = world.start("w");
  EXPECT_EQ(migrate().error->code(), Code::WrongState);
  EXPECT_EQ(migrate(9).error->code(), Code::WorkflowNotFound);
  version("  - {id: a, run: x}\n");
  EXPECT_EQ(migrate(2, 7).error->code(), Code::WrongState);
  run = RunId{99};
  EXPECT_EQ(migrate().error->code(), Code::RunNotFound);
}

TEST_F(Migrations, PausedQueuedAndBackAgain) {
  version("  - {id: a, run: x}\n  - {id: b, dependencies: [a], run: x}\n");
  run = world.start("w");
  world.control(run, pb::ControlRun::PAUSE);
  version("  - {id: n, run: x}\n  - {id: a, run: x}\n  - {id: b, dependencies: [a, n], run: x}\n");
  ASSERT_FALSE(migrate().error);
  // n has begun by now: the way back is closed.
  EXPECT_EQ(migrate(1).error->code(), Code::MigrationRefused);
  world.control(run, pb::ControlRun::RESUME);
  for (const char* task : {"n", "a", "b"}) finish(task);
  EXPECT_EQ(world.run(run).state, RunState::kSucceeded);
}

TEST_F(Migrations, ARunOfWhichNothingIsLeftEnds) {
  version(
      "  - {id: a, run: x}\n  - {id: b, dependencies: [a], run: x, when: 'false'}\n"
      "  - {id: w, dependencies: [a], approval: {}}\n  - {id: c, dependencies: [w], run: x}\n");
  run = world.start("w");
  finish("a");
  EXPECT_FALSE(world.decide(run, "w", pb::ControlTask::CANCEL).error);
  EXPECT_EQ(world.run(run).state, RunState::kFailed);
}

TEST_F(Migrations, CompensationsComeAndGo) {
  version("  - {id: a, run: x}\n  - {id: b, dependencies: [a], run: x, on_failure: rollback}\n");
  run = world.start("w");
  finish("a");
  version(
      "  - {id: a, run: x, compensate: {run: u}}\n"
      "  - {id: b, dependencies: [a], run: x, on_failure: rollback, retry: {max_attempts: 1}}\n");
  ASSERT_FALSE(migrate().error);
  const auto lease = world.assign(agent, run, {"b"});
  world.report(lease[0], pb::ReportResult::FAILED);
  EXPECT_EQ(migrate(1).error->code(), Code::WrongState);
  finish("undo-a");
  EXPECT_EQ(world.run(run).state, RunState::kFailed);
}

}  // namespace
}  // namespace ez::core
