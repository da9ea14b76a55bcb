#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "base/json.h"
#include "orchestration/parse.h"

namespace ez::orchestration {
namespace {

Value schema() { return *parse_json(workflow_json_schema()); }

std::set<std::string> keys_of(const Value* map) {
  std::set<std::string> keys;
  if (map == nullptr) return keys;
  for (const auto& [key, value] : map->as_map()) keys.insert(key);
  return keys;
}

// The keys that the decoder names in the hint of an unknown one.
std::set<std::string> known_keys(const std::string& source) {
  const ParsedWorkflow parsed = parse_workflow(source);
  std::set<std::string> keys;
  for (const Diagnostic& d : parsed.diagnostics) {
    if (d.message.find("unknown key `zzzzzzzzzz`") == std::string::npos) continue;
    static constexpr std::string_view kMark = "has the keys ";
    std::istringstream list(d.hint.substr(d.hint.find(kMark) + kMark.size()));
    for (std::string key; list >> key;) keys.insert(key.substr(0, key.find_first_of(",.")));
  }
  return keys;
}

TEST(Schema, IsThePublishedFile) {
  std::ifstream file("docs/formats/workflow.schema.json", std::ios::binary);
  std::stringstream bytes;
  bytes << file.rdbuf();
  EXPECT_EQ(bytes.str(), workflow_json_schema());
}

TEST(Schema, HasTheKeysOfTheDecoder) {
  const Value root = schema();
  const Value* definitions = root.find("$defs");
  ASSERT_NE(definitions, nullptr);
  const std::string task = "name: x\ntasks:\n  - {id: a, run: x, ";
  EXPECT_EQ(keys_of(root.find("properties")),
            known_keys("name: x\nzzzzzzzzzz: 1\ntasks: [{id: a, run: x}]\n"));
  EXPECT_EQ(keys_of(definitions->find("task")->find("properties")), known_keys(task + "zzzzzzzzzz: 1}\n"));
  for (const std::string name : {"retry", "timeout", "sandbox", "agent"}) {
    const std::set<std::string> keys = keys_of(definitions->find(name)->find("properties"));
    EXPECT_GE(keys.size(), 2U) << name;
    EXPECT_EQ(keys, known_keys(task + name + ": {zzzzzzzzzz: 1}}\n")) << name;
  }
  EXPECT_EQ(keys_of(root.find("properties")->find("defaults")->find("properties")),
            known_keys("name: x\ndefaults: {zzzzzzzzzz: 1}\ntasks: [{id: a, run: x}]\n"));
  EXPECT_EQ(keys_of(root.find("properties")->find("budget")->find("properties")),
            known_keys("name: x\nbudget: {zzzzzzzzzz: 1}\ntasks: [{id: a, run: x}]\n"));
}

// The defaults that the schema announces are those of the definition.
TEST(Schema, AnnouncesTheDefaults) {
  const Value root = schema();
  const Value* definitions = root.find("$defs");
  const auto announced = [&](std::string_view map, std::string_view key) {
    return to_json(*definitions->find(map)->find("properties")->find(key)->find("default"));
  };
  const ParsedWorkflow plain = parse_workflow("name: x\ntasks: [{id: a, run: x}]\n");
  std::string source = "name: x\ntasks:\n  - id: a\n    run: x\n";
  for (const std::string map : {"retry", "timeout", "sandbox"}) {
    source += "    " + map + ":\n";
    for (const auto& [key, value] : definitions->find(map)->find("properties")->as_map()) {
      std::string text = announced(map, key);
      std::erase(text, '"');
      source += "      " + key + ": " + text + "\n";
    }
  }
  const ParsedWorkflow written = parse_workflow(source);
  ASSERT_TRUE(plain.ok() && written.ok()) << source;
  EXPECT_EQ(to_canonical(*plain.workflow), to_canonical(*written.workflow));
}

}  // namespace
}  // namespace ez::orchestration
