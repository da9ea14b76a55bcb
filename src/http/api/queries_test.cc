// Queries over the API: of a live run, of a finished one, and those that cannot be answered.
#include "http/api/testing.h"

namespace ez::http::api {
namespace {

constexpr const char* kSource =
    "name: w\n"
    "queries:\n"
    "  progress: \"{'done': tasks.each.finished, 'of': tasks.each.instances}\"\n"
    "  sum: tasks.each.outputs[0] + tasks.each.outputs[1]\n"
    "  heavy: \"[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, "
    "[1,2,3,4,5,6,7,8,9].all(d, [1,2,3,4,5,6,7,8,9].all(e, a + b + c + d + e > 0)))))\"\n"
    "  who: run.id + '/' + tasks.ask.state\n"
    "tasks:\n"
    "  - {id: each, for_each: '${{ [1, 2] }}', run: x}\n"
    "  - {id: ask, dependencies: [each], wait: {signal: go}}\n";

TEST(ApiQueries, AreAnsweredFromALiveAndFromAFinishedRun) {
  World world;
  const std::string run = world.start_run("w", kSource);
  const Answer before = world.get("/v1/runs/r1/queries/progress");
  ASSERT_EQ(before.status, 200) << before.text;
  EXPECT_EQ(to_json(*before.body.find("value")), R"({"done":0,"of":2})");
  EXPECT_EQ(world.get("/v1/runs/r1/queries/who", "viewer").text_of("value"), "r1/waiting");
  TestAgent agent(world);
  for (int i = 0; i < 2; ++i) EXPECT_EQ(agent.report(agent.take(), "succeeded", Value(20 + i)), "accepted");
  EXPECT_EQ(to_json(*world.get("/v1/runs/r1/queries/progress").body.find("value")), R"({"done":2,"of":2})");
  EXPECT_EQ(world.get("/v1/runs/r1/queries/sum").body.int_or("value", 0), 41);
  EXPECT_EQ(world.post("/v1/runs/r1/signals/go", Value(Value::Map{})).status, 200);
  const Answer after = world.get("/v1/runs/r1/queries/who");
  EXPECT_EQ(after.text_of("value"), "r1/succeeded") << after.text;
  EXPECT_EQ(after.text_of("state"), "succeeded");
  const Answer list = world.get("/v1/runs/r1/queries");
  ASSERT_EQ(list.body.find("items")->as_list().size(), 4U) << list.text;
  EXPECT_EQ(list.body.find("items")->as_list()[1].string_or("name", ""), "progress");
}

TEST(ApiQueries, SayWhyTheyCannotBeAnswered) {
  World world;
  world.start_run("w", kSource);
  EXPECT_EQ(world.get("/v1/runs/r1/queries/none").code, "QUERY_NOT_FOUND");
  EXPECT_EQ(world.get("/v1/runs/r2/queries/who").code, "RUN_NOT_FOUND");
  const Answer failed = world.get("/v1/runs/r1/queries/sum");
  EXPECT_EQ(failed.code, "EXPRESSION_FAILED");
  EXPECT_NE(failed.text.find("queries.sum"), std::string::npos) << failed.text;
  EXPECT_EQ(world.get("/v1/runs/r1/queries/heavy").code, "EXPRESSION_COST");
  EXPECT_EQ(world.get("/v1/runs/r1/queries/who", "elsewhere").code, "PERMISSION_DENIED");
  EXPECT_EQ(world.get("/v1/runs/r1/queries?x=1").code, "REQUEST_INVALID");
}

}  // namespace
}  // namespace ez::http::api
