#include "base/json_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace ez {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> check(const std::string& schema, const std::string& value) {
  auto compiled = JsonSchema::compile(*parse_json(schema));
  EXPECT_TRUE(compiled.ok()) << compiled.error().to_string();
  return compiled->check(*parse_json(value));
}

std::string refusal(const std::string& schema) {
  const auto compiled = JsonSchema::compile(*parse_json(schema));
  return compiled.ok() ? "" : compiled.error().message();
}

TEST(JsonSchema, SaysWhereAValueDoesNotFit) {
  const std::string schema = R"({"type":"object","required":["name","tags"],"additionalProperties":false,
    "properties":{"name":{"type":"string","minLength":2,"pattern":"^[a-z]+$"},
                  "tags":{"type":"array","items":{"enum":["a","b"]},"maxItems":2,"uniqueItems":true},
                  "size":{"type":"integer","minimum":1,"exclusiveMaximum":10}}})";
  EXPECT_THAT(check(schema, R"({"name":"ok","tags":["a","b"],"size":9})"), IsEmpty());
  EXPECT_THAT(check(schema, R"({"name":"ok","tags":[],"size":2.0})"), IsEmpty());
  EXPECT_THAT(check(schema, R"([])"), ElementsAre("/: must be of type object"));
  EXPECT_THAT(check(schema, R"({"name":"X","tags":["a","c","a"],"size":10,"more":1})"),
              ElementsAre("/more: this member is not known", "/name: has fewer than 2 characters",
                          "/size: must be less than 10", "/tags: has more than 2 items",
                          R"(/tags/1: must be one of ["a","b"])", "/tags: has the same item twice"));
  EXPECT_THAT(check(schema, R"({})"),
              ElementsAre(R"(/: lacks the member "name")", R"(/: lacks the member "tags")"));
}

TEST(JsonSchema, CombinesSchemas) {
  EXPECT_THAT(check(R"({"anyOf":[{"type":"string"},{"type":"null"}]})", "null"), IsEmpty());
  EXPECT_THAT(check(R"({"anyOf":[{"type":"string"},{"type":"null"}]})", "1"),
              ElementsAre("/: fits none of the alternatives"));
  EXPECT_THAT(check(R"({"oneOf":[{"minimum":1},{"minimum":2}]})", "3"),
              ElementsAre("/: fits more than one alternative"));
  EXPECT_THAT(check(R"({"not":{"const":1}})", "1.0"), ElementsAre("/: fits what is excluded"));
  EXPECT_THAT(check(R"({"if":{"type":"string"},"then":{"minLength":1},"else":{"minimum":5}})", "4"),
              ElementsAre("/: must be at least 5"));
  EXPECT_THAT(check(R"({"allOf":[{"multipleOf":0.1},{"maximum":1}]})", "0.3"), IsEmpty());
  EXPECT_THAT(check(R"({"prefixItems":[{"type":"string"}],"items":false})", R"(["a",1])"),
              ElementsAre("/1: is not allowed"));
  EXPECT_THAT(check(R"({"contains":{"const":1},"maxContains":1})", "[1,1]"),
              ElementsAre("/: has too many of such items"));
  EXPECT_THAT(check(R"({"patternProperties":{"^x-":{"type":"integer"}},"additionalProperties":false})",
                    R"({"x-a":"1"})"),
              ElementsAre("/x-a: must be of type integer"));
}

TEST(JsonSchema, FollowsReferencesOfItsOwnDocument) {
  const std::string tree = R"({"$ref":"#/$defs/node","$defs":{"node":{"type":"object","required":["v"],
      "properties":{"v":{"type":"integer"},"next":{"$ref":"#/$defs/node"}}}}})";
  EXPECT_THAT(check(tree, R"({"v":1,"next":{"v":2,"next":{"v":"3"}}})"),
              ElementsAre("/next/next/v: must be of type integer"));
  EXPECT_THAT(check(R"({"$ref":"#/$defs/a~1b","$defs":{"a/b":{"const":1}}})", "2"),
              ElementsAre("/: must be 1"));
  // A reference that leads in a circle without looking at anything ends too.
  EXPECT_THAT(check(R"({"$ref":"#"})", "1"), ElementsAre("/: is too deep or too large to be checked"));
}

TEST(JsonSchema, RefusesWhatItWouldNotCheck) {
  EXPECT_THAT(refusal(R"({"properties":{"a":{"unevaluatedItems":false}}})"),
              HasSubstr("/properties/a/unevaluatedItems: this keyword is not supported"));
  EXPECT_THAT(refusal(R"({"type":"text"})"), HasSubstr("/type: must be"));
  EXPECT_THAT(refusal(R"({"pattern":"("})"), HasSubstr("/pattern: must be a regular expression"));
  EXPECT_THAT(refusal(R"({"$ref":"http://example.org/x"})"), HasSubstr("/$ref: must name a schema"));
  EXPECT_THAT(refusal(R"({"minItems":-1})"), HasSubstr("/minItems: must be a count"));
  EXPECT_THAT(refusal(R"({"multipleOf":0})"), HasSubstr("/multipleOf: must be positive"));
  // Also where only a reference makes a schema of it.
  EXPECT_THAT(refusal(R"({"$ref":"#/default","default":{"type":5}})"), HasSubstr("must be null"));
  EXPECT_THAT(refusal(R"([])"), HasSubstr("a schema is an object or a boolean"));
  std::string deep = "true";
  for (int i = 0; i < 50; ++i) deep = R"({"not":)" + deep + "}";
  EXPECT_EQ(refusal(deep), "");
}

TEST(JsonSchema, ManyAlternativesEnd) {
  const std::string doubling = R"({"$ref":"#/$defs/a0","$defs":{)" + [] {
    std::string defs;
    for (int i = 0; i < 30; ++i) {
      const std::string next = R"({"$ref":"#/$defs/a)" + std::to_string(i + 1) + R"("})";
      defs += R"("a)" + std::to_string(i) + R"(":{"anyOf":[)" + next + "," + next + "]},";
    }
    return defs + R"("a30":{"type":"string"}}})";
  }();
  EXPECT_FALSE(check(doubling, "1").empty());  // and soon
}

}  // namespace
}  // namespace ez
