// Who gets what: the leader's choice over a real state.
#include "engine/dispatcher.h"

#include "core/test_world.h"

namespace ez::engine {
namespace {

using core::TestWorld;
namespace pb = core::pb;

// A state, a dispatcher, and agents that answer at once.
class Floor {
 public:
  void workflow(const std::string& name_space, const std::string& name, const std::string& tasks,
                const std::string& more = "") {
    const auto parsed = orchestration::parse_workflow("name: " + name + "\nnamespace: " + name_space + "\n" +
                                                      more + "tasks:\n" + tasks);
    ASSERT_TRUE(parsed.ok()) << parsed.diagnostics[0].to_string();
    pb::Command command;
    command.mutable_register_workflow()->set_namespace_(name_space);
    command.mutable_register_workflow()->set_canonical(orchestration::to_canonical(*parsed.workflow));
    world.send(std::move(command));
  }
  RunId start(const std::string& name_space, const std::string& name) {
    pb::Command command;
    command.mutable_start_run()->set_namespace_(name_space);
    command.mutable_start_run()->set_workflow(name);
    return world.send(std::move(command)).run;
  }
  void settings(const std::string& name, std::uint32_t weight, std::optional<std::uint32_t> most = {}) {
    pb::Command command;
    auto* body = command.mutable_set_namespace();
    body->set_name(name);
    body->set_weight(weight);
    body->set_set_max_running(most.has_value());
    body->set_max_running(most.value_or(0));
    EXPECT_FALSE(world.send(std::move(command)).error);
  }
  DemandId offer(AgentId agent, std::uint32_t want) {
    const auto id = dispatcher.offer(world.state, agent, want, [this](std::vector<core::Lease> leases) {
      granted.insert(granted.end(), leases.begin(), leases.end());
    });
    EXPECT_TRUE(id.ok());
    return id.ok() ? *id : 0;
  }
  // One choice, carried through the state. Returns how many leases it gave.
  std::size_t turn() {
    const std::size_t before = granted.size();
    for (const Assignment& assignment : dispatcher.choose(world.state)) {
      pb::Command command;
      command.mutable_assign()->set_agent(assignment.agent.value);
      for (const auto& task : assignment.tasks) {
        auto* item = command.mutable_assign()->add_items();
        item->set_run(task.run.value);
        item->set_task(task.task);
      }
      const auto reply = world.send(std::move(command));
      EXPECT_EQ(reply.granted.size(), assignment.tasks.size());
      EXPECT_TRUE(dispatcher.ended(world.state, assignment, reply.granted).empty());
    }
    return granted.size() - before;
  }
  std::string space_of(const core::Lease& lease) const {
    return world.run(lease.run).workflow->namespace_name;
  }
  void finish_all() {
    for (const core::Lease& lease : granted) world.report(lease, pb::ReportResult::SUCCEEDED);
    granted.clear();
  }

  TestWorld world;
  Dispatcher dispatcher;
  std::vector<core::Lease> granted;
};

constexpr const char* kOne = "  - {id: a, run: x}\n";

TEST(Dispatcher, NamespacesShareTheAgentsByWeight) {
  Floor floor;
  floor.workflow("big", "w", kOne);
  floor.workflow("small", "w", kOne);
  floor.settings("big", 3);
  for (int i = 0; i < 400; ++i) floor.start("small", "w");  // it came first and waits longer
  for (int i = 0; i < 400; ++i) floor.start("big", "w");
  const AgentId one = floor.world.agent("one", 4);
  std::map<std::string, int> served;
  for (int i = 0; i < 400; ++i) {
    floor.offer(one, 1 + i % 4);
    ASSERT_GT(floor.turn(), 0U);
    for (const auto& lease : floor.granted) ++served[floor.space_of(lease)];
    floor.finish_all();
    if (served["big"] + served["small"] >= 400) break;
  }
  EXPECT_NEAR(served["big"], 300, 4);
  EXPECT_NEAR(served["small"], 100, 4);
}

TEST(Dispatcher, SharesCountOverAllAbilitiesOfOneAgentType) {
  Floor floor;
  floor.workflow("old", "w", "  - {id: a, run: x, agent: {type: exec, capabilities: [cpp]}}\n");
  floor.workflow("new", "w", kOne);
  for (int i = 0; i < 300; ++i) floor.start("old", "w");
  floor.world.now_ms += 1'000'000;
  for (int i = 0; i < 300; ++i) floor.start("new", "w");
  const AgentId one = floor.world.agent("one", 2, "exec", {"cpp"});
  std::map<std::string, int> served;
  for (int i = 0; i < 50; ++i) {
    floor.offer(one, 2);
    EXPECT_EQ(floor.turn(), 2U);
    for (const auto& lease : floor.granted) ++served[floor.space_of(lease)];
    floor.finish_all();
  }
  EXPECT_EQ(served["old"], 50);
  EXPECT_EQ(served["new"], 50);
}

TEST(Dispatcher, ANamespaceThatWasIdleGetsNoCredit) {
  Floor floor;
  floor.workflow("a", "w", kOne);
  floor.workflow("b", "w", kOne);
  const AgentId one = floor.world.agent("one", 1);
  for (int i = 0; i < 300; ++i) floor.start("a", "w");
  floor.start("b", "w");
  std::map<std::string, int> served;
  const auto serve = [&] {
    floor.offer(one, 1);
    ASSERT_EQ(floor.turn(), 1U);
    ++served[floor.space_of(floor.granted[0])];
    floor.finish_all();
  };
  for (int i = 0; i < 100; ++i) serve();
  EXPECT_EQ(served["b"], 1);
  for (int i = 0; i < 100; ++i) floor.start("b", "w");
  served.clear();
  for (int i = 0; i < 100; ++i) serve();
  EXPECT_NEAR(served["a"], 50, 1);
}

TEST(Dispatcher, ANamespaceKeepsItsLimitAlsoWithinOneChoice) {
  Floor floor;
  floor.workflow("a", "w",
                 "  - {id: a, run: x}\n  - {id: b, run: x, agent: {type: exec, capabilities: [c]}}\n");
  floor.workflow("b", "w", kOne);
  floor.settings("a", 1, 3);
  for (int i = 0; i < 10; ++i) floor.start("a", "w");
  const AgentId one = floor.world.agent("one", 100, "exec", {"c"});
  floor.offer(one, 50);
  EXPECT_EQ(floor.turn(), 3U);
  EXPECT_EQ(floor.world.state.namespaces[floor.world.state.namespace_ids.at("a")].running, 3U);
  // A place that becomes free is given again; others are not held up.
  for (int i = 0; i < 5; ++i) floor.start("b", "w");
  floor.world.report(floor.granted[0], pb::ReportResult::SUCCEEDED);
  floor.granted.clear();
  floor.offer(one, 50);
  EXPECT_EQ(floor.turn(), 6U);
  floor.settings("a", 0, 0);
  floor.granted.clear();
  floor.offer(one, 50);
  EXPECT_EQ(floor.turn(), 16U);
}

TEST(Dispatcher, DeferredTasksAgeAndAreServed) {
  Floor floor;
  floor.workflow("a", "late", kOne, "priority: deferred\n");
  floor.workflow("a", "w", kOne);
  const AgentId one = floor.world.agent("one", 1);
  const RunId late = floor.start("a", "late");
  bool served = false;
  int before = 0;
  // Every minute one urgent task arrives and one is served: there is always something newer.
  floor.start("a", "w");
  for (; before < 200 && !served; ++before) {
    floor.world.now_ms += 60'000;
    floor.start("a", "w");
    floor.offer(one, 1);
    ASSERT_EQ(floor.turn(), 1U);
    served = floor.granted[0].run == late;
    floor.finish_all();
  }
  EXPECT_TRUE(served);
  EXPECT_GT(before, 60);  // not before it has aged
}

TEST(Dispatcher, ManyNamespacesAllGetTheirTurn) {
  Floor floor;
  for (int i = 0; i < 50; ++i) {
    floor.workflow("n" + std::to_string(i), "w", kOne);
    for (int j = 0; j < 4; ++j) floor.start("n" + std::to_string(i), "w");
  }
  const AgentId one = floor.world.agent("one", 50);
  floor.offer(one, 50);
  EXPECT_EQ(floor.turn(), 50U);
  std::set<std::string> seen;
  for (const auto& lease : floor.granted) seen.insert(floor.space_of(lease));
  EXPECT_EQ(seen.size(), 50U);
}

TEST(Dispatcher, AWarmWorkspaceDrawsWorkOfItsRepository) {
  Floor floor;
  floor.workflow("n", "one", "  - {id: a, run: x, workspace: read}\n", "repository: /srv/one\n");
  floor.workflow("n", "two", "  - {id: a, run: x, workspace: read}\n", "repository: /srv/two\n");
  const AgentId left = floor.world.agent("left", 4);
  const AgentId right = floor.world.agent("right", 4);
  const auto agent_of = [&](const std::string& workflow, AgentId first, AgentId second) {
    floor.start("n", workflow);
    const DemandId ahead = floor.offer(first, 1);
    const DemandId behind = floor.offer(second, 1);
    EXPECT_EQ(floor.turn(), 1U);
    const AgentId got = floor.granted.back().agent;
    EXPECT_TRUE(floor.dispatcher.withdraw(floor.world.state, got == first ? behind : ahead));
    return got;
  };
  EXPECT_EQ(agent_of("one", left, right), left);
  EXPECT_EQ(agent_of("two", right, left), right);
  // Whoever stands first: the worktree decides.
  EXPECT_EQ(agent_of("one", right, left), left);
  EXPECT_EQ(agent_of("two", left, right), right);
}

TEST(Dispatcher, TheLighterLoadGoesFirst) {
  Floor floor;
  floor.workflow("n", "w", kOne);
  const AgentId busy = floor.world.agent("busy", 4);
  const AgentId idle = floor.world.agent("idle", 4);
  floor.start("n", "w");
  floor.offer(busy, 1);
  EXPECT_EQ(floor.turn(), 1U);
  floor.start("n", "w");
  floor.offer(busy, 1);
  floor.offer(idle, 1);
  EXPECT_EQ(floor.turn(), 1U);
  EXPECT_EQ(floor.granted.back().agent, idle);
}

}  // namespace
}  // namespace ez::engine
