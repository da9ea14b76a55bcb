// Signals over the API: taken, kept, repeated, refused; and as a batch.
#include "http/api/testing.h"

namespace ez::http::api {
namespace {

constexpr const char* kSource =
    "name: w\ntasks:\n  - {id: a, wait: {signal: go}}\n"
    "  - {id: b, dependencies: [a], wait: {signal: go, timeout: 1h}}\n"
    "  - {id: c, dependencies: [b], wait: {for: 1h}}\n";

Value payload(Value value, const std::string& id = "") {
  Value body(Value::Map{{"payload", std::move(value)}});
  if (!id.empty()) body.set("id", Value(id));
  return body;
}

TEST(ApiSignals, AreTakenKeptAndCountedOnce) {
  World world;
  world.start_run("w", kSource);
  const Answer first = world.post("/v1/runs/r1/signals/go", payload(Value(Value::Map{{"n", Value(1)}}), "x"));
  ASSERT_EQ(first.status, 200) << first.text;
  EXPECT_EQ(first.text_of("task"), "a");
  EXPECT_FALSE(first.body.bool_or("repeated", true));
  const Answer again = world.post("/v1/runs/r1/signals/go", payload(Value(Value::Map{{"n", Value(1)}}), "x"));
  EXPECT_TRUE(again.body.bool_or("repeated", false)) << again.text;
  EXPECT_EQ(world.post("/v1/runs/r1/signals/go", payload(Value(2), "x")).code, "IDEMPOTENCY_CONFLICT");
  const Answer a = world.get("/v1/runs/r1/tasks/a");
  EXPECT_EQ(a.body.find("output")->int_or("n", 0), 1) << a.text;
  EXPECT_EQ(a.text_of("decided_by"), "person:admin");
  EXPECT_EQ(world.get("/v1/runs/r1/tasks/b").text_of("state"), "signal");
  // It outlives a restart, as does what was counted.
  world.restart();
  const auto with_key = [&](const std::string& key, const std::string& body) {
    return world.call(Method::kPost, "/v1/runs/r1/signals/go", body, {{"Idempotency-Key", key}});
  };
  EXPECT_EQ(with_key("y", "").text_of("task"), "b");
  EXPECT_TRUE(with_key("y", "").body.bool_or("repeated", false));
  EXPECT_EQ(world.get("/v1/runs/r1/tasks/c").text_of("state"), "timer");
  const Answer kept = world.post("/v1/runs/r1/signals/go", payload(Value(Value::List{Value(7)})));
  EXPECT_TRUE(kept.body.find("task")->is_null()) << kept.text;
  const Answer run = world.get("/v1/runs/r1");
  ASSERT_EQ(run.body.find("signals")->as_list().size(), 1U) << run.text;
  EXPECT_EQ(run.body.find("signals")->as_list()[0].int_or("bytes", 0), 3);
  const Answer why = world.get("/v1/runs/r1/tasks/c/why");
  EXPECT_EQ(why.body.find("reasons")->as_list().at(0).string_or("kind", ""), "timer") << why.text;
}

TEST(ApiSignals, AreRefusedWithCodes) {
  World world;
  world.start_run("w", kSource);
  EXPECT_EQ(world.post("/v1/runs/r9/signals/go", Value(Value::Map{})).code, "RUN_NOT_FOUND");
  EXPECT_EQ(world.post("/v1/runs/r1/signals/stop", Value(Value::Map{})).code, "SIGNAL_NOT_FOUND");
  EXPECT_EQ(world.post("/v1/runs/r1/signals/go", Value(Value::Map{{"data", Value(1)}})).code,
            "REQUEST_INVALID");
  EXPECT_EQ(world.post("/v1/runs/r1/signals/go", Value(Value::Map{}), "viewer").code, "PERMISSION_DENIED");
  EXPECT_EQ(world.post("/v1/runs/r1/signals/go", payload(Value(std::string(16 * 1024, 'x')))).code,
            "PAYLOAD_TOO_LARGE");
  const Answer long_key = world.call(Method::kPost, "/v1/runs/r1/signals/go", "{}",
                                     {{"Idempotency-Key", std::string(300, 'x')}});
  EXPECT_EQ(long_key.code, "REQUEST_INVALID");
  EXPECT_EQ(world.post("/v1/runs/r1/cancel", Value(Value::Map{})).status, 200);
  EXPECT_EQ(world.post("/v1/runs/r1/signals/go", Value(Value::Map{})).code, "WRONG_STATE");
}

TEST(ApiSignals, ABatchSendsThemAfterAPreview) {
  World world;
  world.start_run("w", kSource);
  for (int i = 0; i < 4; ++i) world.start_again("w");
  world.start_run("other", "name: other\ntasks:\n  - {id: a, approval: {}}\n");
  Value body(Value::Map{{"action", Value("signal")},
                        {"filter", Value("true")},
                        {"signal", Value("go")},
                        {"payload", Value("all")},
                        {"id", Value("batch-1")},
                        {"preview", Value(true)}});
  EXPECT_EQ(world.post("/v1/batches", body).body.int_or("matched", 0), 6);
  EXPECT_EQ(world.get("/v1/runs/r1/tasks/a").text_of("state"), "signal");
  body.set("preview", Value(false));
  for (int round = 0; round < 2; ++round) {
    Answer answer = world.post("/v1/batches", body);
    ASSERT_EQ(answer.status, 202) << answer.text;
    const std::string id = answer.text_of("batch");
    do {
      answer = world.get("/v1/batches/" + id);
    } while (answer.text_of("state") == "running");
    EXPECT_EQ(answer.body.int_or("done", 0), 5) << answer.text;
    EXPECT_EQ(answer.body.int_or("refused", 0), 1);  // no task of it waits for that
    EXPECT_EQ(answer.body.find("failures")->as_list().at(0).string_or("code", ""), "SIGNAL_NOT_FOUND");
  }
  // The second batch had the same id: nobody counted it again.
  EXPECT_EQ(world.get("/v1/runs/r1/tasks/a").text_of("output"), "all");
  EXPECT_EQ(world.get("/v1/runs/r1/tasks/b").text_of("state"), "signal");
  body.set("signal", Value());
  EXPECT_EQ(world.post("/v1/batches", body).code, "REQUEST_INVALID");
  body.set("signal", Value("go"));
  body.set("action", Value("pause"));
  EXPECT_EQ(world.post("/v1/batches", body).code, "REQUEST_INVALID");
}

}  // namespace
}  // namespace ez::http::api
