// Leases, timeouts, concurrency keys, priorities, merges, resumption.
#include "core/test_world.h"

namespace ez::core {
namespace {

using enum TaskState;

TEST(Lease, OneResultIsAcceptedAndRepeatsAreRecognised) {
  TestWorld world;
  world.workflow("name: w\ntasks:\n  - {id: a, run: x}\n  - {id: b, dependencies: [a], run: x}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  const Lease lease = world.assign(agent, run, {"a"}).at(0);
  EXPECT_TRUE(world.assign(agent, run, {"a"}).empty());
  EXPECT_EQ(world.report(lease, pb::ReportResult::SUCCEEDED), Reply::Result::kAccepted);
  EXPECT_EQ(world.report(lease, pb::ReportResult::SUCCEEDED), Reply::Result::kDuplicate);
  EXPECT_EQ(world.report(lease, pb::ReportResult::FAILED), Reply::Result::kDuplicate);
  Lease lie = lease;
  lie.fence = Fence{99};
  EXPECT_EQ(world.report(lie, pb::ReportResult::SUCCEEDED), Reply::Result::kStale);
}

TEST(Lease, AFailedAttemptsArtifactsStayUntilTheNextResult) {
  TestWorld world;
  world.workflow("name: w\ntasks:\n  - {id: a, run: x, retry: {max_attempts: 3, backoff: 1s}}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  const auto names = [&] {
    std::vector<std::string> out;
    for (const Artifact& artifact : world.run(run).tasks[0].get().artifacts) out.push_back(artifact.name);
    return out;
  };
  const auto fail = [&](const std::string& name, bool keep) {
    pb::ReportResult result;
    result.set_outcome(pb::ReportResult::FAILED);
    result.set_error_code("COMMAND_FAILED");
    result.add_artifacts()->set_name(name);
    result.set_keep_artifacts(keep);
    EXPECT_EQ(world.report(world.assign(agent, run, {"a"}).at(0), std::move(result)),
              Reply::Result::kAccepted);
    world.pass(10'000);
  };
  fail("first", true);
  EXPECT_EQ(names(), std::vector<std::string>{"first"});
  fail("second", false);  // as agents before reported: nothing changes
  EXPECT_EQ(names(), std::vector<std::string>{"first"});
  world.finish(agent, run, "a");
  EXPECT_TRUE(names().empty());
}

TEST(Lease, AnAgentThatStartsAgainLosesItsOldLeases) {
  TestWorld world;
  world.workflow("name: w\ntasks:\n  - {id: a, run: x, retry: {max_attempts: 1, backoff: 1s}}\n");
  const AgentId before = world.agent("one");
  const RunId run = world.start("w");
  const Lease lease = world.assign(before, run, {"a"}).at(0);
  const AgentId after = world.agent("one");
  EXPECT_NE(before, after);
  EXPECT_EQ(world.state_of(run, "a"), kBackoff);  // lost, not failed: max_attempts is not used up
  EXPECT_EQ(world.report(lease, pb::ReportResult::SUCCEEDED), Reply::Result::kStale);
  world.pass(2'000);
  world.finish(after, run, "a");
}

TEST(Lease, WorkThatNeverArrivedIsReadyAgainAtOnce) {
  TestWorld world;
  world.workflow("name: w\ntasks:\n  - {id: a, run: x, retry: {max_attempts: 1, backoff: 1s}}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  for (std::uint32_t i = 0; i < 2 * kMaxLosses; ++i) {
    const std::vector<Lease> leases = world.assign(agent, run, {"a"});
    ASSERT_EQ(leases.size(), 1U) << i;
    pb::Command command;
    command.mutable_expire_leases()->add_fences(leases[0].fence.value);
    command.mutable_expire_leases()->set_undelivered(true);
    world.send(std::move(command));
    EXPECT_EQ(world.state_of(run, "a"), kReady);
  }
  world.finish(agent, run, "a");
}

TEST(Lease, ATaskThatTakesItsAgentsDownEnds) {
  TestWorld world;
  world.workflow("name: w\ntasks:\n  - {id: a, run: x, retry: {backoff: 1s, max_backoff: 1s}}\n");
  const RunId run = world.start("w");
  for (std::uint32_t i = 0; i < kMaxLosses; ++i) {
    const AgentId agent = world.agent("one");
    ASSERT_EQ(world.assign(agent, run, {"a"}).size(), 1U) << i;
    world.agent("one");
    world.pass(3'000);
  }
  EXPECT_EQ(world.state_of(run, "a"), kPaused);
}

TEST(Lease, CapacityAndCapabilitiesAreHeld) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: a, run: x}\n  - {id: b, run: x}\n  - {id: c, run: x, agent: {capabilities: "
      "[gpu]}}\n");
  const AgentId small = world.agent("small", 1);
  const AgentId gpu = world.agent("gpu", 5, "exec", {"gpu", "cpp"});
  const AgentId other = world.agent("other", 5, "claude");
  const RunId run = world.start("w");
  EXPECT_EQ(world.assign(small, run, {"a", "b"}).size(), 1U);
  EXPECT_TRUE(world.assign(other, run, {"b"}).empty());
  EXPECT_EQ(world.assign(gpu, run, {"b", "c"}).size(), 2U);
}

TEST(Timeouts, StartToCloseEndsTheAttemptAndTellsTheAgent) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: a, run: x, timeout: {start_to_close: 10s}, retry: {backoff: 1s, jitter: "
      "0}}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  const Lease lease = world.assign(agent, run, {"a"}).at(0);
  world.pass(10'000);
  ASSERT_EQ(world.effects.cancelled.size(), 1U);
  EXPECT_EQ(world.state_of(run, "a"), kBackoff);
  EXPECT_EQ(world.report(lease, pb::ReportResult::SUCCEEDED), Reply::Result::kStale);
}

TEST(Timeouts, ScheduleToStartAndScheduleToCloseAreFinal) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: a, run: x, on_failure: fail, timeout: {schedule_to_start: 5s}}\n");
  const RunId run = world.start("w");
  world.pass(5'000);
  EXPECT_EQ(world.run(run).error.code, "TASK_TIMEOUT");
  world.workflow(
      "name: v\ntasks:\n  - {id: a, run: x, on_failure: fail, timeout: {schedule_to_close: 20s}, retry: "
      "{backoff: 15s, jitter: 0}}\n");
  const AgentId agent = world.agent("one");
  const RunId second = world.start("v");
  world.pass(6'000);
  world.report(world.assign(agent, second, {"a"}).at(0), pb::ReportResult::FAILED);
  EXPECT_EQ(world.run(second).state, RunState::kFailed);  // the next attempt could not end in time
}

TEST(Timeouts, TheDeadlineOfARunIsAHardStop) {
  TestWorld world;
  world.workflow("name: w\nbudget: {deadline: 1m}\ntasks:\n  - {id: a, run: x}\n");
  const RunId run = world.start("w");
  world.pass(60'000);
  EXPECT_EQ(world.run(run).state, RunState::kFailed);
  EXPECT_EQ(world.run(run).error.code, "TASK_TIMEOUT");
}

TEST(Keys, AConcurrencyKeyHoldsAcrossRuns) {
  TestWorld world;
  world.workflow(
      "name: w\ninputs: {k: {type: string}}\ntasks:\n  - {id: a, run: x, concurrency: {key: 'repo/${{ "
      "inputs.k }}', limit: 1}}\n");
  const AgentId agent = world.agent("one");
  const RunId first = world.start("w", R"({"k": "p"})");
  const RunId second = world.start("w", R"({"k": "p"})");
  const RunId third = world.start("w", R"({"k": "q"})");
  EXPECT_EQ(world.state_of(first, "a"), kReady);
  EXPECT_EQ(world.state_of(second, "a"), kThrottled);
  EXPECT_EQ(world.state_of(third, "a"), kReady);
  world.finish(agent, first, "a");
  EXPECT_EQ(world.state_of(second, "a"), kReady);
  EXPECT_FALSE(world.control(second, pb::ControlRun::CANCEL).error);
  EXPECT_EQ(world.state.throttles.size(), 1U);  // only q's is left
}

TEST(Keys, APausedRunGivesItsPlaceAway) {
  TestWorld world;
  world.workflow("name: w\ntasks:\n  - {id: a, run: x, concurrency: {key: k, limit: 1}}\n");
  const RunId first = world.start("w");
  const RunId second = world.start("w");
  EXPECT_FALSE(world.control(first, pb::ControlRun::PAUSE).error);
  EXPECT_EQ(world.state_of(second, "a"), kReady);
  EXPECT_FALSE(world.control(first, pb::ControlRun::RESUME).error);
  EXPECT_EQ(world.state_of(first, "a"), kThrottled);
}

TEST(Priority, RankOrdersByPriorityButWaitingCounts) {
  TestWorld world;
  world.workflow("name: low\npriority: low\ntasks:\n  - {id: a, run: x}\n");
  world.workflow("name: high\npriority: high\ntasks:\n  - {id: a, run: x}\n");
  const RunId low = world.start("low");
  world.now_ms += 1'000;
  const RunId high = world.start("high");
  const auto first = [&] { return world.state.classes.at(0).lanes.begin()->second.heads.begin()->first.run; };
  EXPECT_EQ(first(), high);
  // Long after, a new high one stands behind the old low one.
  world.control(high, pb::ControlRun::CANCEL);
  world.now_ms += 3'600'000;
  world.start("high");
  EXPECT_EQ(first(), low);
}

TEST(Merge, AcceptedWorkIsMergedOneAfterTheOther) {
  TestWorld world;
  world.workflow(
      "name: w\nrepository: /repo\ntasks:\n  - {id: a, run: x}\n  - {id: b, run: x}\n  - {id: c, "
      "dependencies: [a], run: x}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  world.finish(agent, run, "a", "", "commit-a");
  world.finish(agent, run, "b", "", "commit-b");
  EXPECT_EQ(world.state_of(run, "a"), kMergeReady);
  EXPECT_EQ(world.state_of(run, "b"), kMergeQueued);
  EXPECT_EQ(world.state_of(run, "c"), kWaiting);  // not done before it is merged
  const Lease merge = world.assign(agent, run, {"a"}).at(0);
  EXPECT_TRUE(merge.merge);
  pb::ReportResult result;
  result.set_outcome(pb::ReportResult::SUCCEEDED);
  result.set_head("head-1");
  world.report(merge, std::move(result));
  EXPECT_EQ(world.run(run).head, "head-1");
  EXPECT_EQ(world.state_of(run, "b"), kMergeReady);
  EXPECT_EQ(world.state_of(run, "c"), kReady);
}

TEST(Merge, AConflictWaitsForAPersonAndOthersGoOn) {
  TestWorld world;
  world.workflow("name: w\nrepository: /repo\ntasks:\n  - {id: a, run: x}\n  - {id: b, run: x}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  world.finish(agent, run, "a", "", "commit-a");
  world.finish(agent, run, "b", "", "commit-b");
  pb::ReportResult conflict;
  conflict.set_outcome(pb::ReportResult::CONFLICT);
  conflict.set_conflict("<<<<<<< ours");
  world.report(world.assign(agent, run, {"a"}).at(0), std::move(conflict));
  EXPECT_EQ(world.state_of(run, "a"), kConflict);
  EXPECT_EQ(world.state_of(run, "b"), kMergeReady);
  EXPECT_FALSE(world.decide(run, "a", pb::ControlTask::APPROVE).error);
  EXPECT_EQ(world.state_of(run, "a"), kMergeQueued);
  EXPECT_EQ(world.run(run).tasks[0].get().commit, "");  // whatever stands on the branch now
  world.report(world.assign(agent, run, {"b"}).at(0), pb::ReportResult::SUCCEEDED);
  EXPECT_EQ(world.state_of(run, "a"), kMergeReady);
  // The check fails on the merged tree: done again from the new head.
  pb::ReportResult failed;
  failed.set_outcome(pb::ReportResult::FAILED);
  failed.set_error_code("VERIFY_FAILED");
  world.report(world.assign(agent, run, {"a"}).at(0), std::move(failed));
  EXPECT_EQ(world.state_of(run, "a"), kBackoff);
}

TEST(Resume, SeedsAreTakenOverAndTheRestRuns) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: a, run: x}\n  - {id: b, dependencies: [a], when: tasks.a.output.n == 4, "
      "run: x}\n");
  pb::Command command;
  auto* body = command.mutable_start_run();
  body->set_namespace_("default");
  body->set_workflow("w");
  body->set_resumed_from(7);
  auto* seed = body->add_seeds();
  seed->set_task("a");
  seed->set_state(static_cast<std::uint32_t>(kSucceeded));
  seed->set_output(R"({"n": 4})");
  const RunId run = world.send(std::move(command)).run;
  EXPECT_EQ(world.state_of(run, "a"), kSucceeded);
  EXPECT_TRUE(world.run(run).tasks[0].seeded);
  EXPECT_EQ(world.state_of(run, "b"), kReady);
}

TEST(Snapshot, RestoredStateIsTheSameAndGoesOnTheSame) {
  TestWorld world;
  world.workflow(
      "name: w\nrepository: /repo\nbudget: {deadline: 1h}\ninputs: {items: {type: list, default: [1, 2, "
      "3]}}\ntasks:\n"
      "  - {id: a, run: x, concurrency: {key: k, limit: 1}}\n  - {id: b, for_each: '${{ inputs.items }}', "
      "max_parallel: 1, run: x}\n"
      "  - {id: c, approval: {message: m}}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w", "{}", "key");
  world.start("w");
  world.assign(agent, run, {"b.0"});
  world.finish(agent, run, "a", R"({"x": [1, 2.5, null]})", "commit");
  std::string bytes;
  ASSERT_TRUE(encode_snapshot(freeze(world.state), [&](std::string_view piece) {
                bytes += piece;
                return Status();
              }).ok());
  const auto restore = [&](std::string_view from, State& into) {
    std::size_t at = 0;
    return decode_snapshot(
        [&]() -> Result<std::string> {
          const std::string piece(from.substr(at, 17));
          at += piece.size();
          return piece;
        },
        into);
  };
  State copy;
  ASSERT_TRUE(restore(bytes, copy).ok());
  EXPECT_EQ(state_hash(copy), state_hash(world.state));
  EXPECT_TRUE(find_broken_invariants(copy).empty());
  // Cut anywhere, it is refused.
  for (std::size_t cut = 0; cut < bytes.size(); cut += 13) {
    State broken;
    EXPECT_FALSE(restore(std::string_view(bytes).substr(0, cut), broken).ok()) << cut;
  }
}

TEST(Transitions, TerminalStatesHaveNoWayOut) {
  for (int from = 0; from < kTaskStates; ++from) {
    if (!is_terminal(static_cast<TaskState>(from))) {
      EXPECT_TRUE(next_state(static_cast<TaskState>(from), TaskEvent::kCancel).has_value()) << from;
      continue;
    }
    for (int event = 0; event <= static_cast<int>(TaskEvent::kCancel); ++event) {
      EXPECT_FALSE(next_state(static_cast<TaskState>(from), static_cast<TaskEvent>(event)).has_value());
    }
  }
}

}  // namespace
}  // namespace ez::core
