// Pauses over the API: one target, the right to it, and where they are shown.
#include "http/api/testing.h"

namespace ez::http::api {
namespace {

Value target(const std::string& kind, const std::string& name) {
  return Value(Value::Map{{kind, Value(name)}, {"comment", Value("repairs")}});
}

TEST(ApiPauses, OneTargetAndTheRightToIt) {
  World world;
  world.start_run("one", "name: one\ntasks:\n  - id: a\n    run: echo\n");
  EXPECT_EQ(world.post("/v1/pause", Value(Value::Map{})).code, "REQUEST_INVALID");
  Value two = target("workflow", "one");
  two.set("namespace", Value("default"));
  EXPECT_EQ(world.post("/v1/pause", two).code, "REQUEST_INVALID");
  EXPECT_EQ(world.post("/v1/pause", target("workflow", "one"), "viewer").code, "PERMISSION_DENIED");
  EXPECT_EQ(world.post("/v1/pause?namespace=other", target("namespace", "default"), "elsewhere").code,
            "PERMISSION_DENIED");
  EXPECT_EQ(world.post("/v1/pause?namespace=other", target("agent_type", "exec"), "elsewhere").code,
            "PERMISSION_DENIED");
  EXPECT_EQ(world.post("/v1/resume", target("workflow", "one")).code, "WRONG_STATE");
  const Answer paused = world.post("/v1/pause", target("workflow", "one"));
  ASSERT_EQ(paused.status, 200) << paused.text;
  EXPECT_TRUE(paused.body.bool_or("changed", false));
  EXPECT_FALSE(world.post("/v1/pause", target("workflow", "one")).body.bool_or("changed", true));
  const Answer run = world.get("/v1/runs/r1");
  ASSERT_TRUE(run.body.find("held_by")->is_map()) << run.text;
  EXPECT_EQ(run.body.find("held_by")->string_or("comment", ""), "repairs");
  EXPECT_EQ(world.get("/v1/pauses").body.find("items")->as_list().size(), 1U);
  const Answer why = world.get("/v1/runs/r1/tasks/a/why");
  EXPECT_EQ(why.body.find("reasons")->as_list().at(0).string_or("kind", ""), "held") << why.text;
  EXPECT_EQ(world.get("/v1/runs/r1/tasks/b/why").code, "TASK_NOT_FOUND");
  EXPECT_EQ(world.post("/v1/resume", target("workflow", "one")).status, 200);
  EXPECT_TRUE(world.get("/v1/runs/r1").body.find("held_by")->is_null());
}

}  // namespace
}  // namespace ez::http::api
