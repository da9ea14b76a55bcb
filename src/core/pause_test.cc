// Pause and resume of a workflow, an agent type, a namespace.
#include "core/pause.h"

#include "core/test_world.h"

namespace ez::core {
namespace {

using enum TaskState;

Reply set_pause(TestWorld& world, PauseKind kind, const std::string& name, bool paused) {
  pb::Command command;
  auto* body = command.mutable_set_pause();
  body->set_kind(static_cast<std::uint32_t>(kind));
  body->set_namespace_("default");
  body->set_name(name);
  body->set_paused(paused);
  body->set_principal("tester");
  body->set_comment("repairs");
  return world.send(std::move(command));
}

constexpr const char* kTwo = "name: w\ntasks:\n  - {id: a, run: x}\n  - {id: b, dependencies: [a], run: x}\n";

class EachKind : public testing::TestWithParam<std::pair<PauseKind, const char*>> {};

TEST_P(EachKind, NothingNewStartsAndWhatRunsGoesOn) {
  const auto& [kind, name] = GetParam();
  TestWorld world;
  world.workflow(kTwo);
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  const Lease lease = world.assign(agent, run, {"a"}).at(0);
  EXPECT_FALSE(set_pause(world, kind, name, true).error);
  EXPECT_FALSE(set_pause(world, kind, name, true).error);  // again: as it is
  EXPECT_EQ(world.report(lease, pb::ReportResult::SUCCEEDED), Reply::Result::kAccepted);
  EXPECT_EQ(world.state_of(run, "b"), kReady);
  EXPECT_TRUE(world.assign(agent, run, {"b"}).empty());
  const RunId later = world.start("w");
  world.reread();
  EXPECT_TRUE(world.assign(agent, later, {"a"}).empty());
  ASSERT_EQ(world.state.pause_board->size(), 1U);
  EXPECT_EQ(world.state.pause_board->front().comment, "repairs");
  EXPECT_NE(holding_pause(world.state, world.run(run), world.run(run).tasks[1]), nullptr);
  EXPECT_FALSE(set_pause(world, kind, name, false).error);
  EXPECT_EQ(set_pause(world, kind, name, false).error->code(), Code::WrongState);
  EXPECT_TRUE(world.state.pause_board->empty());
  world.finish(agent, run, "b");
  world.finish(agent, later, "a");
}

INSTANTIATE_TEST_SUITE_P(Pause, EachKind,
                         testing::Values(std::pair(PauseKind::kWorkflow, "w"),
                                         std::pair(PauseKind::kNamespace, "default"),
                                         std::pair(PauseKind::kAgentType, "exec")));

TEST(Pause, OthersAreNotHeldUp) {
  TestWorld world;
  world.workflow(kTwo);
  world.workflow("name: v\ntasks:\n  - {id: a, run: x}\n");
  const AgentId agent = world.agent("one");
  const RunId held = world.start("w");
  const RunId free = world.start("v");
  EXPECT_FALSE(set_pause(world, PauseKind::kWorkflow, "w", true).error);
  EXPECT_TRUE(world.assign(agent, held, {"a"}).empty());
  world.finish(agent, free, "a");
  // A new version of a paused workflow is paused too.
  world.workflow("name: w\ndescription: second\ntasks:\n  - {id: a, run: x}\n");
  EXPECT_TRUE(world.assign(agent, world.start("w"), {"a"}).empty());
}

TEST(Pause, TheWaitForAnAgentBeginsAnewAfterAPause) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: a, run: x, on_failure: fail, timeout: {schedule_to_start: 1m}}\n");
  const RunId run = world.start("w");
  EXPECT_FALSE(set_pause(world, PauseKind::kWorkflow, "w", true).error);
  world.pass(300'000);
  EXPECT_EQ(world.state_of(run, "a"), kReady);
  EXPECT_FALSE(set_pause(world, PauseKind::kWorkflow, "w", false).error);
  world.pass(59'000);
  EXPECT_EQ(world.state_of(run, "a"), kReady);
  world.pass(61'000);
  EXPECT_EQ(world.run(run).state, RunState::kFailed);
}

TEST(Pause, WhatDoesNotExistCannotBePaused) {
  TestWorld world;
  EXPECT_EQ(set_pause(world, PauseKind::kWorkflow, "w", true).error->code(), Code::WorkflowNotFound);
  EXPECT_EQ(set_pause(world, PauseKind::kNamespace, "n", true).error->code(), Code::NamespaceNotFound);
  EXPECT_EQ(set_pause(world, PauseKind::kAgentType, "t", true).error->code(), Code::AgentNotFound);
  EXPECT_EQ(set_pause(world, PauseKind::kNone, "t", true).error->code(), Code::RequestInvalid);
}

// A pause takes as long with many tasks as with few: no task is looked at.
TEST(Pause, ManyReadyTasksCostNothing) {
  TestWorld world;
  std::string items;
  for (int i = 0; i < 20'000; ++i) items += (i == 0 ? "" : ",") + std::to_string(i);
  world.workflow(
      "name: w\ninputs: {items: {type: list}}\ntasks:\n  - {id: a, run: x, for_each: '${{ inputs.items "
      "}}'}\n");
  const RunId run = world.start("w", "{\"items\": [" + items + "]}");
  const auto before = world.state.share_run(run);  // a write to any task would copy the run
  EXPECT_FALSE(set_pause(world, PauseKind::kWorkflow, "w", true).error);
  EXPECT_EQ(world.state.find_run(run), &before.read());
  EXPECT_TRUE(world.state.classes.at(0).turns.empty());
  EXPECT_EQ(world.state.classes.at(0).ready, 20'000U);
}

}  // namespace
}  // namespace ez::core
