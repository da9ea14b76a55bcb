// Batches: what a filter matches, what is done, what is refused.
#include "http/api/testing.h"

namespace ez::http::api {
namespace {

constexpr const char* kWait = "name: wait\ntasks:\n  - {id: a, approval: {}}\n";
constexpr const char* kOther =
    "name: other\ninputs: {size: {type: int, default: 3}}\ntasks:\n  - {id: a, approval: {}}\n";

Value request(const std::string& action, const std::string& filter, bool preview = false) {
  return Value(Value::Map{{"action", Value(action)}, {"filter", Value(filter)}, {"preview", Value(preview)}});
}

// Asks until the batch is over; the server answers each time, so nothing is waited for but its work.
Answer end_of(const World& world, const Answer& started) {
  EXPECT_EQ(started.status, 202) << started.text;
  while (true) {
    Answer answer = world.get("/v1/batches/" + started.text_of("batch"));
    if (answer.status != 200 || answer.text_of("state") != "running") return answer;
  }
}

TEST(ApiBatches, APreviewCountsAndShowsTheFirstAndChangesNothing) {
  World world;
  world.start_run("wait", kWait);
  for (int i = 0; i < 29; ++i) world.start_again("wait");
  world.start_run("other", kOther);
  const Answer answer =
      world.post("/v1/batches", request("cancel", "workflow == \"wait\" && state == \"running\"", true));
  ASSERT_EQ(answer.status, 200) << answer.text;
  EXPECT_EQ(answer.body.int_or("examined", 0), 31);
  EXPECT_EQ(answer.body.int_or("matched", 0), 30);
  EXPECT_EQ(answer.body.find("runs")->as_list().size(), 20u);
  EXPECT_EQ(answer.body.find("runs")->as_list()[0].string_or("id", ""), "r30");
  EXPECT_EQ(world.get("/v1/runs/r1").text_of("state"), "running");
}

TEST(ApiBatches, EveryRunThatMatchesIsDealtWith) {
  World world;
  world.start_run("wait", kWait);
  for (int i = 0; i < 449; ++i) world.start_again("wait");  // several pieces
  const std::string other = world.start_run("other", kOther);
  const Answer paused = end_of(world, world.post("/v1/batches", request("pause", "workflow == \"wait\"")));
  EXPECT_EQ(paused.text_of("state"), "done") << paused.text;
  EXPECT_EQ(paused.body.int_or("done", 0), 450);
  EXPECT_EQ(paused.body.int_or("refused", -1), 0);
  EXPECT_EQ(world.get("/v1/runs/r1").text_of("state"), "paused");
  EXPECT_EQ(world.get("/v1/runs/" + other).text_of("state"), "running");
  const Answer resumed = end_of(world, world.post("/v1/batches", request("resume", "true")));
  EXPECT_EQ(resumed.body.int_or("done", 0), 450);
  EXPECT_EQ(resumed.body.int_or("refused", 0), 1);  // it was not paused
  EXPECT_EQ(resumed.body.find("failures")->as_list().at(0).string_or("code", ""), "WRONG_STATE");
  const Answer cancelled = end_of(world, world.post("/v1/batches", request("cancel", "inputs.size == 3")));
  EXPECT_EQ(cancelled.body.int_or("done", 0), 1);
  EXPECT_EQ(cancelled.body.int_or("not_evaluated", 0), 450);  // they have no such input
  EXPECT_EQ(world.get("/v1/runs/" + other).text_of("state"), "cancelled");
  EXPECT_EQ(world.get("/v1/batches").body.find("items")->as_list().size(), 3u);
}

TEST(ApiBatches, BadRequestsHaveCodes) {
  World world;
  EXPECT_EQ(world.post("/v1/batches", request("explode", "true")).code, "REQUEST_INVALID");
  EXPECT_EQ(world.post("/v1/batches", request("cancel", "")).code, "REQUEST_INVALID");
  EXPECT_EQ(world.post("/v1/batches", request("cancel", "state ==")).code, "EXPRESSION_INVALID");
  EXPECT_EQ(world.post("/v1/batches", request("cancel", "true"), "viewer").code, "PERMISSION_DENIED");
  EXPECT_EQ(world.get("/v1/batches/b7").code, "BATCH_NOT_FOUND");
  EXPECT_EQ(world.get("/v1/batches/x").code, "BATCH_NOT_FOUND");
  const Answer none = end_of(world, world.post("/v1/batches", request("cancel", "true")));
  EXPECT_EQ(none.body.int_or("matched", -1), 0);
}

TEST(ApiBatches, TheWordsOfAListChooseRunsToo) {
  World world;
  world.start_run("wait", kWait);
  for (const char* env : {"prod", "prod", "test"}) {
    EXPECT_EQ(world
                  .post("/v1/runs", Value(Value::Map{{"workflow", Value("wait")},
                                                     {"labels", Value(Value::Map{{"env", Value(env)}})}}))
                  .status,
              201);
  }
  const auto with = [](Value where, const std::string& filter = "") {
    Value body(Value::Map{{"action", Value("pause")}, {"where", std::move(where)}});
    if (!filter.empty()) body.set("filter", Value(filter));
    return body;
  };
  const Value prod(Value::Map{{"label", Value(Value::Map{{"env", Value("prod")}})}});
  const Answer both = end_of(world, world.post("/v1/batches", with(prod, "id != \"r2\"")));
  EXPECT_EQ(both.body.int_or("examined", 0), 2) << both.text;
  EXPECT_EQ(both.body.int_or("done", 0), 1);
  EXPECT_EQ(both.body.find("where")->find("label")->string_or("env", ""), "prod");
  EXPECT_EQ(world.get("/v1/runs/r3").text_of("state"), "paused");
  EXPECT_EQ(world.get("/v1/runs/r2").text_of("state"), "running");
  // Pausing what is paused does no harm.
  EXPECT_EQ(end_of(world, world.post("/v1/batches", with(prod))).body.int_or("done", 0), 2);
  for (const Value& bad : {Value(Value::Map{}), Value(Value::Map{{"labels", Value("x")}}),
                           Value(Value::Map{{"state", Value("odd")}}),
                           Value(Value::Map{{"label", Value(Value::Map{{"env", Value(1)}})}})}) {
    EXPECT_EQ(world.post("/v1/batches", with(bad)).status, 400);
  }
}

}  // namespace
}  // namespace ez::http::api
