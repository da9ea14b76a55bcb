// Command-line agents through everything but a real one: scripts that print what such agents print, in the
// real sandbox and workspace, with a gateway behind the real door and the real HTTP client.
#include <chrono>
#include <thread>

#include "agents/cli/cli_runner.h"
#include "app/llm_test_world.h"

namespace ez::app {
namespace {

using agents::Outcome;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kFigures[] =
    R"({"calls":2,"failed_calls":0,"under_way":0,"input_tokens":90,"cache_read_tokens":10,)"
    R"("cache_write_tokens":0,)"
    R"("output_tokens":20,"cost_microusd":300})";
constexpr char kResult[] =
    R"({"type":"result","subtype":"success","result":"It is done.","total_cost_usd":0.5,)"
    R"("usage":{"input_tokens":100,"output_tokens":20}})";

class CliAgentTest : public LlmWorld {
 protected:
  // An agent that is this script, started as `tool {prompt_file} {model}`, with `more` as further keys of
  // `cli`.
  void agent(const std::string& script, const std::string& more = "events: claude-code",
             const std::string& limits = "checks: 1") {
    agents::spill(dir_ / "tools/bin/tool", "#!/bin/bash\n" + script + "\n");
    agents::user_shell(dir_.path(), "chmod +x tools/bin/tool");
    auto parsed = orchestration::parse_agent_types(
        "version: 1\ntypes:\n  tester:\n    runner: cli\n    models: [m1]\n    limits: {" + limits +
            "}\n    cli: {command: [tool, '{prompt_file}', '{model}'], env: {URL: '{gateway}', KEY: "
            "'{key}'}, " +
            more + "}\n",
        orchestration::builtin_agent_types());
    ASSERT_TRUE(parsed.types.has_value()) << parsed.diagnostics[0].to_string();
    types_ = std::move(*parsed.types);
  }
  static std::string says(const std::string& line) { return "echo '" + line + "'\n"; }
  static std::string done() { return says(kResult); }

  WorkItem work(const std::string& verify = "true", const std::string& mode = "write") const {
    WorkItem work = item(mode);
    work.verify = verify;
    return work;
  }
  TaskResult play(const WorkItem& work) {
    const ScriptedModel gateway({agents::script::head(200, "application/json") + kFigures});
    return play(work, gateway.url());
  }
  TaskResult play(WorkItem work, const std::string& url) {
    if (!url.empty()) work.model_gateway = {url, "ezl_1_2_secret"};
    auto parsed = agents::parse_work_item(*parse_json(to_json(to_value(work))));
    EXPECT_TRUE(parsed.ok()) << parsed.error().to_string();
    const agents::Sandbox sandbox({"", {dir_ / "tools"}});
    agents::CliRunner runner({sandbox, workspaces_, artifacts_}, *web_, types_);
    auto result =
        agents::parse_task_result(*parse_json(to_json(to_value(runner.run(*parsed, log_, cancel_)))));
    EXPECT_TRUE(result.ok()) << result.error().to_string();
    EXPECT_EQ(agents::user_shell(dir_.path(), "ls workspaces 2>/dev/null || true"), "");
    EXPECT_THAT(log_.text(), Not(HasSubstr("ezl_1_2_secret")));
    EXPECT_THAT(transcript(*result), Not(HasSubstr("ezl_1_2_secret")));
    return *result;
  }
};

TEST_F(CliAgentTest, WorksAndItsUsageIsCompared) {
  agents::user_shell(repository_, "echo kept > .tool.conf && git add -A && git commit -qm conf");
  agent(
      "mkdir .tool.cache; echo x > .tool.cache/a; ln -s /etc .tool.link; echo changed > .tool.conf\n"
      "cat $1 > $EZ_ARTIFACTS/prompt.md; echo $2 > model.txt; echo made > made.txt\n"
      "cat; echo key $KEY >&2; echo \"{\\\"type\\\":\\\"x\\\",\\\"key\\\":\\\"$KEY\\\"}\"\n"
      "exec 3<>/dev/tcp/127.0.0.1/17878; printf 'GET / HTTP/1.1\\r\\n\\r\\n' >&3; grep -c calls <&3 > "
      "asked.txt\n"
      "ls $HOME/.tool; cat $HOME/.tool/config >> $EZ_ARTIFACTS/config\n" +
          done(),
      "events: claude-code, leaves: ['.tool*'], files: {.tool/config: 'url={gateway} model={model}'}");
  WorkItem task = work("grep -q made made.txt && test \"$(cat asked.txt)\" = 1");
  task.inputs = Value::Map{{"name", "ez"}};
  const TaskResult result = play(task);
  ASSERT_EQ(result.outcome, Outcome::kSucceeded)
      << result.error_code << " " << result.error_message << log_.text();
  EXPECT_EQ(git("show " + result.commit + ":model.txt"), "m1");
  EXPECT_EQ(git("show " + result.commit + ":.tool.conf"), "changed");  // was there before: the repository's
  EXPECT_EQ(git("ls-tree --name-only " + result.commit + " | grep '^.tool'"), ".tool.conf");
  EXPECT_EQ(to_json(result.output), R"({"summary":"It is done."})");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.cost_microusd, 500'000);  // a claim, which the server counts when it metered nothing
  EXPECT_THAT(log_.text(),
              AllOf(HasSubstr("usage: the gateway counted 100 tokens in, 20 out, $0.000300 in 2 calls; "
                              "the agent counted 100 tokens in, 20 out, $0.500000: the same"),
                    HasSubstr("key [key]")));
  EXPECT_THAT(transcript(result), AllOf(HasSubstr(R"("differs":false)"), HasSubstr(R"("type":"stderr")"),
                                        HasSubstr(R"("key":"[key]")")));
  for (const agents::ArtifactRef& artifact : result.artifacts) {
    const std::string text = artifacts_.get(artifact.sha256);
    if (artifact.name == "prompt.md") {
      EXPECT_THAT(text, AllOf(HasSubstr("Do what is needed."), HasSubstr(R"({"name":"ez"})"),
                              HasSubstr("Do not commit"), Not(HasSubstr("call finish"))));
    }
    if (artifact.name == "config") {
      EXPECT_EQ(text, "url=http://127.0.0.1:17878 model=m1");
    }
  }
}

TEST_F(CliAgentTest, AFailedCheckGoesBackToIt) {
  agent("if grep -q 'check has failed' $1; then echo right > made.txt; else echo wrong > made.txt; fi\n" +
        done());
  const TaskResult result = play(work("cat made.txt; grep -q right made.txt"));
  ASSERT_EQ(result.outcome, Outcome::kSucceeded) << result.error_message << log_.text();
  EXPECT_THAT(log_.text(), HasSubstr("the agent counted 200 tokens in, 40 out, $1.000000: they differ"));
  agent("echo wrong > made.txt\n" + done());
  const TaskResult bad = play(work("grep -q right made.txt"));
  EXPECT_EQ(bad.error_code, "VERIFY_FAILED");
  EXPECT_FALSE(bad.commit.empty());  // what it left is kept
}

TEST_F(CliAgentTest, ItsWordIsNotTakenForIt) {
  agent("echo made > made.txt\n" + done());
  const TaskResult result = play(work(""));
  EXPECT_EQ(result.error_code, "VERIFY_MISSING");
  EXPECT_TRUE(result.final);
  EXPECT_TRUE(result.commit.empty());  // it was not even started
  // One that only looks needs no check; its answer is marked.
  const TaskResult looked = play(work("", "read"));
  ASSERT_EQ(looked.outcome, Outcome::kSucceeded) << looked.error_message;
  EXPECT_EQ(to_json(looked.output), R"({"summary":"It is done.","verified":false})");
  // A result and a bad exit status: the check decides; without one it is a failure.
  agent(done() + "exit 3");
  EXPECT_EQ(play(work("true")).outcome, Outcome::kSucceeded);
  EXPECT_EQ(play(work("", "read")).error_code, "COMMAND_FAILED");
}

TEST_F(CliAgentTest, OneThatHangsAfterItsResultIsFinished) {
  agent("trap '' TERM\necho made > made.txt\n" + done() + "sleep 1000 & sleep 1000",
        "events: claude-code, linger: 300ms");
  const auto began = std::chrono::steady_clock::now();
  const TaskResult result = play(work("test -f made.txt"));
  ASSERT_EQ(result.outcome, Outcome::kSucceeded) << result.error_code << log_.text();
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(60));
  EXPECT_FALSE(result.commit.empty());
  EXPECT_THAT(log_.text(), HasSubstr("was stopped; its work counts"));
}

TEST_F(CliAgentTest, OneThatSaysNothingIsStopped) {
  agent("echo made > made.txt; echo working; sleep 1000", "events: claude-code, silence: 5s");
  const TaskResult result = play(work());
  EXPECT_EQ(result.error_code, "AGENT_SILENT");
  EXPECT_FALSE(result.final);
  EXPECT_FALSE(result.commit.empty());
}

TEST_F(CliAgentTest, BadEndsHaveTheirCodes) {
  const auto code_of = [&](const std::string& script) {
    agent(script);
    return play(work()).error_code;
  };
  EXPECT_EQ(code_of("echo garbage; echo '{\"type\":'"), "AGENT_NO_RESULT");
  EXPECT_EQ(code_of("exit 0"), "AGENT_NO_RESULT");
  EXPECT_EQ(code_of("echo no luck >&2; exit 7"), "COMMAND_FAILED");
  EXPECT_THAT(log_.text(), HasSubstr("no luck"));
  EXPECT_EQ(code_of("kill -9 $$"), "COMMAND_FAILED");
  EXPECT_EQ(code_of(says(R"({"type":"result","subtype":"success","is_error":true,"result":"I gave up"})")),
            "AGENT_FAILED");
  EXPECT_EQ(code_of(says(R"({"type":"result","subtype":"error_max_turns","is_error":true})")),
            "AGENT_TURN_LIMIT");
  EXPECT_EQ(code_of(says(
                R"({"type":"result","is_error":true,"result":"API Error 402 BUDGET_EXCEEDED: no money"})")),
            "BUDGET_EXCEEDED");
  agent(says(R"({"type":"result","is_error":true,"result":"MODEL_NOT_ALLOWED: m1"})"));
  const TaskResult refused = play(work());
  EXPECT_EQ(refused.error_code, "MODEL_NOT_ALLOWED");
  EXPECT_TRUE(refused.final);
  // A line of 20 MB, then a result: the line is cut, the result counts.
  EXPECT_EQ(code_of("head -c 20000000 /dev/zero | tr '\\0' x; echo\n" + done()), "");
  WorkItem small = work();
  small.sandbox.output_mb = 1;
  agent("yes \"{\\\"type\\\":\\\"noise\\\",\\\"pad\\\":\\\"$(head -c 9999 /dev/zero | tr '\\0' x)\\\"}\"");
  EXPECT_EQ(play(small).error_code, "OUTPUT_LIMIT");
}

TEST_F(CliAgentTest, WhatCannotBeStarted) {
  agent("true");
  agents::user_shell(dir_.path(), "rm tools/bin/tool");
  EXPECT_EQ(play(work()).error_code, "AGENT_PROGRAM_MISSING");
  // A link that leads where sandboxes do not see.
  agents::user_shell(dir_.path(),
                     "echo > elsewhere; chmod +x elsewhere; ln -s ../../elsewhere tools/bin/tool");
  const TaskResult hidden = play(work());
  EXPECT_EQ(hidden.error_code, "AGENT_PROGRAM_MISSING");
  EXPECT_THAT(hidden.error_message, HasSubstr("/elsewhere, which tasks do not see (--show)"));
  agents::user_shell(dir_.path(), "rm tools/bin/tool");
  agent("true");
  const TaskResult no_gateway = play(work(), "");
  EXPECT_EQ(no_gateway.error_code, "GATEWAY_MISSING");
  EXPECT_TRUE(no_gateway.final);
  WorkItem unknown = work();
  unknown.agent_type = "claude";  // known, but no program
  EXPECT_EQ(play(unknown).error_code, "AGENT_TYPE_UNKNOWN");
}

TEST_F(CliAgentTest, CancelReachesAllOfIt) {
  agent("trap '' TERM; (trap '' TERM; sleep 1000) & echo working; sleep 1000");
  std::thread canceller([this] {
    while (log_.text().find("working") == std::string::npos) std::this_thread::yield();
    cancel_.cancel();
  });
  const TaskResult result = play(work());
  canceller.join();
  EXPECT_EQ(result.outcome, Outcome::kCancelled);
  EXPECT_EQ(result.error_code, "TASK_CANCELLED");
}

TEST_F(CliAgentTest, AnOutputThatFitsTheSchema) {
  WorkItem task = work("true");
  task.output_schema =
      *parse_json(R"({"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}})");
  agent("grep -q '\"n\":{\"type\":\"integer\"}' $1 && echo '{\"n\": 4}' > /ez/out/output.json\n" + done());
  const TaskResult good = play(task);
  ASSERT_EQ(good.outcome, Outcome::kSucceeded) << good.error_message;
  EXPECT_EQ(to_json(good.output), R"({"n":4})");
  agent("echo '{\"n\": \"x\"}' > /ez/out/output.json\n" + done());
  EXPECT_EQ(play(task).error_code, "OUTPUT_INVALID");
  agent(done());
  EXPECT_EQ(play(task).error_code, "OUTPUT_INVALID");
}

TEST_F(CliAgentTest, AProgramThatPrintsText) {
  agent("echo made > made.txt; echo I made it.", "events: text");
  const TaskResult result = play(work());
  ASSERT_EQ(result.outcome, Outcome::kSucceeded) << result.error_message;
  EXPECT_EQ(to_json(result.output), R"({"summary":"I made it."})");
  EXPECT_EQ(result.cost_microusd, 0);
  EXPECT_THAT(log_.text(), HasSubstr("the agent named none"));
}

}  // namespace
}  // namespace ez::app
