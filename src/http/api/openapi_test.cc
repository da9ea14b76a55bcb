// The document and the routes say the same.
#include <cstdlib>
#include <map>
#include <set>

#include "http/api/testing.h"

namespace ez::http::api {
namespace {

Value document() { return must(parse_json(openapi_text())); }

void each_reference(const Value& value, const std::function<void(const std::string&)>& visit) {
  if (value.is_list()) {
    for (const Value& item : value.as_list()) each_reference(item, visit);
  }
  if (!value.is_map()) return;
  for (const auto& [key, member] : value.as_map()) {
    if (key == "$ref") visit(member.as_string());
    each_reference(member, visit);
  }
}

const Value* resolve(const Value& document, std::string_view reference) {
  if (!reference.starts_with("#/")) return nullptr;
  const Value* at = &document;
  reference.remove_prefix(2);
  while (at != nullptr && !reference.empty()) {
    const std::size_t slash = std::min(reference.find('/'), reference.size());
    at = at->find(reference.substr(0, slash));
    reference.remove_prefix(std::min(slash + 1, reference.size()));
  }
  return at;
}

TEST(ApiOpenapi, PathsAndMethodsAreTheRoutes) {
  World world;
  std::map<std::string, std::string> routes;  // "GET /v1/runs" → permission
  for (const Route* route : world.router().routes()) {
    const std::string key = std::string(method_name(route->method)) + " " + route->pattern;
    routes[key] = route->permission ? std::string(security::permission_name(*route->permission)) : "";
    EXPECT_FALSE(route->summary.empty()) << key;
  }
  std::map<std::string, std::string> documented;
  const Value text = document();
  for (const auto& [path, methods] : text.find("paths")->as_map()) {
    for (const auto& [method, operation] : methods.as_map()) {
      std::string name = method;
      for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      documented[name + " " + path] = operation.string_or("x-permission", "");
    }
  }
  EXPECT_EQ(documented, routes);
  for (const Route* route : world.router().routes()) {
    std::string method(method_name(route->method));
    for (char& c : method) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const Value* operation = text.find("paths")->find(route->pattern)->find(method);
    EXPECT_EQ(operation->string_or("summary", ""), route->summary);
  }
}

TEST(ApiOpenapi, EveryOperationIsWhole) {
  const Value text = document();
  EXPECT_EQ(text.string_or("openapi", ""), "3.1.0");
  std::set<std::string> ids;
  for (const auto& [path, methods] : text.find("paths")->as_map()) {
    for (const auto& [method, operation] : methods.as_map()) {
      SCOPED_TRACE(method + " " + path);
      EXPECT_TRUE(ids.emplace(operation.string_or("operationId", "")).second) << "operationId is there twice";
      bool problem = false;
      for (const auto& [status, response] : operation.find("responses")->as_map()) {
        const Value* said = &response;
        if (const Value* reference = response.find("$ref")) said = resolve(text, reference->as_string());
        ASSERT_NE(said, nullptr) << status;
        EXPECT_FALSE(said->string_or("description", "").empty()) << status;
        const Value* content = said->find("content");
        problem = problem || (content != nullptr && content->find("application/problem+json") != nullptr);
      }
      EXPECT_TRUE(problem) << "no response is a problem document";
      // Every name in the path is a parameter, and the other way round.
      std::set<std::string> named;
      for (std::size_t at = path.find('{'); at != std::string::npos; at = path.find('{', at + 1)) {
        named.insert(path.substr(at + 1, path.find('}', at) - at - 1));
      }
      std::set<std::string> declared;
      if (const Value* parameters = operation.find("parameters")) {
        for (const Value& parameter : parameters->as_list()) {
          const Value* reference = parameter.find("$ref");
          const Value* one = reference == nullptr ? &parameter : resolve(text, reference->as_string());
          ASSERT_NE(one, nullptr);
          if (one->string_or("in", "") == "path") declared.emplace(one->string_or("name", ""));
        }
      }
      EXPECT_EQ(declared, named);
    }
  }
  each_reference(
      text, [&](const std::string& reference) { EXPECT_NE(resolve(text, reference), nullptr) << reference; });
}

TEST(ApiOpenapi, CodesAndPermissionsExist) {
  const Value text = document();
  for (const auto& [path, methods] : text.find("paths")->as_map()) {
    for (const auto& [method, operation] : methods.as_map()) {
      const Value* codes = operation.find("x-errors");
      if (codes == nullptr) continue;
      for (const Value& code : codes->as_list())
        EXPECT_NE(find_code(code.as_string()), nullptr) << code.as_string();
    }
  }
}

TEST(ApiOpenapi, PassesTheLint) {
  EXPECT_EQ(std::system("python3 tests/tidy/openapi_lint.py"), 0) << "run from the top of the source tree";
}

TEST(ApiOpenapi, IsServed) {
  World world;
  const Answer answer = world.get("/openapi.json");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.text, openapi_text());
}

}  // namespace
}  // namespace ez::http::api
