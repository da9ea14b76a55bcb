// What the tests of the llm agent share: a repository, the real sandbox and workspaces, the real HTTP client,
// and a scripted model behind it. Used by *_test.cc only.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "agents/llm/llm_runner.h"
#include "agents/llm/scripted_model.h"
#include "agents/test_ports.h"
#include "app/web_over_http.h"
#include "base/json.h"

namespace ez::app {

using agents::ScriptedModel;
using agents::TaskResult;
using agents::WorkItem;
namespace script = agents::script;

class LlmWorld : public ::testing::Test {
 protected:
  void SetUp() override { EZ_NEED_SANDBOX(); }

  static agents::WorkspaceManager::Options options(const agents::TempDir& dir) {
    agents::WorkspaceManager::Options options;
    options.root = dir / "workspaces";
    options.reserve_bytes = 1 << 20;
    options.max_idle = 0;
    return options;
  }
  static orchestration::AgentTypes types(const std::string& limits) {
    auto parsed = orchestration::parse_agent_types(
        "version: 1\ntypes:\n  tester: {runner: llm, models: [m1, m2], limits: {" + limits + "}}\n",
        orchestration::builtin_agent_types());
    EXPECT_TRUE(parsed.types.has_value());
    return std::move(*parsed.types);
  }

  WorkItem item(const std::string& mode = "write") const {
    WorkItem item;
    item.run = "r1";
    item.task = "t";
    item.attempt = 1;
    item.fence = Fence{7};
    item.agent_type = "tester";
    item.prompt = "Do what is needed.";
    item.start_to_close_ms = 120'000;
    item.workspace.mode = mode;
    item.workspace.repository = repository_;
    item.workspace.run_branch = "ez/r1";
    item.workspace.branch = "ez/r1/t.1";
    return item;
  }

  TaskResult run(WorkItem item, const ScriptedModel& model) {
    item.model_gateway = {model.url() + "/gateway", "ezv-1234-secret"};
    // Through JSON, as a real item comes and a real result goes.
    auto parsed = agents::parse_work_item(*parse_json(to_json(to_value(item))));
    EXPECT_TRUE(parsed.ok()) << parsed.error().to_string();
    agents::LlmRunner runner({sandbox_, workspaces_, artifacts_}, *web_, types_);
    auto result =
        agents::parse_task_result(*parse_json(to_json(to_value(runner.run(*parsed, log_, cancel_)))));
    EXPECT_TRUE(result.ok()) << result.error().to_string();
    EXPECT_EQ(agents::user_shell(dir_.path(), "ls workspaces 2>/dev/null || true"), "");
    EXPECT_EQ(log_.text().find("ezv-1234-secret"), std::string::npos);
    EXPECT_EQ(transcript(*result).find("ezv-1234-secret"), std::string::npos);
    return *result;
  }
  TaskResult run(const WorkItem& item, std::vector<std::string> answers) {
    return run(item, ScriptedModel(std::move(answers)));
  }

  [[nodiscard]] std::string transcript(const TaskResult& result) const {
    for (const agents::ArtifactRef& artifact : result.artifacts) {
      if (artifact.name == agents::kTranscriptName) return artifacts_.get(artifact.sha256);
    }
    return "";
  }
  [[nodiscard]] std::string git(const std::string& arguments) const {
    return agents::user_shell(repository_, "git " + arguments);
  }
  static std::string call(const std::string& name, Value::Map input) {
    return script::reply({script::call("c-" + name, name, Value(std::move(input)))});
  }
  static std::string shell(const std::string& command) { return call("run_command", {{"command", command}}); }
  static std::string finish(const std::string& summary = "done") {
    return call("finish", {{"summary", summary}});
  }

  agents::TempDir dir_;
  std::string repository_ = agents::make_repository(dir_);
  agents::Sandbox sandbox_;
  agents::WorkspaceManager workspaces_{options(dir_)};
  agents::FolderArtifacts artifacts_{dir_ / "blobs"};
  orchestration::AgentTypes types_ = types("max_turns: 40");
  std::unique_ptr<agents::WebPort> web_ = web_over_http("test", 8);
  agents::MemoryLog log_;
  agents::CancelToken cancel_;
};

// The text that the model got back for its last calls, in a request.
inline std::string last_results(const Value& request) {
  // A request that is larger than the JSON reader takes is kept as null.
  const Value* messages = request.find("messages");
  return messages == nullptr || messages->as_list().empty() ? "" : to_json(messages->as_list().back());
}

}  // namespace ez::app
