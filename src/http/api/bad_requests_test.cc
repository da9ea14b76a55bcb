// tests/bad_inputs/requests.json: what wrong requests are answered with. Every one must leave the server as
// it was.
#include <sstream>

#include "http/api/testing.h"
#include "http/testing.h"

namespace ez::http::api {
namespace {

// Everything that a client can see.
std::string state_of(World& world) {
  return world.get("/v1/runs").text + world.get("/v1/runs/r1").text + world.get("/v1/agents").text +
         world.get("/v1/workflows").text;
}

TEST(ApiBadRequests, EachIsAnsweredAsTheTableSays) {
  std::ifstream file("tests/bad_inputs/requests.json");
  ASSERT_TRUE(file.good()) << "run from the top of the source tree";
  std::stringstream text;
  text << file.rdbuf();
  const Value table = must(parse_json(text.str()));
  ASSERT_GE(table.as_list().size(), 60u);

  World world;
  ASSERT_EQ(world.start_run("one", "name: one\ntasks:\n  - id: a\n    run: echo\n"), "r1");
  TestAgent agent(world);
  ASSERT_EQ(agent.id, "a1");
  const std::string before = state_of(world);
  for (const Value& row : table.as_list()) {
    SCOPED_TRACE(to_json(row).substr(0, 300));
    std::string headers;
    if (const Value* more = row.find("headers")) {
      for (const auto& [name, value] : more->as_map()) headers += name + ": " + value.as_string() + "\r\n";
    }
    http::testing::RawClient raw(world.port());
    raw.send(http::testing::raw_request(row.string_or("method", ""), row.string_or("path", ""), headers,
                                        row.string_or("body", "")));
    const auto answer = raw.receive();
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status, row.int_or("status", 0)) << answer->body;
    EXPECT_EQ(answer->header("content-type"), "application/problem+json");
    const auto problem = parse_json(answer->body);
    ASSERT_TRUE(problem.ok()) << answer->body;
    EXPECT_EQ(problem->string_or("code", ""), row.string_or("code", "")) << answer->body;
    EXPECT_EQ(problem->int_or("status", 0), answer->status);
    EXPECT_FALSE(problem->string_or("detail", "").empty());
    EXPECT_FALSE(problem->string_or("hint", "").empty());
  }
  EXPECT_EQ(state_of(world), before) << "a refused request changed something";
  EXPECT_EQ(agent.take().string_or("task", ""), "a");
}

}  // namespace
}  // namespace ez::http::api
