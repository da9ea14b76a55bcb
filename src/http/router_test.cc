#include "http/router.h"

#include <gtest/gtest.h>

namespace ez::http {
namespace {

Route named(Method method, std::string pattern) {
  Route route;
  route.method = method;
  route.pattern = std::move(pattern);
  route.handler = [](Request&, Responder responder) { responder.empty(204); };
  return route;
}

class RouterTest : public ::testing::Test {
 protected:
  RouterTest() {
    router_.add(named(Method::kGet, "/v1/runs"));
    router_.add(named(Method::kPost, "/v1/runs"));
    router_.add(named(Method::kGet, "/v1/runs/{run}"));
    router_.add(named(Method::kGet, "/v1/runs/{run}/tasks/{task}"));
    router_.add(named(Method::kPost, "/v1/runs/{run}/cancel"));
    router_.add(named(Method::kPost, "/v1/workflows/validate"));
    router_.add(named(Method::kGet, "/v1/workflows/{name}"));
    router_.add(named(Method::kHead, "/v1/artifacts/{sha256}"));
    router_.add(named(Method::kGet, "/v1/artifacts/{sha256}"));
  }
  // "METHOD pattern name=value …", or the code of the refusal.
  std::string match(Method method, std::string_view path) {
    Router::Parameters parameters;
    auto match = router_.match(method, path, parameters);
    if (auto* missing = std::get_if<Router::Missing>(&match)) {
      return std::string(missing->error.name()) + (missing->allow.empty() ? "" : " " + missing->allow);
    }
    const auto found = std::get<Router::Found>(match);
    std::string out = std::string(method_name(found.route->method)) + " " + found.route->pattern;
    for (const auto& [name, value] : parameters) out += " " + std::string(name) + "=" + value;
    return out;
  }
  Router router_;
};

TEST_F(RouterTest, FindsByMethodAndPath) {
  EXPECT_EQ(match(Method::kGet, "/v1/runs"), "GET /v1/runs");
  EXPECT_EQ(match(Method::kPost, "/v1/runs"), "POST /v1/runs");
  EXPECT_EQ(match(Method::kGet, "/v1/runs/r7"), "GET /v1/runs/{run} run=r7");
  EXPECT_EQ(match(Method::kGet, "/v1/runs/r7/tasks/convert.0"),
            "GET /v1/runs/{run}/tasks/{task} run=r7 task=convert.0");
  EXPECT_EQ(match(Method::kGet, "/v1/runs/a%2Fb%20c"), "GET /v1/runs/{run} run=a/b c");
}

TEST_F(RouterTest, LiteralsWinAndNamesAreTheSecondTry) {
  EXPECT_EQ(match(Method::kPost, "/v1/workflows/validate"), "POST /v1/workflows/validate");
  EXPECT_EQ(match(Method::kGet, "/v1/workflows/other"), "GET /v1/workflows/{name} name=other");
}

TEST_F(RouterTest, HeadIsAnsweredByGetUnlessItHasItsOwn) {
  EXPECT_EQ(match(Method::kHead, "/v1/runs/r7"), "GET /v1/runs/{run} run=r7");
  EXPECT_EQ(match(Method::kHead, "/v1/artifacts/abc"), "HEAD /v1/artifacts/{sha256} sha256=abc");
}

TEST_F(RouterTest, SaysWhatIsMissing) {
  EXPECT_EQ(match(Method::kPut, "/v1/runs"), "METHOD_NOT_ALLOWED GET, HEAD, POST");
  EXPECT_EQ(match(Method::kOther, "/v1/runs/r7/cancel"), "METHOD_NOT_ALLOWED POST");
  for (const char* path : {"/", "", "/v1", "/v1/", "/v1/runs/", "//v1/runs", "/v1/runs/r7/", "/v1//runs",
                           "/v2/runs", "/V1/runs", "/v1/runs/r7/tasks", "/v1/runs/r7/tasks/t/x"}) {
    EXPECT_EQ(match(Method::kGet, path), "ENDPOINT_NOT_FOUND") << path;
  }
  EXPECT_EQ(match(Method::kGet, "/v1" + std::string(100'000, '/')), "ENDPOINT_NOT_FOUND");
}

TEST_F(RouterTest, BadEscapesAreRefused) {
  for (const char* path : {"/v1/runs/%", "/v1/runs/%zz", "/v1/runs/%00", "/v1/runs/%ff"}) {
    EXPECT_EQ(match(Method::kGet, path), "REQUEST_INVALID") << path;
  }
}

TEST_F(RouterTest, ListsItsRoutes) {
  ASSERT_EQ(router_.routes().size(), 9u);
  EXPECT_EQ(router_.routes()[3]->pattern, "/v1/runs/{run}/tasks/{task}");
}

TEST_F(RouterTest, MistakesOfOursAbort) {
  EXPECT_DEATH(router_.add(named(Method::kGet, "/v1/runs")), "two routes");
  EXPECT_DEATH(router_.add(named(Method::kGet, "/v1/runs/{other}")), "differently");
  EXPECT_DEATH(router_.add(named(Method::kGet, "/v1/{Bad}")), "malformed name");
}

}  // namespace
}  // namespace ez::http
