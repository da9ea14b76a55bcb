// What waits: long-polls, event streams, logs that are followed.
#include <thread>

#include "http/api/testing.h"
#include "http/sse_client.h"
#include "http/testing.h"

namespace ez::http::api {
namespace {

constexpr const char* kTwo =
    "name: two\ntasks:\n  - id: a\n    run: echo\n  - id: b\n    dependencies: [a]\n    run: echo\n";

// Everything a stream says until it ends.
std::vector<ReceivedEvent> events_of(const std::string& text) {
  std::vector<ReceivedEvent> out;
  SseParser parser([&](const ReceivedEvent& event) {
    out.push_back(event);
    return true;
  });
  EXPECT_TRUE(parser.feed(text).ok());
  return out;
}

Answer stream(const World& world, const std::string& target, const std::string& last_id = "") {
  std::vector<std::pair<std::string, std::string>> headers{{"Accept", "text/event-stream"}};
  if (!last_id.empty()) headers.emplace_back("Last-Event-ID", last_id);
  return world.call(Method::kGet, target, "", headers);
}

TEST(ApiStreams, WaitingForWorkIsWokenByIt) {
  World world;
  TestAgent agent(world);
  Answer got;
  std::thread waiting([&] { got = agent.work({}, 1, 60'000); });
  while (world.engine().counters().waiting_demands == 0) std::this_thread::yield();
  world.start_run("two", kTwo);
  waiting.join();
  ASSERT_EQ(got.status, 200) << got.text;
  ASSERT_EQ(got.body.find("tasks")->as_list().size(), 1u) << got.text;
}

TEST(ApiStreams, WorkOfAnAgentThatLeftGoesToAnother) {
  World world;
  TestAgent leaver(world, "leaver");
  {
    http::testing::RawClient raw(world.port());
    const std::string body = R"({"agent":")" + leaver.id + R"(","want":1,"wait_ms":60000})";
    ASSERT_TRUE(raw.send(http::testing::raw_request("POST", "/v1/work", "", body)));
    while (world.engine().counters().waiting_demands == 0) std::this_thread::yield();
  }  // the connection is gone
  while (world.engine().counters().waiting_demands != 0) std::this_thread::yield();
  world.start_run("two", kTwo);
  TestAgent stayer(world, "stayer");
  EXPECT_EQ(stayer.take().string_or("task", ""), "a");
}

TEST(ApiStreams, AHeartbeatIsWokenByACancellation) {
  World world;
  const std::string run = world.start_run("two", kTwo);
  TestAgent agent(world);
  const Value item = agent.take();
  const std::int64_t fence = item.int_or("fence", 0);
  const std::string target = "/v1/agents/" + agent.id + "/heartbeat";
  const auto beat = [&](int wait_ms) {
    return world.post(target, Value(Value::Map{{"leases", Value(Value::List{Value(fence), Value(999'999)})},
                                               {"wait_ms", Value(wait_ms)}}));
  };
  const Answer now = beat(60'000);  // the unknown fence ends the wait at once
  ASSERT_EQ(now.body.find("unknown")->as_list().size(), 1u) << now.text;
  EXPECT_EQ(now.body.find("unknown")->as_list()[0].as_int(), 999'999);

  Answer told;
  std::thread waiting([&] {
    told = world.post(
        target, Value(Value::Map{{"leases", Value(Value::List{Value(fence)})}, {"wait_ms", Value(60'000)}}));
  });
  EXPECT_EQ(world.post("/v1/runs/" + run + "/cancel", Value(Value::Map{})).status, 200);
  waiting.join();
  ASSERT_EQ(told.body.find("cancel")->as_list().size(), 1u) << told.text;
  EXPECT_EQ(told.body.find("cancel")->as_list()[0].int_or("fence", 0), fence);
  EXPECT_EQ(agent.report(item, "cancelled"), "stale");
}

TEST(ApiStreams, AnEmptyWaitEndsByItself) {
  World world;
  TestAgent agent(world);
  const Answer none = agent.work({}, 1, 1);
  EXPECT_EQ(none.status, 200);
  EXPECT_TRUE(none.body.find("tasks")->as_list().empty());
  EXPECT_EQ(world.engine().counters().waiting_demands, 0u);
  const Answer beat =
      world.post("/v1/agents/" + agent.id + "/heartbeat", Value(Value::Map{{"wait_ms", Value(1)}}));
  EXPECT_EQ(beat.status, 200);
  EXPECT_EQ(world.post("/v1/agents/a999/heartbeat", Value(Value::Map{{"wait_ms", Value(60'000)}})).code,
            "AGENT_NOT_FOUND");
}

TEST(ApiStreams, ARunIsToldFromSnapshotToEnd) {
  World world;
  const std::string run = world.start_run("two", kTwo);
  Answer told;
  std::thread follower([&] { told = stream(world, "/v1/runs/" + run + "/events"); });
  TestAgent agent(world);
  while (world.engine().events().subscribers() == 0) std::this_thread::yield();
  EXPECT_EQ(agent.report(agent.take(), "succeeded"), "accepted");
  EXPECT_EQ(agent.report(agent.take(), "succeeded"), "accepted");
  follower.join();
  const auto events = events_of(told.text);
  ASSERT_GE(events.size(), 4u) << told.text;
  EXPECT_EQ(events.front().event, "snapshot");
  const Value snapshot = must(parse_json(events.front().data));
  EXPECT_EQ(snapshot.string_or("id", ""), run);
  EXPECT_EQ(snapshot.find("tasks")->as_list().size(), 2u);
  EXPECT_EQ(events.back().event, "end");
  EXPECT_EQ(must(parse_json(events.back().data)).string_or("state", ""), "succeeded");
  std::vector<std::string> states;
  for (const ReceivedEvent& event : events) {
    const Value data = must(parse_json(event.data));
    if (event.event == "task" && data.string_or("task", "") == "b")
      states.emplace_back(data.string_or("state", ""));
  }
  EXPECT_EQ(states, (std::vector<std::string>{"ready", "running", "succeeded"})) << told.text;
  EXPECT_EQ(world.engine().events().subscribers(), 0u);

  // Whoever comes back with an id gets the rest and nothing twice.
  const std::string middle = events[2].id;
  const auto rest = events_of(stream(world, "/v1/runs/" + run + "/events", middle).text);
  ASSERT_EQ(rest.size(), events.size() - 3);
  for (std::size_t i = 0; i < rest.size(); ++i) {
    EXPECT_EQ(rest[i].id, events[i + 3].id);
    EXPECT_EQ(rest[i].data, events[i + 3].data);
  }
  // Whoever has everything is told so.
  EXPECT_EQ(stream(world, "/v1/runs/" + run + "/events", "end").status, 204);
  EXPECT_EQ(stream(world, "/v1/runs/" + run + "/events", events[events.size() - 2].id).status, 204);
  // A finished run: the snapshot and the end.
  const auto finished = events_of(stream(world, "/v1/runs/" + run + "/events").text);
  ASSERT_EQ(finished.size(), 2u);
  EXPECT_EQ(finished[0].event, "snapshot");
  EXPECT_EQ(finished[1].event, "end");
  // An id from the future (or from a server that has forgotten): a snapshot again.
  const auto gap = events_of(stream(world, "/v1/runs/" + run + "/events", "18000000000000000000").text);
  ASSERT_EQ(gap.size(), 2u);
  EXPECT_EQ(gap[0].event, "snapshot");
}

TEST(ApiStreams, ALargeRunComesInPieces) {
  World world;
  std::string source = "name: large\ntasks:\n";
  constexpr int kTasks = 1'500;
  for (int i = 0; i < kTasks; ++i) source += "  - {id: t" + std::to_string(i) + ", run: echo}\n";
  const std::string run = world.start_run("large", source);
  EXPECT_EQ(world.post("/v1/runs/" + run + "/cancel", Value(Value::Map{})).status, 200);
  const Answer told = stream(world, "/v1/runs/" + run + "/events");
  const auto events = events_of(told.text);
  ASSERT_GE(events.size(), 3u);
  std::size_t tasks = 0;
  for (std::size_t i = 0; i + 1 < events.size(); ++i) {
    EXPECT_EQ(events[i].event, i == 0 ? "snapshot" : "tasks");
    const Value piece = must(parse_json(events[i].data));
    tasks += piece.find("tasks")->as_list().size();
    EXPECT_EQ(piece.bool_or("more", false), i + 2 < events.size());
    EXPECT_EQ(events[i].id.empty(), i + 2 < events.size());
  }
  EXPECT_EQ(tasks, static_cast<std::size_t>(kTasks));
  EXPECT_EQ(events.back().event, "end");
}

TEST(ApiStreams, NamesOfNewInstancesAreKnown) {
  World world;
  const std::string run = world.start_run("fan",
                                          "name: fan\ntasks:\n  - id: list\n    run: echo\n  - id: each\n    "
                                          "dependencies: [list]\n    for_each: ${{ "
                                          "tasks.list.output.items }}\n    run: echo ${{ item }}\n");
  Answer told;
  std::thread follower([&] { told = stream(world, "/v1/runs/" + run + "/events"); });
  while (world.engine().events().subscribers() == 0) std::this_thread::yield();
  TestAgent agent(world);
  Value::List items{Value("x"), Value("y"), Value("z")};
  EXPECT_EQ(agent.report(agent.take(), "succeeded", Value(Value::Map{{"items", Value(items)}})), "accepted");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(agent.report(agent.take(), "succeeded"), "accepted");
  follower.join();
  for (const char* name : {"each.0", "each.1", "each.2"}) {
    EXPECT_NE(told.text.find("{\"task\":\"" + std::string(name) + "\",\"state\":\"succeeded\""),
              std::string::npos)
        << name;
  }
}

TEST(ApiStreams, LogsAreAppendedReadAndFollowed) {
  World world;
  const std::string run = world.start_run("two", kTwo);
  TestAgent agent(world);
  const Value item = agent.take();
  const std::string fence = std::to_string(item.int_or("fence", 0));
  const std::string log = "/v1/runs/" + run + "/tasks/a/attempts/1/logs";
  const auto append = [&](std::size_t offset, const std::string& bytes, const std::string& with_fence) {
    return world.call(Method::kPost, log + "?fence=" + with_fence + "&offset=" + std::to_string(offset),
                      bytes, {{"Content-Type", "application/octet-stream"}});
  };
  Answer told;
  std::thread follower([&] { told = stream(world, log); });
  EXPECT_EQ(append(0, "one\ntw", fence).body.int_or("size", 0), 6);
  EXPECT_EQ(append(0, "one\ntw", fence).body.int_or("size", 0), 6);  // once more: nothing happens
  EXPECT_EQ(append(6, "o\n\xc3\xa4", fence).body.int_or("size", 0), 10);
  EXPECT_EQ(append(10, "x", "999999").code, "LEASE_STALE");
  EXPECT_EQ(append(100, "x", fence).code, "LOG_GAP");
  {
    http::testing::RawClient raw(world.port());
    ASSERT_TRUE(
        raw.send(http::testing::raw_request("POST", log + "?fence=" + fence + "&offset=100", "", "x")));
    const auto answer = raw.receive();
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status, 409);
    EXPECT_EQ(must(parse_json(answer->body)).int_or("size", 0), 10);
  }
  EXPECT_EQ(agent.report(item, "succeeded"), "accepted");
  follower.join();
  std::string text;
  const auto events = events_of(told.text);
  ASSERT_GE(events.size(), 2u) << told.text;
  for (std::size_t i = 0; i + 1 < events.size(); ++i) text += events[i].data;
  EXPECT_EQ(text, "one\ntwo\n\xc3\xa4");
  EXPECT_EQ(events.back().event, "end");
  EXPECT_EQ(events.back().id, "10");

  const Answer read = world.get(log + "?offset=4");
  EXPECT_EQ(read.text, "two\n\xc3\xa4");
  EXPECT_EQ(read.headers.find("ez-log-size"), "10");
  EXPECT_EQ(read.headers.find("ez-log-finished"), "true");
  EXPECT_EQ(world.get(log + "?limit=3").text, "one");
  EXPECT_EQ(stream(world, log, "10").status, 204);
  EXPECT_EQ(append(10, "late", fence).code, "LEASE_STALE");
  EXPECT_EQ(world.get("/v1/runs/" + run + "/tasks/a/attempts/2/logs").code, "ATTEMPT_NOT_FOUND");
}

TEST(ApiStreams, AFollowerOfALostAttemptIsLetGo) {
  World world;
  const std::string run = world.start_run("two", kTwo);
  TestAgent agent(world);
  (void)agent.take();
  Answer told;
  std::thread follower([&] { told = stream(world, "/v1/runs/" + run + "/tasks/a/attempts/1/logs"); });
  while (world.engine().events().subscribers() == 0) std::this_thread::yield();
  EXPECT_EQ(world.call(Method::kDelete, "/v1/agents/" + agent.id).status, 204);
  follower.join();
  EXPECT_EQ(events_of(told.text).back().event, "end");
  EXPECT_EQ(world.engine().events().subscribers(), 0u);
}

TEST(ApiStreams, StoppingAnswersWhoWaits) {
  World world;
  TestAgent agent(world);
  const std::string run = world.start_run("two", kTwo);
  (void)agent.take();
  Answer poll;
  Answer told;
  std::thread waiting([&] { poll = agent.work({}, 1, 60'000); });
  std::thread follower([&] { told = stream(world, "/v1/runs/" + run + "/events"); });
  while (world.engine().counters().waiting_demands == 0 || world.engine().events().subscribers() == 0) {
    std::this_thread::yield();
  }
  world.stop();
  waiting.join();
  follower.join();
  EXPECT_EQ(poll.code, "SHUTTING_DOWN") << poll.text;
  EXPECT_NE(told.text.find("event: snapshot"), std::string::npos) << told.text;
}

}  // namespace
}  // namespace ez::http::api
