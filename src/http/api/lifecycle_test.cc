// The life of runs through HTTP: start, work, retry, approve, cancel, take up again.
#include "http/api/testing.h"

namespace ez::http::api {
namespace {

constexpr const char* kChain = R"(name: chain
tasks:
  - id: first
    run: echo one
  - id: second
    dependencies: [first]
    run: echo ${{ tasks.first.output.word }}
)";

TEST(ApiLifecycle, ARunGoesFromStartToHistory) {
  World world;
  const std::string run = world.start_run("chain", kChain);
  EXPECT_EQ(run, "r1");
  TestAgent agent(world);
  const Value first = agent.take();
  EXPECT_EQ(first.string_or("task", ""), "first");
  EXPECT_EQ(first.string_or("run_command", ""), "echo one");
  EXPECT_EQ(world.get("/v1/runs/r1/tasks/first").text_of("state"), "running");

  // One round trip: the result of the first task brings the second.
  Answer answer =
      agent.work({TestAgent::result(first, "succeeded", Value(Value::Map{{"word", Value("hello")}}))}, 1);
  ASSERT_EQ(answer.status, 200) << answer.text;
  EXPECT_EQ(answer.body.find("accepted")->as_list().at(0).string_or("status", ""), "accepted");
  const Value second = answer.body.find("tasks")->as_list().empty()
                           ? agent.take()
                           : answer.body.find("tasks")->as_list().at(0);
  EXPECT_EQ(second.string_or("task", ""), "second");
  EXPECT_EQ(second.string_or("run_command", ""), "echo hello");
  EXPECT_EQ(agent.report(second, "succeeded"), "accepted");

  answer = world.get("/v1/runs/r1");
  EXPECT_EQ(answer.text_of("state"), "succeeded");
  EXPECT_EQ(answer.text_of("started_by"), "person:admin");
  ASSERT_EQ(answer.body.find("tasks")->as_list().size(), 2u);
  EXPECT_EQ(answer.body.find("tasks")->as_list()[0].find("output")->string_or("word", ""), "hello");
  EXPECT_EQ(world.get("/v1/runs/r1/tasks/first/attempts").body.find("items")->as_list().size(), 1u);

  // The same after a restart: nothing that was acknowledged is lost.
  world.restart();
  answer = world.get("/v1/runs/r1");
  EXPECT_EQ(answer.text_of("state"), "succeeded");
  EXPECT_EQ(world.get("/v1/workflows/chain").body.int_or("version", 0), 1);
}

TEST(ApiLifecycle, AResultCountsOnce) {
  World world;
  world.start_run("chain", kChain);
  TestAgent agent(world);
  const Value item = agent.take();
  EXPECT_EQ(agent.report(item, "succeeded", Value(Value::Map{{"word", Value("a")}})), "accepted");
  EXPECT_EQ(agent.report(item, "succeeded", Value(Value::Map{{"word", Value("b")}})), "duplicate");
  EXPECT_EQ(world.get("/v1/runs/r1/tasks/first").body.find("output")->string_or("word", ""), "a");

  const Value second = agent.take();
  // Removing the agent ends its leases: what it reports then is stale.
  EXPECT_EQ(world.call(Method::kDelete, "/v1/agents/" + agent.id).status, 204);
  TestAgent other(world, "other");
  EXPECT_EQ(other.report(second, "succeeded"), "stale");
  EXPECT_EQ(agent.work({}, 1).code, "AGENT_NOT_FOUND");
}

TEST(ApiLifecycle, IdempotencyKeysGiveTheSameRun) {
  World world;
  world.start_run("chain", kChain);
  const Value body(Value::Map{{"workflow", Value("chain")}, {"idempotency_key", Value("k1")}});
  const Answer first = world.post("/v1/runs", body);
  ASSERT_EQ(first.status, 201) << first.text;
  const Answer again = world.post("/v1/runs", body);
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(again.text_of("run"), first.text_of("run"));
  // The header means the same key.
  const Answer by_header =
      world.call(Method::kPost, "/v1/runs", R"({"workflow":"chain"})", {{"Idempotency-Key", "k1"}});
  EXPECT_EQ(by_header.text_of("run"), first.text_of("run"));
  Value other = body;
  other.set("priority", Value("high"));
  EXPECT_EQ(world.post("/v1/runs", other).code, "IDEMPOTENCY_CONFLICT");
  world.restart();
  EXPECT_EQ(world.post("/v1/runs", body).text_of("run"), first.text_of("run"));
}

TEST(ApiLifecycle, RegisteringTheSameAgainGivesTheSameVersion) {
  World world;
  const Value body(Value::Map{{"source", Value(kChain)}});
  EXPECT_EQ(world.post("/v1/workflows", body).status, 201);
  const Answer again = world.post("/v1/workflows", body);
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(again.body.int_or("version", 0), 1);
  const Answer next = world.post(
      "/v1/workflows", Value(Value::Map{{"source", Value(std::string(kChain) + "description: x\n")}}));
  EXPECT_EQ(next.status, 201);
  EXPECT_EQ(next.body.int_or("version", 0), 2);
  EXPECT_EQ(world.get("/v1/workflows/chain?version=1").body.int_or("newest_version", 0), 2);
  EXPECT_EQ(world.get("/v1/workflows").body.find("items")->as_list().size(), 1u);
}

TEST(ApiLifecycle, MistakesInAWorkflowAreListed) {
  World world;
  const std::string source = "name: bad\ntasks:\n  - id: a\n    dependancies: [b]\n    run: x\n";
  const Answer checked = world.post("/v1/workflows/validate", Value(Value::Map{{"source", Value(source)}}));
  ASSERT_EQ(checked.status, 200) << checked.text;
  EXPECT_FALSE(checked.body.bool_or("valid", true));
  const Value::List& errors = checked.body.find("errors")->as_list();
  ASSERT_FALSE(errors.empty());
  EXPECT_EQ(errors[0].int_or("line", 0), 4);
  EXPECT_EQ(world.post("/v1/workflows", Value(Value::Map{{"source", Value(source)}})).code,
            "WORKFLOW_INVALID");
  EXPECT_EQ(world.get("/v1/workflows").body.find("items")->as_list().size(), 0u);
}

constexpr const char* kPausing = R"(name: pausing
tasks:
  - id: only
    run: exit 1
    checkpoint: true
    retry: {max_attempts: 1}
  - id: after
    dependencies: [only]
    run: echo
)";

TEST(ApiLifecycle, APausedTaskWaitsForAPersonAndIsRetried) {
  World world;
  const std::string run = world.start_run("pausing", kPausing);
  TestAgent agent(world);
  EXPECT_EQ(agent.report(agent.take(), "failed"), "accepted");
  const Answer waiting = world.get("/v1/approvals");
  ASSERT_EQ(waiting.body.find("items")->as_list().size(), 1u) << waiting.text;
  EXPECT_EQ(waiting.body.find("items")->as_list()[0].string_or("kind", ""), "failure");
  EXPECT_EQ(world.post("/v1/runs/" + run + "/tasks/only/cancel", Value(Value::Map{}), "viewer").code,
            "PERMISSION_DENIED");
  EXPECT_EQ(world.post("/v1/runs/" + run + "/retry", Value(Value::Map{})).status, 200);
  const Value again = agent.take();
  EXPECT_EQ(again.int_or("attempt", 0), 2);
  EXPECT_EQ(agent.report(again, "succeeded"), "accepted");
  EXPECT_EQ(world.get("/v1/approvals").body.find("items")->as_list().size(), 0u);
  EXPECT_EQ(world.get("/v1/runs/" + run + "/tasks/only/attempts").body.find("items")->as_list().size(), 2u);
  EXPECT_EQ(world.post("/v1/runs/" + run + "/tasks/only/retry", Value(Value::Map{})).code, "WRONG_STATE");
}

TEST(ApiLifecycle, ACancelledRunIsTakenUpByANewOne) {
  World world;
  const std::string run = world.start_run("pausing", kPausing);
  TestAgent agent(world);
  EXPECT_EQ(agent.report(agent.take(), "succeeded"), "accepted");
  const Answer cancelled =
      world.post("/v1/runs/" + run + "/cancel", Value(Value::Map{{"comment", Value("enough")}}));
  EXPECT_EQ(cancelled.text_of("state"), "cancelled") << cancelled.text;
  EXPECT_EQ(world.post("/v1/runs/" + run + "/cancel", Value(Value::Map{})).status,
            200);  // once more: no harm
  EXPECT_EQ(world.post("/v1/runs/" + run + "/pause", Value(Value::Map{})).code, "WRONG_STATE");
  const Answer taken_up =
      world.post("/v1/runs/" + run + "/retry", Value(Value::Map{{"idempotency_key", Value("again")}}));
  ASSERT_EQ(taken_up.status, 201) << taken_up.text;
  const std::string next = taken_up.text_of("run");
  EXPECT_EQ(world.post("/v1/runs/" + run + "/retry", Value(Value::Map{{"idempotency_key", Value("again")}}))
                .text_of("run"),
            next);
  const Answer view = world.get("/v1/runs/" + next);
  EXPECT_EQ(view.text_of("resumed_from"), run);
  EXPECT_EQ(view.body.find("tasks")->as_list()[0].string_or("state", ""), "succeeded");
  EXPECT_EQ(view.body.find("tasks")->as_list()[0].bool_or("seeded", false), true);
  EXPECT_EQ(agent.take().string_or("task", ""), "after");
}

TEST(ApiLifecycle, PauseAndResume) {
  World world;
  const std::string run = world.start_run("chain", kChain);
  EXPECT_EQ(world.post("/v1/runs/" + run + "/pause", Value(Value::Map{})).text_of("state"), "paused");
  TestAgent agent(world);
  EXPECT_TRUE(agent.work({}, 1, 0).body.find("tasks")->as_list().empty());
  EXPECT_EQ(world.post("/v1/runs/" + run + "/resume", Value(Value::Map{})).text_of("state"), "running");
  EXPECT_EQ(agent.take().string_or("task", ""), "first");
  EXPECT_EQ(world.post("/v1/runs/" + run + "/resume", Value(Value::Map{})).code, "WRONG_STATE");
}

TEST(ApiLifecycle, AnApprovalAsksForItsRole) {
  World world;
  const std::string run = world.start_run(
      "gate", "name: gate\ntasks:\n  - id: release\n    approval: {role: admin, message: go?}\n");
  const Answer waiting = world.get("/v1/approvals");
  ASSERT_EQ(waiting.body.find("items")->as_list().size(), 1u) << waiting.text;
  EXPECT_EQ(waiting.body.find("items")->as_list()[0].string_or("message", ""), "go?");
  const std::string task = "/v1/runs/" + run + "/tasks/release/";
  EXPECT_EQ(world.post(task + "approve", Value(Value::Map{}), "maintainer").code, "PERMISSION_DENIED");
  EXPECT_EQ(world.post(task + "approve", Value(Value::Map{}), "viewer").code, "PERMISSION_DENIED");
  const Answer approved = world.post(task + "approve", Value(Value::Map{{"comment", Value("fine")}}));
  ASSERT_EQ(approved.status, 200) << approved.text;
  EXPECT_EQ(approved.text_of("state"), "succeeded");
  EXPECT_EQ(approved.text_of("decided_by"), "person:admin");
  EXPECT_EQ(approved.text_of("comment"), "fine");
  EXPECT_EQ(world.post(task + "approve", Value(Value::Map{})).code, "WRONG_STATE");
}

TEST(ApiLifecycle, ARepositoryMustBeThere) {
  World world;
  const std::string source =
      "name: repo\ninputs: {repo: {type: git}}\nrepository: ${{ inputs.repo }}\ntasks:\n  - id: a\n    run: "
      "ls\n";
  ASSERT_EQ(world.post("/v1/workflows", Value(Value::Map{{"source", Value(source)}})).status, 201);
  const auto start = [&](const std::string& path) {
    return world.post("/v1/runs", Value(Value::Map{{"workflow", Value("repo")},
                                                   {"inputs", Value(Value::Map{{"repo", Value(path)}})}}));
  };
  EXPECT_EQ(start("relative/path").code, "REPOSITORY_INVALID");
  EXPECT_EQ(start((world.folder() / "absent").string()).code, "REPOSITORY_INVALID");
  EXPECT_EQ(start(world.folder().string()).code, "REPOSITORY_INVALID");
  std::filesystem::create_directories(world.folder() / "repo" / ".git");
  EXPECT_EQ(start((world.folder() / "repo").string()).status, 201);
  EXPECT_EQ(world.post("/v1/runs", Value(Value::Map{{"workflow", Value("repo")}})).code, "INPUT_INVALID");
}

TEST(ApiLifecycle, ATaskThatCannotBeRenderedFailsForGood) {
  World world;
  const std::string run = world.start_run(
      "broken",
      "name: broken\ntasks:\n  - id: a\n    run: echo\n  - id: b\n    dependencies: [a]\n    run: echo ${{ "
      "tasks.a.output.absent.deeper }}\n    on_failure: fail\n");
  TestAgent agent(world);
  EXPECT_EQ(agent.report(agent.take(), "succeeded", Value(Value::Map{})), "accepted");
  // The lease is granted, the template fails, and that is the task's result.
  EXPECT_TRUE(agent.work({}, 1, 1'000).body.find("tasks")->as_list().empty());
  const Answer over =
      world.call(Method::kGet, "/v1/runs/" + run + "/events", "", {{"Accept", "text/event-stream"}});
  EXPECT_NE(over.text.find("event: end"), std::string::npos) << over.text;
  const Answer task = world.get("/v1/runs/" + run + "/tasks/b");
  EXPECT_EQ(task.text_of("state"), "failed");
  EXPECT_EQ(task.body.find("error")->string_or("code", ""), "EXPRESSION_FAILED") << task.text;
}

}  // namespace
}  // namespace ez::http::api
