// Schedules over the API.
#include "base/clock.h"
#include "http/api/testing.h"

namespace ez::http::api {
namespace {

constexpr const char* kTick =
    "name: tick\ninputs: {n: {type: int, default: 1}}\ntasks:\n  - {id: a, run: x}\n";

Value body(std::vector<std::pair<std::string, Value>> members) {
  Value out(Value::Map{{"workflow", Value("tick")}});
  for (auto& [name, value] : members) out.set(name, std::move(value));
  return out;
}

class ApiSchedules : public ::testing::Test {
 protected:
  ApiSchedules() {
    EXPECT_EQ(world.post("/v1/workflows", Value(Value::Map{{"source", Value(kTick)}})).status, 201);
  }
  std::string refused(const Value& wanted, const std::string& name = "s") {
    const Answer answer = world.post("/v1/schedules/" + name, wanted);
    EXPECT_GE(answer.status, 400) << answer.text;
    return answer.code;
  }
  World world;
};

TEST_F(ApiSchedules, AreSetShownListedAndDeleted) {
  const Answer made =
      world.post("/v1/schedules/nightly",
                 body({{"cron", Value("0 3 * * *")}, {"inputs", Value(Value::Map{{"n", Value(2)}})}}));
  ASSERT_EQ(made.status, 201) << made.text;
  EXPECT_EQ(made.text_of("state"), "active");
  EXPECT_EQ(made.text_of("cadence"), "0 3 * * *");
  const Value::List& next = made.body.find("next")->as_list();
  ASSERT_EQ(next.size(), 5U);
  EXPECT_NE(next[0].as_string().find("T03:00:00+00:00"), std::string::npos);
  EXPECT_EQ(world.post("/v1/schedules/nightly", body({{"every_ms", Value(900'000)}})).status, 200);
  EXPECT_EQ(world.get("/v1/schedules/nightly").text_of("cadence"), "@every 15m");
  EXPECT_EQ(world.post("/v1/schedules/other", body({{"cron", Value("@daily")}})).status, 201);
  const Answer first = world.get("/v1/schedules?limit=1");
  EXPECT_EQ(first.text_of("next_cursor"), "nightly");
  const Answer second = world.get("/v1/schedules?cursor=nightly");
  ASSERT_EQ(second.body.find("items")->as_list().size(), 1U);
  EXPECT_TRUE(world.get("/v1/schedules?namespace=other").body.find("items")->as_list().empty());
  EXPECT_EQ(world.call(Method::kDelete, "/v1/schedules/nightly").status, 200);
  EXPECT_EQ(world.get("/v1/schedules/nightly").code, "SCHEDULE_NOT_FOUND");
  EXPECT_EQ(world.call(Method::kDelete, "/v1/schedules/nightly").code, "SCHEDULE_NOT_FOUND");
}

TEST_F(ApiSchedules, APreviewSetsNothing) {
  const Answer seen =
      world.post("/v1/schedules/s", body({{"cron", Value("@monthly")}, {"preview", Value(true)}}));
  EXPECT_EQ(seen.status, 200) << seen.text;
  EXPECT_EQ(seen.body.find("next")->as_list().size(), 5U);
  EXPECT_EQ(world.get("/v1/schedules/s").code, "SCHEDULE_NOT_FOUND");
}

TEST_F(ApiSchedules, TickTriggerPauseAndBackfill) {
  // A tick a second: what the server's own timers do is seen without waiting long.
  ASSERT_EQ(world.post("/v1/schedules/s", body({{"every_ms", Value(1000)}})).status, 201);
  TestAgent agent(world);
  const Value item = agent.take();
  const Answer run = world.get("/v1/runs/" + std::string(item.string_or("run", "")));
  EXPECT_EQ(run.text_of("schedule"), "s");
  EXPECT_FALSE(run.text_of("scheduled_at").empty());
  EXPECT_EQ(world.post("/v1/schedules/s/pause", Value(Value::Map{})).text_of("state"), "paused");
  EXPECT_EQ(agent.report(item, "succeeded"), "accepted");
  const Answer triggered =
      world.post("/v1/schedules/s/trigger", Value(Value::Map{{"idempotency_key", Value("k")}}));
  EXPECT_EQ(triggered.status, 201) << triggered.text;
  const Answer again =
      world.post("/v1/schedules/s/trigger", Value(Value::Map{{"idempotency_key", Value("k")}}));
  EXPECT_EQ(again.status, 200) << again.text;
  EXPECT_EQ(again.text_of("run"), triggered.text_of("run"));
  world.restart();
  EXPECT_EQ(world.get("/v1/schedules/s").text_of("state"), "paused");

  const Value span(Value::Map{{"from", Value("2026-01-01T00:00:00Z")},
                              {"to", Value("2026-01-01T00:00:05Z")},
                              {"preview", Value(true)},
                              {"at_once", Value(true)}});
  const Answer preview = world.post("/v1/schedules/s/backfill", span);
  EXPECT_EQ(preview.body.int_or("count", 0), 5) << preview.text;
  Value now = span;
  now.set("preview", Value(false));
  EXPECT_EQ(world.post("/v1/schedules/s/backfill", now).status, 200);
  EXPECT_EQ(world.get("/v1/schedules/s").body.find("live")->as_list().size(), 6U);
  Value wide = span;
  wide.set("to", Value("2026-02-01"));
  EXPECT_EQ(world.post("/v1/schedules/s/backfill", wide).code, "INVALID_ARGUMENT");
  wide.set("to", Value("2999-02-01"));
  EXPECT_EQ(world.post("/v1/schedules/s/backfill", wide).code, "INVALID_ARGUMENT");
  wide.set("to", Value("soon"));
  EXPECT_EQ(world.post("/v1/schedules/s/backfill", wide).code, "REQUEST_INVALID");
}

TEST_F(ApiSchedules, MistakesAreAnswered) {
  EXPECT_EQ(refused(body({})), "REQUEST_INVALID");
  EXPECT_EQ(refused(body({{"cron", Value("@daily")}, {"every_ms", Value(1000)}})), "REQUEST_INVALID");
  EXPECT_EQ(refused(body({{"cron", Value("61 * * * *")}})), "INVALID_ARGUMENT");
  EXPECT_EQ(refused(body({{"cron", Value("0 0 30 2 *")}})), "INVALID_ARGUMENT");
  EXPECT_EQ(refused(body({{"cron", Value("@daily")}, {"zone", Value("Europe/Atlantis")}})),
            "INVALID_ARGUMENT");
  EXPECT_EQ(refused(body({{"cron", Value("@daily")}, {"zone", Value("../../etc/passwd")}})),
            "INVALID_ARGUMENT");
  EXPECT_EQ(refused(body({{"cron", Value("@daily")}, {"overlap", Value("maybe")}})), "REQUEST_INVALID");
  EXPECT_EQ(refused(body({{"cron", Value("@daily")}, {"inputs", Value(Value::Map{{"m", Value(1)}})}})),
            "INPUT_INVALID");
  EXPECT_EQ(refused(body({{"cron", Value("@daily")}}), "No-Name"), "INVALID_ARGUMENT");
  EXPECT_EQ(world.post("/v1/schedules/s", body({{"cron", Value("@daily")}}), "viewer").code,
            "PERMISSION_DENIED");
  EXPECT_EQ(world.post("/v1/schedules/none/trigger", Value(Value::Map{})).code, "SCHEDULE_NOT_FOUND");
}

TEST_F(ApiSchedules, ZonesAreThoseOfTheSystem) {
  const Answer made =
      world.post("/v1/schedules/s", body({{"cron", Value("30 2 * * *")}, {"zone", Value("Europe/Berlin")}}));
  ASSERT_EQ(made.status, 201) << made.text;
  const std::string first = made.body.find("next")->as_list().at(0).as_string();
  EXPECT_TRUE(first.ends_with("T02:30:00+01:00") || first.ends_with("T02:30:00+02:00") ||
              first.ends_with("T03:00:00+02:00"))
      << first;
}

}  // namespace
}  // namespace ez::http::api
