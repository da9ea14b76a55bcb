// Lists, artifacts, status and metrics.
#include <set>

#include "base/sha256.h"
#include "http/api/testing.h"

namespace ez::http::api {
namespace {

constexpr const char* kOne = "name: one\ntasks:\n  - id: a\n    run: echo\n";

std::vector<std::string> ids_of(const Answer& answer) {
  std::vector<std::string> ids;
  for (const Value& item : answer.body.find("items")->as_list()) ids.emplace_back(item.string_or("id", ""));
  return ids;
}

TEST(ApiLists, PagesOfRunsNeitherRepeatNorSkip) {
  World world;
  world.start_run("one", kOne);
  for (int i = 0; i < 24; ++i) world.start_again("one");
  TestAgent agent(world);
  std::vector<std::string> seen;
  std::string cursor;
  for (int page = 0; page < 20; ++page) {
    const Answer answer = world.get("/v1/runs?limit=4&cursor=" + cursor);
    ASSERT_EQ(answer.status, 200) << answer.text;
    for (std::string& id : ids_of(answer)) seen.push_back(std::move(id));
    cursor = answer.text_of("next_cursor");
    if (cursor.empty()) break;
    // Between two pages runs finish (and move to history), and new ones start.
    EXPECT_EQ(agent.report(agent.take(), "succeeded"), "accepted");
    EXPECT_EQ(agent.report(agent.take(), "succeeded"), "accepted");
    world.start_again("one");
  }
  ASSERT_EQ(seen.size(), 25u);
  for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], "r" + std::to_string(25 - i));
}

TEST(ApiLists, FiltersOfRuns) {
  World world;
  world.start_run("one", kOne);
  world.start_run("two", "name: two\ntasks:\n  - id: a\n    run: echo\n");
  world.start_again("one");
  TestAgent agent(world);
  EXPECT_EQ(agent.report(agent.take(), "succeeded"), "accepted");  // r1
  const auto ids = [&](const std::string& query) { return ids_of(world.get("/v1/runs?" + query)); };
  using List = std::vector<std::string>;
  EXPECT_EQ(ids(""), (List{"r3", "r2", "r1"}));
  EXPECT_EQ(ids("state=finished"), (List{"r1"}));
  EXPECT_EQ(ids("state=succeeded"), (List{"r1"}));
  EXPECT_EQ(ids("state=live"), (List{"r3", "r2"}));
  EXPECT_EQ(ids("state=paused"), (List{}));
  EXPECT_EQ(ids("workflow=one"), (List{"r3", "r1"}));
  EXPECT_EQ(ids("workflow=one&state=running"), (List{"r3"}));
  EXPECT_EQ(ids("namespace=*"), (List{"r3", "r2", "r1"}));
  EXPECT_EQ(ids("namespace=other"), (List{}));
  // Once it is in history only, it looks the same where it matters.
  must(world.engine().projector().flush(LogIndex{world.engine().counters().log_last}));
  const Answer finished = world.get("/v1/runs?state=finished");
  ASSERT_EQ(ids_of(finished), (List{"r1"}));
  const Value& row = finished.body.find("items")->as_list()[0];
  const Answer full = world.get("/v1/runs/r1?tasks=false");
  for (const auto& [key, value] : row.as_map()) {
    const Value* same = full.body.find(key);
    ASSERT_NE(same, nullptr) << key;
    if (key == "counts") continue;  // the row leaves out states that no finished task has
    EXPECT_EQ(*same, value) << key;
  }
  EXPECT_EQ(row.find("counts")->int_or("succeeded", 0), 1);
  EXPECT_EQ(full.body.find("tasks"), nullptr);
}

// The same search finds runs wherever they are: live, just finished, in history.
TEST(ApiLists, LabelsTextAndTimesFindLiveAndFinishedRuns) {
  World world;
  world.start_run("one",
                  "name: one\nlabels: {team: storage}\ntasks:\n  - {id: a, run: echo, on_failure: fail, "
                  "retry: {max_attempts: 1}}\n");
  const auto start = [&](const std::string& name, const std::string& env) {
    return world.post("/v1/runs", Value(Value::Map{{"workflow", Value(name)},
                                                   {"labels", Value(Value::Map{{"env", Value(env)}})}}));
  };
  EXPECT_EQ(start("one", "prod").status, 201);  // r2
  EXPECT_EQ(start("one", "test").status, 201);  // r3
  world.start_run("other-one", "name: other-one\ntasks:\n  - {id: a, run: echo}\n");
  EXPECT_EQ(start("other-one", "prod").status, 201);
  EXPECT_EQ(start("one", "").status, 400);
  EXPECT_EQ(world.get("/v1/runs/r2").body.find("labels")->string_or("team", ""), "storage");
  const auto ids = [&](const std::string& query) {
    const Answer answer = world.get("/v1/runs?" + query);
    EXPECT_EQ(answer.status, 200) << query << " " << answer.text;
    return answer.status == 200 ? ids_of(answer) : std::vector<std::string>{};
  };
  using List = std::vector<std::string>;
  const auto look = [&] {
    EXPECT_EQ(ids("label[team]=storage"), (List{"r3", "r2", "r1"}));
    EXPECT_EQ(ids("label%5Bteam%5D=storage&label[env]=prod"), (List{"r2"}));
    EXPECT_EQ(ids("label[env]=none"), (List{}));
    EXPECT_EQ(ids("text=ONE&label[env]=test"), (List{"r3"}));
    EXPECT_EQ(ids("text=r2"), (List{"r2"}));
    EXPECT_EQ(ids("started_by=person:admin&workflow=one"), (List{"r3", "r2", "r1"}));
    EXPECT_EQ(ids("started_by=nobody"), (List{}));
    EXPECT_EQ(ids("created_from=2020-01-01&created_before=2020-01-02T10:00Z"), (List{}));
    EXPECT_EQ(ids("workflow=one&created_from=2020-01-01T00:00:00.000Z"), (List{"r3", "r2", "r1"}));
    // In pages, whatever is where.
    const Answer page = world.get("/v1/runs?label[team]=storage&limit=2");
    ASSERT_EQ(ids_of(page), (List{"r3", "r2"}));
    EXPECT_EQ(ids("label[team]=storage&limit=2&cursor=" + page.text_of("next_cursor")), (List{"r1"}));
  };
  look();
  EXPECT_EQ(ids("error=COMMAND_FAILED"), (List{}));
  EXPECT_EQ(ids("finished_from=2020-01-01"), (List{}));
  TestAgent agent(world);
  EXPECT_EQ(agent.report(agent.take(), "succeeded"), "accepted");  // r1
  EXPECT_EQ(agent.report(agent.take(), "failed"), "accepted");     // r2
  for (int round = 0; round < 2; ++round) {
    look();
    EXPECT_EQ(ids("finished_from=2020-01-01"), (List{"r2", "r1"}));
    EXPECT_EQ(ids("finished_before=2020-01-01"), (List{}));
    EXPECT_EQ(ids("text=_failed").size(), 1u);
    EXPECT_EQ(ids("state=failed&label[env]=prod&workflow=one"), (List{"r2"}));
    must(world.engine().projector().flush(LogIndex{world.engine().counters().log_last}));
  }
  for (const char* bad :
       {"created_from=yesterday", "created_before=2026-02-30", "finished_from=2026-01-01T25:00Z", "label[]=x",
        "label[A]=x", "label[a]=", "label=x", "labels=x", "state=done"}) {
    const Answer answer = world.get(std::string("/v1/runs?") + bad);
    EXPECT_EQ(answer.status, 400) << bad;
    EXPECT_EQ(answer.code, "REQUEST_INVALID") << bad;
  }
}

TEST(ApiLists, PagesOfTasksAgentsAndWorkflows) {
  World world;
  std::string source = "name: many\ntasks:\n";
  for (int i = 0; i < 11; ++i) source += "  - {id: t" + std::to_string(i) + ", run: echo}\n";
  world.start_run("many", source);
  world.start_run("one", kOne);
  for (int i = 0; i < 5; ++i) TestAgent agent(world, "agent-" + std::to_string(i));
  const auto count = [&](const std::string& target, const char* key) {
    std::set<std::string> all;
    std::size_t total = 0;
    std::string cursor;
    do {
      const Answer answer = world.get(target + "limit=2&cursor=" + cursor);
      EXPECT_EQ(answer.status, 200) << answer.text;
      for (const Value& item : answer.body.find("items")->as_list()) {
        all.emplace(item.string_or(key, ""));
        ++total;
      }
      cursor = answer.text_of("next_cursor");
    } while (!cursor.empty());
    EXPECT_EQ(all.size(), total) << target;
    return total;
  };
  EXPECT_EQ(count("/v1/runs/r1/tasks?", "id"), 11u);
  EXPECT_EQ(count("/v1/runs/r1/tasks?state=ready&", "id"), 11u);
  EXPECT_EQ(count("/v1/runs/r1/tasks?state=failed&", "id"), 0u);
  EXPECT_EQ(count("/v1/agents?", "id"), 5u);
  EXPECT_EQ(count("/v1/agents?type=llm&", "id"), 0u);
  EXPECT_EQ(count("/v1/workflows?", "name"), 2u);
}

TEST(ApiLists, PagesOfApprovals) {
  World world;
  std::string source = "name: asks\ntasks:\n";
  for (int i = 0; i < 5; ++i) source += "  - {id: t" + std::to_string(i) + ", approval: {}}\n";
  world.start_run("asks", source);
  world.start_again("asks");
  std::vector<std::string> seen;
  std::string cursor;
  do {
    const Answer answer = world.get("/v1/approvals?limit=3&cursor=" + cursor);
    ASSERT_EQ(answer.status, 200) << answer.text;
    for (const Value& item : answer.body.find("items")->as_list()) {
      seen.push_back(std::string(item.string_or("run", "")) + "/" + std::string(item.string_or("task", "")));
      // A decision between two pages moves nothing.
      EXPECT_EQ(world
                    .post("/v1/runs/" + std::string(item.string_or("run", "")) + "/tasks/" +
                              std::string(item.string_or("task", "")) + "/approve",
                          Value(Value::Map{}))
                    .status,
                200);
    }
    cursor = answer.text_of("next_cursor");
  } while (!cursor.empty());
  EXPECT_EQ(seen, (std::vector<std::string>{"r2/t0", "r2/t1", "r2/t2", "r2/t3", "r2/t4", "r1/t0", "r1/t1",
                                            "r1/t2", "r1/t3", "r1/t4"}));
}

TEST(ApiLists, NamespacesAreKeptApart) {
  World world;
  world.start_run("one", kOne);
  EXPECT_EQ(world.get("/v1/runs", "elsewhere").code, "PERMISSION_DENIED");
  // The permission in another namespace opens the door, but not the run.
  EXPECT_EQ(world.get("/v1/runs/r1?namespace=other", "elsewhere").code, "PERMISSION_DENIED");
  EXPECT_EQ(world.post("/v1/runs/r1/cancel?namespace=other", Value(Value::Map{}), "elsewhere").code,
            "PERMISSION_DENIED");
  EXPECT_EQ(world.get("/v1/runs/r1/events?namespace=other", "elsewhere").code, "PERMISSION_DENIED");
  EXPECT_EQ(world.get("/v1/runs?namespace=*", "elsewhere").code, "PERMISSION_DENIED");
  EXPECT_EQ(world.get("/v1/runs?namespace=other", "elsewhere").status, 200);
  EXPECT_EQ(
      world.post("/v1/workflows?namespace=other", Value(Value::Map{{"source", Value(kOne)}}), "elsewhere")
          .code,
      "PERMISSION_DENIED");
  EXPECT_EQ(world.get("/v1/runs/r1", "nobody").code, "UNAUTHENTICATED");
}

TEST(ApiArtifacts, BytesComeBackAsTheyWere) {
  World world;
  std::string bytes(3'000'000, '\0');
  SeededRandom random(7);
  for (char& c : bytes) c = static_cast<char>(random.next());
  const std::string sha256 = sha256_hex(bytes);
  const std::string target = "/v1/artifacts/" + sha256;
  EXPECT_EQ(world.get(target).code, "BLOB_NOT_FOUND");
  EXPECT_EQ(world.call(Method::kPut, target, bytes, {{"Content-Type", "application/octet-stream"}}).status,
            201);
  EXPECT_EQ(world.call(Method::kPut, target, bytes).status, 200);
  const Answer back = world.get(target + "?name=../we%22ird%0dname.md&download=true");
  EXPECT_EQ(back.status, 400);  // no control characters in parameters
  const Answer named = world.get(target + "?name=dir/we%22ird%C3%A4.md&download=true");
  EXPECT_EQ(named.status, 200);
  EXPECT_TRUE(named.text == bytes);
  EXPECT_EQ(named.headers.find("content-type"), "text/markdown; charset=utf-8");
  EXPECT_EQ(named.headers.find("content-disposition"),
            "attachment; filename=\"we_ird__.md\"; filename*=UTF-8''we%22ird%C3%A4.md");
  EXPECT_EQ(named.headers.find("etag"), "\"" + sha256 + "\"");
  EXPECT_EQ(world.call(Method::kGet, target, "", {{"If-None-Match", "\"" + sha256 + "\""}}).status, 304);
  const Answer head = world.call(Method::kHead, target);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.find("content-length"), "3000000");
  EXPECT_EQ(world.call(Method::kPut, "/v1/artifacts/" + std::string(64, 'a'), bytes).code, "BLOB_MISMATCH");
  EXPECT_EQ(world.call(Method::kPut, "/v1/artifacts/xyz", bytes).code, "BLOB_NOT_FOUND");
  EXPECT_EQ(world.call(Method::kPut, "/v1/artifacts/" + sha256_hex("")).status,
            201);  // no bytes are bytes too
  EXPECT_TRUE(std::filesystem::is_empty(world.folder() / "uploads"));
}

TEST(ApiArtifacts, ResultsAndWorkflowsNameThem) {
  World world;
  const std::string sha256 = sha256_hex("report");
  Value file(Value::Map{{"path", Value("bin/tool.sh")}, {"sha256", Value(sha256)}, {"mode", Value(0755)}});
  const auto registers = [&] {
    return world.post("/v1/workflows",
                      Value(Value::Map{{"source", Value(kOne)}, {"files", Value(Value::List{file})}}));
  };
  EXPECT_EQ(registers().code, "BLOB_NOT_FOUND");
  EXPECT_EQ(world.call(Method::kPut, "/v1/artifacts/" + sha256, "report").status, 201);
  EXPECT_EQ(registers().status, 201);
  EXPECT_EQ(world.get("/v1/workflows/one").body.find("files")->as_list()[0].int_or("mode", 0), 0755);
  world.start_again("one");
  TestAgent agent(world);
  const Value item = agent.take();
  EXPECT_EQ(item.find("files")->as_list()[0].string_or("path", ""), "bin/tool.sh");
  Value result = TestAgent::result(item, "succeeded");
  Value artifact(
      Value::Map{{"name", Value("report.md")}, {"sha256", Value(std::string(64, 'b'))}, {"size", Value(6)}});
  result.set("artifacts", Value(Value::List{artifact}));
  EXPECT_EQ(agent.work({result}, 0).code, "BLOB_NOT_FOUND");
  artifact.set("sha256", Value(sha256));
  result.set("artifacts", Value(Value::List{artifact}));
  EXPECT_EQ(agent.work({result}, 0).status, 200);
  const Answer listed = world.get("/v1/runs/r1/artifacts?limit=1");
  ASSERT_EQ(listed.body.find("items")->as_list().size(), 1u) << listed.text;
  EXPECT_EQ(listed.body.find("items")->as_list()[0].string_or("name", ""), "report.md");
  EXPECT_EQ(listed.text_of("next_cursor"), "");
}

TEST(ApiStatus, HealthReadinessAndFigures) {
  {
    World world;
    EXPECT_EQ(world.get("/healthz", "nobody").status, 200);
    EXPECT_EQ(world.get("/readyz", "nobody").status, 200);
    world.start_run("one", kOne);
    world.settle();
    const Answer status = world.get("/v1/status");
    EXPECT_EQ(status.text_of("version"), "0.0-test");
    EXPECT_TRUE(status.body.bool_or("ready", false)) << status.text;
    EXPECT_EQ(status.body.find("runs")->int_or("started", 0), 1);
  }
  // A reserve that no disk has.
  World full(UINT64_MAX);
  const Answer status = full.get("/v1/status");
  EXPECT_FALSE(status.body.bool_or("ready", true));
  EXPECT_NE(status.text_of("problem").find("LOG_DISK_FULL"), std::string::npos);
  EXPECT_NE(
      full.get("/readyz", "nobody").text.find("503: {\"status\":\"not ready\",\"code\":\"LOG_DISK_FULL\""),
      std::string::npos);
}

TEST(ApiStatus, NamesOfMetricsAreGolden) {
  World world;
  world.start_run("one", kOne);
  world.settle();
  std::ifstream golden("tests/golden/metrics.txt");
  ASSERT_TRUE(golden.good()) << "run from the top of the source tree";
  std::vector<std::string> names;
  for (std::string line; std::getline(golden, line);) names.push_back(line);
  EXPECT_EQ(world.metrics().names(), names);
  const std::string text = world.get("/metrics").text;
  for (const std::string& name : names)
    EXPECT_NE(text.find("# TYPE " + name + " "), std::string::npos) << name;
  EXPECT_NE(text.find("ez_runs_live 1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("ez_http_requests_total{method=\"POST\",route=\"/v1/runs\",status=\"2xx\"} 1\n"),
            std::string::npos)
      << text;
}

}  // namespace
}  // namespace ez::http::api
