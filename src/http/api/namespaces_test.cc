// Namespaces over the API: settings, lists, permissions.
#include "http/api/testing.h"

namespace ez::http::api {
namespace {

constexpr const char* kOne = "name: one\nnamespace: other\ntasks:\n  - id: a\n    run: echo\n";

Value settings(std::int64_t weight) { return Value(Value::Map{{"weight", Value(weight)}}); }

TEST(ApiNamespaces, SettingsAreKeptAndListed) {
  World world;
  EXPECT_EQ(world.post("/v1/workflows", Value(Value::Map{{"source", Value(kOne)}})).status, 201);
  EXPECT_EQ(world.post("/v1/namespaces/team", settings(3)).body.int_or("weight", 0), 3);
  const Answer limited =
      world.post("/v1/namespaces/team", Value(Value::Map{{"max_running", Value(std::int64_t{7})}}));
  EXPECT_EQ(limited.body.int_or("weight", 0), 3);
  EXPECT_EQ(limited.body.int_or("max_running", 0), 7);
  const Answer first = world.get("/v1/namespaces?limit=1");
  ASSERT_EQ(first.status, 200) << first.text;
  EXPECT_EQ(first.body.find("items")->as_list().at(0).string_or("name", ""), "other");
  const Answer second = world.get("/v1/namespaces?limit=1&cursor=" + first.text_of("next_cursor"));
  EXPECT_EQ(second.body.find("items")->as_list().at(0).string_or("name", ""), "team");
  EXPECT_TRUE(second.body.find("next_cursor")->is_null());
}

TEST(ApiNamespaces, OnlyWhoMayEverywhereSetsShares) {
  World world;
  EXPECT_EQ(world.post("/v1/namespaces/other?namespace=other", settings(9), "elsewhere").code,
            "PERMISSION_DENIED");
  EXPECT_EQ(world.post("/v1/namespaces/other", settings(9), "maintainer").code, "PERMISSION_DENIED");
  EXPECT_EQ(world.post("/v1/namespaces/other", settings(9)).status, 200);
  EXPECT_EQ(world.post("/v1/namespaces/team", settings(2)).status, 200);
  // Who may read one namespace sees that one.
  EXPECT_EQ(world.get("/v1/namespaces/team?namespace=other", "elsewhere").code, "PERMISSION_DENIED");
  const Answer seen = world.get("/v1/namespaces?namespace=other", "elsewhere");
  ASSERT_EQ(seen.body.find("items")->as_list().size(), 1U) << seen.text;
}

TEST(ApiNamespaces, AWorkflowIsRegisteredWhereTheRequestSays) {
  World world;
  const Answer moved = world.post(
      "/v1/workflows", Value(Value::Map{{"source", Value(kOne)}, {"namespace", Value("elsewhere")}}));
  EXPECT_EQ(moved.text_of("namespace"), "elsewhere");
  EXPECT_EQ(world.get("/v1/workflows/one?namespace=elsewhere").status, 200);
  EXPECT_EQ(world.get("/v1/workflows/one?namespace=other").code, "WORKFLOW_NOT_FOUND");
  EXPECT_EQ(
      world.post("/v1/workflows", Value(Value::Map{{"source", Value(kOne)}, {"namespace", Value("No Name")}}))
          .code,
      "REQUEST_INVALID");
}

}  // namespace
}  // namespace ez::http::api
