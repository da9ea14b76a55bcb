// Runs that leave one server and come to another.
#include "base/base64.h"
#include "http/api/testing.h"
#include "storage/zstd_stream.h"

namespace ez::http::api {
namespace {

constexpr const char* kTwo =
    "name: two\nlabels: {team: storage}\ntasks:\n  - {id: a, run: echo}\n  - {id: b, dependencies: [a], run: "
    "echo}\n";

Value import_body(const Answer& exported, int version = 1) {
  return Value(Value::Map{{"record", Value(exported.text_of("record"))}, {"version", Value(version)}});
}

TEST(ApiExports, AFinishedRunComesAsItWasAndOnlyOnce) {
  World there;
  there.start_run("two", kTwo);
  TestAgent agent(there);
  EXPECT_EQ(agent.report(agent.take(), "succeeded", Value(Value::Map{{"n", Value(7)}})), "accepted");
  EXPECT_EQ(agent.report(agent.take(), "succeeded"), "accepted");
  const Answer exported = there.get("/v1/runs/r1/export");
  ASSERT_EQ(exported.status, 200) << exported.text;
  EXPECT_FALSE(exported.body.bool_or("live", true));
  EXPECT_EQ(exported.body.find("attempts")->as_list().size(), 2u);

  World here;
  here.start_run("two", kTwo);  // r1 is taken here
  const Answer imported = here.post("/v1/imports", import_body(exported));
  ASSERT_EQ(imported.status, 201) << imported.text;
  EXPECT_EQ(imported.text_of("run"), "r2");
  for (int round = 0; round < 2; ++round) {
    const Answer run = here.get("/v1/runs/r2");
    ASSERT_EQ(run.status, 200) << run.text;
    const Answer old = there.get("/v1/runs/r1");
    for (const char* key :
         {"state", "created_at", "finished_at", "cost_microusd", "inputs", "started_by", "counts"})
      EXPECT_EQ(*run.body.find(key), *old.body.find(key)) << key;
    EXPECT_EQ(run.body.find("tasks")->as_list()[0].find("output")->int_or("n", 0), 7);
    EXPECT_EQ(run.body.find("labels")->string_or("ez/origin", ""), exported.text_of("origin"));
    const Answer again = here.post("/v1/imports", import_body(exported));
    EXPECT_EQ(again.status, 200) << again.text;
    EXPECT_EQ(again.text_of("run"), "r2");
    must(here.engine().projector().flush(LogIndex{here.engine().counters().log_last}));
  }
  // The order is that of creation, whatever the numbers say.
  EXPECT_EQ(here.get("/v1/runs?state=finished").body.find("items")->as_list().size(), 1u);
  // Exported anew it is still the run that it was.
  EXPECT_EQ(here.get("/v1/runs/r2/export").text_of("origin"), exported.text_of("origin"));
  // What it printed follows.
  const auto log = [&](const std::string& run, const std::string& data, int offset) {
    return here
        .post("/v1/imports/logs", Value(Value::Map{{"run", Value(run)},
                                                   {"task", Value("a")},
                                                   {"attempt", Value(1)},
                                                   {"offset", Value(offset)},
                                                   {"data", Value(to_base64(data))}}))
        .status;
  };
  EXPECT_EQ(log("r2", "hello ", 0), 200);
  EXPECT_EQ(log("r2", "world", 6), 200);
  EXPECT_EQ(log("r2", "hello ", 0), 200);
  EXPECT_EQ(here.get("/v1/runs/r2/tasks/a/attempts/1/logs").text, "hello world");
  EXPECT_EQ(log("r1", "x", 0), 409) << "a run of this server's own";
  EXPECT_EQ(log("r9", "x", 0), 404);
  // It survives a restart, and a rebuild of history from the log.
  here.stop();
  for (const char* name : {"history.db", "history.db-wal", "history.db-shm"})
    std::filesystem::remove(here.folder() / name);
  here.start();
  EXPECT_EQ(here.get("/v1/runs/r2").text_of("state"), "succeeded");
}

TEST(ApiExports, ALiveRunGoesOnFromWhatWasComplete) {
  World there;
  there.start_run("two", kTwo);
  TestAgent agent(there);
  EXPECT_EQ(agent.report(agent.take(), "succeeded", Value(Value::Map{{"n", Value(7)}})), "accepted");
  const Answer exported = there.get("/v1/runs/r1/export");
  ASSERT_TRUE(exported.body.bool_or("live", false)) << exported.text;

  World here;
  here.start_run("two", kTwo);
  const Answer imported = here.post("/v1/imports?namespace=default", import_body(exported));
  ASSERT_EQ(imported.status, 201) << imported.text;
  const std::string id = imported.text_of("run");
  EXPECT_EQ(here.post("/v1/imports", import_body(exported)).text_of("run"), id);
  EXPECT_EQ(here.post("/v1/runs/r1/cancel", Value(Value::Map{})).status, 200);
  TestAgent worker(here);
  Value item = worker.take();
  EXPECT_EQ(item.string_or("run", ""), id);
  EXPECT_EQ(item.string_or("task", ""), "b");
  EXPECT_EQ(worker.report(item, "succeeded"), "accepted");
  const Answer run = here.get("/v1/runs/" + id);
  EXPECT_EQ(run.text_of("state"), "succeeded");
  EXPECT_EQ(run.body.find("tasks")->as_list()[0].find("output")->int_or("n", 0), 7);
  EXPECT_EQ(run.body.find("labels")->string_or("team", ""), "storage");
  EXPECT_EQ(here.post("/v1/imports", import_body(exported)).text_of("run"), id) << "also once it is over";
  // There it ended otherwise: both histories are true, none is overwritten.
  EXPECT_EQ(there.post("/v1/runs/r1/cancel", Value(Value::Map{})).status, 200);
  const Answer ended = there.get("/v1/runs/r1/export");
  EXPECT_EQ(ended.text_of("origin"), exported.text_of("origin"));
  const Answer conflict = here.post("/v1/imports", import_body(ended));
  EXPECT_EQ(conflict.status, 409);
  EXPECT_EQ(conflict.code, "IMPORT_CONFLICT") << conflict.text;
}

TEST(ApiExports, WhatIsNoRecordIsRefused) {
  World world;
  world.start_run("two", kTwo);
  const Answer exported = world.get("/v1/runs/r1/export");
  const auto code = [&](const Value& body, const std::string& token = "admin") {
    const Answer answer = world.post("/v1/imports", body, token);
    return std::to_string(answer.status) + " " + answer.code;
  };
  const auto record = [&](const std::string& bytes) {
    return Value(Value::Map{{"record", Value(to_base64(storage::zstd_pack(bytes)))}, {"version", Value(1)}});
  };
  EXPECT_EQ(code(import_body(exported), "viewer"), "403 PERMISSION_DENIED");
  EXPECT_EQ(code(import_body(exported), "maintainer"), "403 PERMISSION_DENIED");
  EXPECT_EQ(world.get("/v1/runs/r1/export", "elsewhere").status, 403);
  EXPECT_EQ(world.get("/v1/runs/r9/export").code, "RUN_NOT_FOUND");
  EXPECT_EQ(code(Value(Value::Map{})), "400 REQUEST_INVALID");
  EXPECT_EQ(code(Value(Value::Map{{"record", Value("?")}, {"version", Value(1)}})), "400 REQUEST_INVALID");
  EXPECT_EQ(code(Value(Value::Map{{"record", Value("")}, {"version", Value(1)}})), "400 REQUEST_INVALID");
  EXPECT_EQ(code(record("")), "400 REQUEST_INVALID");
  EXPECT_EQ(code(record("\xff\xff")), "400 REQUEST_INVALID");
  EXPECT_EQ(code(record(std::string(40'000'000, '\0'))), "400 REQUEST_INVALID");
  EXPECT_EQ(code(import_body(exported, 5)), "404 WORKFLOW_NOT_FOUND");
  EXPECT_EQ(world.post("/v1/imports?namespace=*", import_body(exported)).status, 400);
  // Every shorter piece of a good record, and every changed byte, is refused or is a run; nothing breaks.
  const std::string good =
      *storage::zstd_unpack(*from_base64(exported.text_of("record")), 1 << 20, Code::Internal);
  for (std::size_t cut = 0; cut < good.size(); cut += 3)
    EXPECT_LT(world.post("/v1/imports", record(good.substr(0, cut))).status, 500);
  for (std::size_t at = 0; at < good.size(); at += 2) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x15);
    EXPECT_LT(world.post("/v1/imports", record(bad)).status, 500) << at;
  }
}

}  // namespace
}  // namespace ez::http::api
