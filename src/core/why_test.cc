// The reasons that a task is told to wait for.
#include "core/why.h"

#include "core/test_world.h"

namespace ez::core {
namespace {

// "kind" of the reasons, one after the other.
std::string kinds(const TestWorld& world, RunId run, const std::string& task) {
  const Value view = why_view(world.state, world.run(run), world.run(run).find(task));
  std::string out;
  for (const Value& reason : view.find("reasons")->as_list()) {
    EXPECT_FALSE(reason.string_or("text", "").empty());
    out += (out.empty() ? "" : " ") + std::string(reason.string_or("kind", ""));
  }
  EXPECT_FALSE(view.string_or("summary", "").empty()) << task;
  return out;
}

std::string said(const TestWorld& world, RunId run, const std::string& task) {
  return std::string(
      why_view(world.state, world.run(run), world.run(run).find(task)).string_or("summary", ""));
}

void pause(TestWorld& world, const std::string& workflow) {
  pb::Command command;
  auto* body = command.mutable_set_pause();
  body->set_kind(static_cast<std::uint32_t>(PauseKind::kWorkflow));
  body->set_namespace_("default");
  body->set_name(workflow);
  body->set_paused(true);
  body->set_principal("ann");
  body->set_comment("repairs");
  world.send(std::move(command));
}

TEST(Why, WaitsForWhatIsBeforeItAndForPeople) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: a, run: x}\n  - {id: b, dependencies: [a], run: x}\n"
      "  - {id: c, approval: {role: maintainer}}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  EXPECT_EQ(kinds(world, run, "b"), "dependencies");
  EXPECT_NE(said(world, run, "b").find("a (ready)"), std::string::npos);
  EXPECT_EQ(kinds(world, run, "c"), "approval");
  EXPECT_EQ(kinds(world, run, "a"), "agents line");
  const Lease lease = world.assign(agent, run, {"a"}).at(0);
  EXPECT_EQ(kinds(world, run, "a"), "running choice");
  EXPECT_NE(said(world, run, "a").find("Agent one"), std::string::npos);
  world.report(lease, pb::ReportResult::SUCCEEDED);
  EXPECT_EQ(kinds(world, run, "a"), "succeeded");
  EXPECT_FALSE(world.control(run, pb::ControlRun::PAUSE).error);
  EXPECT_EQ(kinds(world, run, "c"), "run_paused approval");
}

TEST(Why, NamesTheAgentsThatComeClose) {
  TestWorld world;
  world.workflow("name: w\ntasks:\n  - {id: a, run: x, agent: {type: exec, capabilities: [cpp, gpu]}}\n");
  const RunId run = world.start("w");
  EXPECT_EQ(kinds(world, run, "a"), "no_agent");
  world.agent("near", 1, "exec", {"cpp"});
  world.agent("far", 1, "exec");
  const std::string text = said(world, run, "a");
  EXPECT_LT(text.find("near lacks gpu"), text.find("far lacks cpp, gpu"));
}

TEST(Why, KeysRatesPausesAndBackoff) {
  TestWorld world;
  world.workflow("name: k\ntasks:\n  - {id: a, run: x, concurrency: {key: k}}\n");
  world.workflow("name: r\ntasks:\n  - {id: a, run: x, rate: {key: k, limit: 1}}\n");
  world.workflow("name: q\nconcurrency: {key: k}\ntasks:\n  - {id: a, run: x}\n");
  world.workflow("name: b\ntasks:\n  - {id: a, run: x, retry: {backoff: 1m, jitter: 0}}\n");
  const AgentId agent = world.agent("one");
  const RunId holder = world.start("k");
  const RunId waiting = world.start("k");
  EXPECT_EQ(kinds(world, waiting, "a"), "concurrency");
  EXPECT_NE(said(world, waiting, "a").find(to_text(holder) + "/a"), std::string::npos);
  world.start("r");
  EXPECT_EQ(kinds(world, world.start("r"), "a"), "rate");
  world.start("q");
  EXPECT_EQ(kinds(world, world.start("q"), "a"), "run_concurrency");
  const RunId backs_off = world.start("b");
  world.report(world.assign(agent, backs_off, {"a"}).at(0), pb::ReportResult::FAILED);
  EXPECT_EQ(kinds(world, backs_off, "a"), "backoff");
  pause(world, "k");
  EXPECT_EQ(kinds(world, holder, "a"), "held agents line");
  EXPECT_NE(said(world, holder, "a").find("paused by ann"), std::string::npos);
}

TEST(Why, SharesAndLimitsOfNamespaces) {
  TestWorld world;
  world.workflow("name: w\ntasks:\n  - {id: a, run: x}\n  - {id: b, run: x}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  pb::Command limit;
  limit.mutable_set_namespace()->set_name("default");
  limit.mutable_set_namespace()->set_set_max_running(true);
  limit.mutable_set_namespace()->set_max_running(1);
  world.send(std::move(limit));
  ASSERT_EQ(world.assign(agent, run, {"a", "b"}).size(), 1U);
  EXPECT_EQ(kinds(world, run, "b"), "namespace_limit agents line");
}

TEST(Why, HowItEnded) {
  TestWorld world;
  world.workflow(
      "name: w\ntasks:\n  - {id: a, run: x, on_failure: continue, retry: {max_attempts: 1}}\n"
      "  - {id: b, run: x, when: '1 > 2'}\n  - {id: c, run: x}\n  - {id: d, dependencies: [c], run: x}\n"
      "  - {id: e, approval: {message: m}}\n");
  const AgentId agent = world.agent("one");
  const RunId run = world.start("w");
  world.report(world.assign(agent, run, {"a"}).at(0), pb::ReportResult::FAILED);
  EXPECT_EQ(kinds(world, run, "a"), "failed");
  EXPECT_EQ(kinds(world, run, "b"), "skipped");
  EXPECT_FALSE(world.decide(run, "c", pb::ControlTask::CANCEL).error);
  EXPECT_NE(said(world, run, "c").find("tester"), std::string::npos);
  EXPECT_NE(said(world, run, "d").find("depends on c"), std::string::npos);
  world.control(run, pb::ControlRun::CANCEL);
  EXPECT_NE(said(world, run, "e").find("run ended"), std::string::npos);
}

}  // namespace
}  // namespace ez::core
