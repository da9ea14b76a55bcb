// Schedules: plans, ticks, overlap, missed ticks, pauses, backfill, and what a duplicate does.
#include "core/schedule.h"

#include "core/test_world.h"

namespace ez::core {
namespace {

constexpr std::int64_t kMinute = 60'000;

class Schedules : public ::testing::Test {
 protected:
  Schedules() : agent(world.agent("one")) {
    world.workflow("name: w\ninputs: {n: {type: int, default: 1}}\ntasks:\n  - {id: a, run: x}\n");
  }
  Reply set(const std::string& overlap = "skip", std::int64_t catch_up_ms = 3600 * 1000) {
    pb::Command command;
    auto* body = command.mutable_set_schedule();
    body->set_namespace_("default");
    body->set_name("s");
    body->set_workflow("w");
    body->set_inputs(R"({"n":3})");
    body->set_cadence("@every 1m");
    body->set_zone("UTC");
    body->set_overlap(overlap == "skip" ? 0 : overlap == "queue" ? 1 : 2);
    body->set_catch_up_ms(catch_up_ms);
    body->set_principal("person:ada");
    return world.send(std::move(command));
  }
  // What the leader does: minutes from where the last plan ended, at most `count` of them; of past ones the
  // last.
  pb::Command plan_of(int count = 4) const {
    const Schedule& seen = schedule();
    pb::Command command;
    auto* plan = command.mutable_plan_schedules()->add_plans();
    plan->set_schedule(seen.number);
    plan->set_revision(seen.revision);
    plan->set_after_ms(seen.through_ms);
    std::int64_t at = (seen.through_ms / kMinute + 1) * kMinute;
    for (; at + kMinute <= world.now_ms; at += kMinute) plan->set_missed(plan->missed() + 1);
    for (int i = 0; i < count; ++i, at += kMinute) {
      auto* tick = plan->add_ticks();
      tick->set_instant_ms(at);
      tick->set_due_ms(at + 1000);
    }
    plan->set_through_ms(at - 1);
    plan->set_again_ms(at - kMinute);
    return command;
  }
  void plan(int count = 4) {
    if (!world.state.unplanned.empty()) world.send(plan_of(count));
  }
  // To the next due time of a tick; plans on the way.
  void to_tick() {
    plan();
    world.pass(schedule().ticks.front().due_ms - world.now_ms);
  }
  Reply control(pb::ControlSchedule::Action action) {
    pb::Command command;
    command.mutable_control_schedule()->set_namespace_("default");
    command.mutable_control_schedule()->set_name("s");
    command.mutable_control_schedule()->set_action(action);
    command.mutable_control_schedule()->set_principal("person:bob");
    return world.send(std::move(command));
  }
  Reply backfill(std::vector<std::int64_t> instants, bool at_once = false) {
    pb::Command command;
    auto* body = command.mutable_backfill_schedule();
    body->set_namespace_("default");
    body->set_name("s");
    body->set_revision(schedule().revision);
    body->set_at_once(at_once);
    for (const std::int64_t instant : instants) body->add_instants_ms(instant);
    return world.send(std::move(command));
  }
  [[nodiscard]] const Schedule& schedule() const { return *find_schedule(world.state, "default", "s"); }
  [[nodiscard]] TickOutcome last() const { return schedule().events.back().outcome; }
  void finish(std::uint64_t run) { world.finish(agent, RunId{run}, "a"); }

  TestWorld world;
  AgentId agent;
};

TEST_F(Schedules, ATickStartsOneRunWithItsInputsAndInstant) {
  EXPECT_TRUE(set().created);
  EXPECT_EQ(world.state.unplanned.size(), 1U);
  to_tick();
  ASSERT_EQ(world.state.live_runs, 1U);
  const auto& run = world.run(RunId{1});
  EXPECT_EQ(run.schedule, "s");
  EXPECT_EQ(run.schedule_ms, 1'020'000);
  EXPECT_EQ(run.principal, "person:ada");
  EXPECT_EQ(run.inputs.int_or("n", 0), 3);
  EXPECT_EQ(schedule().started, 1U);
  finish(1);
  to_tick();
  EXPECT_EQ(world.run(RunId{2}).schedule_ms, 1'080'000);
}

TEST_F(Schedules, NothingTicksTwiceWhateverIsRepeated) {
  set();
  const pb::Command first = plan_of();
  world.send(first);
  world.send(first);  // proposed again by another leader
  EXPECT_EQ(schedule().ticks.size(), 4U);
  world.pass(schedule().ticks.front().due_ms - world.now_ms);
  world.pass(0);
  world.reread();
  world.pass(0);
  world.send(first);
  EXPECT_EQ(schedule().started, 1U);
  EXPECT_EQ(schedule().ticks.size(), 3U);
}

TEST_F(Schedules, AServerThatWasAwayRunsOnce) {
  set();
  plan();
  world.reread();
  world.pass(30 * kMinute + 5000);
  // What is planned is not the latest that was due: it waits for the plan.
  EXPECT_EQ(schedule().started, 0U);
  ASSERT_EQ(world.state.unplanned.size(), 1U);
  plan();
  EXPECT_EQ(schedule().started, 1U);
  const std::int64_t instant = world.run(RunId{1}).schedule_ms;
  EXPECT_LE(instant, world.now_ms);
  EXPECT_GT(instant + kMinute, world.now_ms - 1000);
  EXPECT_EQ(schedule().missed, 29U);
  EXPECT_EQ(schedule().ticks.size(), 3U);
}

TEST_F(Schedules, WhatIsOlderThanItsCatchUpIsMissed) {
  set("skip", 0);
  plan(1);
  // Late, but nothing came after it.
  world.pass(schedule().ticks.front().due_ms - world.now_ms + kTickGraceMs);
  EXPECT_EQ(schedule().started, 1U);
  finish(1);
  plan(2);
  world.pass(schedule().ticks.front().due_ms - world.now_ms + kTickGraceMs + 1);
  EXPECT_EQ(schedule().started, 1U);
  EXPECT_EQ(schedule().missed, 1U);
  EXPECT_EQ(last(), TickOutcome::kMissed);
}

TEST_F(Schedules, OverlapSkips) {
  set("skip");
  to_tick();
  to_tick();
  EXPECT_EQ(schedule().skipped, 1U);
  EXPECT_EQ(last(), TickOutcome::kSkipped);
  EXPECT_EQ(schedule().events.back().text, "r1 was live");
  finish(1);
  to_tick();
  EXPECT_EQ(schedule().started, 2U);
}

TEST_F(Schedules, OverlapQueuesOverASnapshot) {
  set("queue");
  to_tick();
  to_tick();
  to_tick();
  EXPECT_EQ(schedule().backlog.size(), 2U);
  world.reread();
  finish(1);
  EXPECT_EQ(world.run(RunId{2}).schedule_ms, 1'080'000);
  finish(2);
  finish(3);
  EXPECT_EQ(schedule().started, 3U);
  EXPECT_TRUE(schedule().backlog.empty());
  EXPECT_TRUE(schedule().live.empty());
}

TEST_F(Schedules, OverlapAllows) {
  set("allow");
  for (int i = 0; i < 3; ++i) to_tick();
  EXPECT_EQ(world.state.live_runs, 3U);
  EXPECT_EQ(schedule().live.size(), 3U);
}

TEST_F(Schedules, APauseStartsNothingAndMakesUpForNothing) {
  set("queue");
  to_tick();
  to_tick();
  EXPECT_EQ(schedule().backlog.size(), 1U);
  control(pb::ControlSchedule::PAUSE);
  EXPECT_TRUE(schedule().ticks.empty());
  finish(1);
  world.pass(10 * kMinute);
  EXPECT_EQ(schedule().started, 1U);
  world.reread();
  control(pb::ControlSchedule::RESUME);
  // What was queued before goes on; what passed meanwhile does not count.
  EXPECT_EQ(schedule().started, 2U);
  EXPECT_EQ(schedule().through_ms, world.now_ms);
  finish(2);
  to_tick();
  EXPECT_EQ(schedule().started, 3U);
  EXPECT_EQ(schedule().missed, 0U);
  EXPECT_EQ(control(pb::ControlSchedule::RESUME).error->code(), Code::WrongState);
}

TEST_F(Schedules, APlanForAnEarlierRevisionIsNoPlan) {
  set();
  const pb::Command stale = plan_of();
  set("queue");
  world.send(stale);
  EXPECT_TRUE(schedule().ticks.empty());
  EXPECT_EQ(world.state.unplanned.size(), 1U);
  plan();
  control(pb::ControlSchedule::PAUSE);
  control(pb::ControlSchedule::RESUME);
  world.send(stale);
  EXPECT_TRUE(schedule().ticks.empty());
}

TEST_F(Schedules, WithoutAZoneItStallsAndAsksAgain) {
  set();
  pb::Command failed = plan_of(0);
  auto* plan_body = failed.mutable_plan_schedules()->mutable_plans(0);
  plan_body->set_problem("no such zone");
  plan_body->set_again_ms(world.now_ms + 60'000);
  world.send(failed);
  EXPECT_TRUE(schedule().stalled);
  EXPECT_TRUE(world.state.unplanned.empty());
  world.reread();
  world.pass(60'000);
  EXPECT_EQ(world.state.unplanned.size(), 1U);
  plan();
  EXPECT_FALSE(schedule().stalled);
  EXPECT_EQ(schedule().started, 1U);
}

TEST_F(Schedules, ATriggerStartsWhateverElseIsLive) {
  set();
  to_tick();
  control(pb::ControlSchedule::PAUSE);
  const Reply reply = control(pb::ControlSchedule::TRIGGER);
  EXPECT_EQ(reply.run, RunId{2});
  EXPECT_EQ(world.run(RunId{2}).principal, "person:bob");
  EXPECT_EQ(schedule().live.size(), 2U);
}

TEST_F(Schedules, ABackfillGoesOneAfterTheOther) {
  set();
  EXPECT_FALSE(backfill({60'000, 120'000, 180'000}).error);
  EXPECT_EQ(schedule().started, 1U);
  EXPECT_EQ(schedule().backlog.size(), 2U);
  world.reread();
  for (std::uint64_t run = 1; run <= 3; ++run) {
    EXPECT_EQ(world.run(RunId{run}).schedule_ms, static_cast<std::int64_t>(run) * 60'000);
    finish(run);
  }
  EXPECT_EQ(schedule().started, 3U);
  EXPECT_FALSE(backfill({240'000, 300'000}, true).error);
  EXPECT_EQ(schedule().live.size(), 2U);
  std::vector<std::int64_t> many(kMaxBacklog + 1, 60'000);
  EXPECT_EQ(backfill(many).error->code(), Code::InvalidArgument);
}

TEST_F(Schedules, ARunThatEndsAtOnceHoldsNothingUp) {
  world.workflow(
      "name: w\ninputs: {n: {type: int, default: 1}}\ntasks:\n  - {id: a, run: x, when: inputs.n > 5}\n");
  set("queue");
  backfill({60'000, 120'000, 180'000});
  EXPECT_EQ(schedule().started, 3U);
  EXPECT_TRUE(schedule().live.empty());
  EXPECT_EQ(world.state.live_runs, 0U);
}

TEST_F(Schedules, ARunThatCannotStartIsNoted) {
  set();
  world.workflow("name: w\ninputs: {must: {type: string}}\ntasks:\n  - {id: a, run: x}\n");
  to_tick();
  EXPECT_EQ(schedule().failed, 1U);
  EXPECT_EQ(last(), TickOutcome::kFailed);
  EXPECT_NE(schedule().events.back().text.find("INPUT_INVALID"), std::string::npos);
}

TEST_F(Schedules, DeletedAndMadeAgainItIsAnother) {
  set();
  to_tick();
  control(pb::ControlSchedule::DELETE);
  EXPECT_EQ(find_schedule(world.state, "default", "s"), nullptr);
  EXPECT_TRUE(set().created);
  world.reread();
  finish(1);  // of the one that is gone
  EXPECT_EQ(schedule().started, 0U);
  EXPECT_EQ(control(pb::ControlSchedule::PAUSE).error, std::nullopt);
  control(pb::ControlSchedule::DELETE);
  EXPECT_EQ(control(pb::ControlSchedule::PAUSE).error->code(), Code::ScheduleNotFound);
}

TEST_F(Schedules, MistakesChangeNothing) {
  const auto refused = [&](auto change) {
    pb::Command command;
    auto* body = command.mutable_set_schedule();
    body->set_namespace_("default");
    body->set_name("s");
    body->set_workflow("w");
    body->set_cadence("@daily");
    body->set_zone("UTC");
    change(*body);
    const Reply reply = world.send(std::move(command));
    EXPECT_TRUE(reply.error);
    EXPECT_TRUE(world.state.schedules.empty());
    return reply.error ? reply.error->code() : Code::Internal;
  };
  using S = pb::SetSchedule;
  EXPECT_EQ(refused([](S& s) { s.set_name("No"); }), Code::InvalidArgument);
  EXPECT_EQ(refused([](S& s) { s.set_cadence("* *"); }), Code::InvalidArgument);
  EXPECT_EQ(refused([](S& s) { s.set_zone("../x"); }), Code::InvalidArgument);
  EXPECT_EQ(refused([](S& s) { s.set_jitter_ms(-1); }), Code::InvalidArgument);
  EXPECT_EQ(refused([](S& s) { s.set_catch_up_ms(-1); }), Code::InvalidArgument);
  EXPECT_EQ(refused([](S& s) { s.set_overlap(9); }), Code::RequestInvalid);
  EXPECT_EQ(refused([](S& s) { s.set_workflow("x"); }), Code::WorkflowNotFound);
  EXPECT_EQ(refused([](S& s) { s.set_version(7); }), Code::WorkflowNotFound);
  EXPECT_EQ(refused([](S& s) { s.set_inputs(R"({"m":1})"); }), Code::InputInvalid);
}

}  // namespace
}  // namespace ez::core
