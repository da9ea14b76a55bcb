// The built-in coding agent through everything but a real model: its loop, tools, sandbox, workspace and
// HTTP.
#include <thread>

#include "app/llm_test_world.h"

namespace ez::app {
namespace {

using agents::Outcome;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class LlmAgentTest : public LlmWorld {};

TEST_F(LlmAgentTest, WorksOnARepositoryAndKeepsItsTranscript) {
  WorkItem work = item();
  work.inputs = Value::Map{{"name", "ez"}};
  work.verify = "test \"$(sed -n 2p src/a.txt)\" = two && test -x tool.sh";
  agents::Dependency earlier;
  earlier.state = "succeeded";
  earlier.output = Value::Map{{"plan", "change line 2"}};
  work.dependencies["plan"] = earlier;
  ScriptedModel model({
      script::reply({script::text("I look first."), script::call("1", "list_files", Value::Map{}),
                     script::call("2", "read_file", Value::Map{{"path", "src/a.txt"}})}),
      call("edit_file", {{"path", "src/a.txt"}, {"old_text", "2\n"}, {"new_text", "two\n"}}),
      call("write_file", {{"path", "tool.sh"}, {"content", "echo made\n"}}),
      shell("chmod +x tool.sh && ./tool.sh | tee $EZ_ARTIFACTS/said.txt; false; echo status $?"),
      finish("line 2 is two"),
  });
  const TaskResult done = run(work, model);
  ASSERT_EQ(done.outcome, Outcome::kSucceeded) << done.error_code << " " << done.error_message << "\n"
                                               << log_.text();
  EXPECT_EQ(git("show " + done.commit + ":src/a.txt"), "1\ntwo\n3\n4\n5");
  EXPECT_EQ(done.changed_files, 2);
  EXPECT_EQ(to_json(done.output), R"({"summary":"line 2 is two"})");
  EXPECT_EQ(done.cost_microusd, 0);  // the gateway's to say

  const std::vector<Value> requests = model.requests();
  ASSERT_EQ(requests.size(), 5U);
  EXPECT_THAT(model.heads()[0],
              AllOf(HasSubstr("POST /gateway/v1/messages HTTP/1.1"), HasSubstr("x-api-key: ezv-1234-secret"),
                    HasSubstr("anthropic-version: ")));
  const std::string first = to_json(requests[0]);
  EXPECT_THAT(first, AllOf(HasSubstr("Do what is needed."), HasSubstr("change line 2"), HasSubstr("tool.sh"),
                           HasSubstr(R"("model":"m1")")));
  EXPECT_THAT(last_results(requests[1]), AllOf(HasSubstr("src/a.txt"), HasSubstr("     2\\t2")));
  EXPECT_THAT(last_results(requests[4]),
              AllOf(HasSubstr("made"), HasSubstr("status 1"), HasSubstr("exit status 0")));
  EXPECT_THAT(log_.text(), AllOf(HasSubstr("I look first.\n"), HasSubstr("[ez] > edit_file"),
                                 HasSubstr("made\n"), HasSubstr("[ez] done after 5 turns: line 2 is two")));
  ASSERT_EQ(done.artifacts.size(), 2U);
  const std::string lines = transcript(done);
  EXPECT_THAT(lines, AllOf(HasSubstr(R"("type":"start")"), HasSubstr(R"("type":"reply")"),
                           HasSubstr(R"("type":"tool")"), HasSubstr(R"("turns":5)")));
  std::istringstream each(lines);
  for (std::string line; std::getline(each, line);) EXPECT_TRUE(parse_json(line).ok()) << line;
}

TEST_F(LlmAgentTest, AFailedCheckGoesBackToTheModel) {
  WorkItem work = item();
  work.verify = "echo looking for good.txt; test -f good.txt";
  ScriptedModel model(
      {finish(), call("write_file", {{"path", "good.txt"}, {"content", "x"}}), finish("mended")});
  const TaskResult done = run(work, model);
  ASSERT_EQ(done.outcome, Outcome::kSucceeded) << done.error_message;
  EXPECT_EQ(to_json(done.output), R"({"summary":"mended"})");
  EXPECT_THAT(last_results(model.requests()[1]),
              AllOf(HasSubstr("The task's check has failed"), HasSubstr("looking for good.txt")));
}

TEST_F(LlmAgentTest, ACheckThatStaysRedIsTheFailure) {
  types_ = types("checks: 2");
  WorkItem work = item();
  work.verify = "exit 3";
  ScriptedModel model({call("write_file", {{"path", "half.txt"}, {"content", "x"}}), finish()});
  const TaskResult done = run(work, model);
  EXPECT_EQ(done.outcome, Outcome::kFailed);
  EXPECT_EQ(done.error_code, "VERIFY_FAILED");
  EXPECT_EQ(done.exit_code, 3);
  EXPECT_EQ(model.requests().size(), 4U);
  EXPECT_EQ(git("show " + done.commit + ":half.txt"), "x");
  EXPECT_THAT(transcript(done), HasSubstr("check_failed"));  // kept although it failed
}

TEST_F(LlmAgentTest, StructuredOutput) {
  WorkItem work = item("none");
  work.output_schema =
      *parse_json(R"({"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}})");
  const auto give = [](Value n) {
    return call("finish", {{"summary", "s"}, {"output", Value::Map{{"n", std::move(n)}}}});
  };
  const TaskResult done = run(work, {give("x"), give(7)});
  ASSERT_EQ(done.outcome, Outcome::kSucceeded) << done.error_message;
  EXPECT_EQ(to_json(done.output), R"({"n":7})");
  EXPECT_EQ(run(work, {give("x")}).error_code, "OUTPUT_INVALID");
  work.output_schema = *parse_json(R"({"type":"nonsense"})");
  EXPECT_EQ(run(work, {give(7)}).error_code, "INPUT_INVALID");
}

TEST_F(LlmAgentTest, ACommandsOutputFileStaysTheOutput) {
  const TaskResult done = run(item("none"), {shell("echo '{\"x\":1}' > $EZ_OUTPUT"), finish()});
  EXPECT_EQ(to_json(done.output), R"({"x":1})");
}

TEST_F(LlmAgentTest, ErrorsOfTheGatewayHaveCodes) {
  struct Case {
    int status;
    const char* type;
    const char* code;
    bool is_final;
  };
  for (const Case& each : {Case{401, "authentication_error", "MODEL_KEY_REFUSED", true},
                           Case{402, "billing_error", "BUDGET_EXCEEDED", false},
                           Case{404, "not_found_error", "MODEL_UNKNOWN", true},
                           Case{429, "rate_limit_error", "MODEL_RATE_LIMITED", false},
                           Case{400, "invalid_request_error", "MODEL_REQUEST_REFUSED", true},
                           Case{529, "overloaded_error", "MODEL_UNAVAILABLE", false}}) {
    ScriptedModel model({script::error(each.status, each.type, "no")});
    const TaskResult done = run(item("none"), model);
    EXPECT_EQ(done.error_code, each.code);
    EXPECT_EQ(done.final, each.is_final) << each.code;
    EXPECT_LE(model.requests().size(), 2U);  // the second model, nothing is repeated
  }
  WorkItem nowhere = item("none");
  nowhere.model_gateway.url = "";
  agents::LlmRunner runner({sandbox_, workspaces_, artifacts_}, *web_, types_);
  EXPECT_EQ(runner.run(nowhere, log_, cancel_).error_code, "GATEWAY_MISSING");
  nowhere.model_gateway.url = "http://127.0.0.1:1";
  EXPECT_EQ(runner.run(nowhere, log_, cancel_).error_code, "MODEL_UNAVAILABLE");
  nowhere.agent_type = "nobody";
  EXPECT_EQ(runner.run(nowhere, log_, cancel_).error_code, "AGENT_TYPE_UNKNOWN");
}

TEST_F(LlmAgentTest, TheSecondModelTakesOver) {
  ScriptedModel model([](const Value& request, std::size_t) {
    if (request.string_or("model", "") == "m1")
      return ScriptedModel::Answer{script::error(529, "overloaded_error", "Overloaded"), false};
    return ScriptedModel::Answer{finish("by m2"), false};
  });
  const TaskResult done = run(item("none"), model);
  EXPECT_EQ(done.outcome, Outcome::kSucceeded);
  EXPECT_THAT(log_.text(), HasSubstr("going on with m2"));
  WorkItem wish = item("none");
  wish.agent_model = "m9";
  ScriptedModel other({finish()});
  EXPECT_EQ(run(wish, other).outcome, Outcome::kSucceeded);
  EXPECT_EQ(other.requests()[0].string_or("model", ""), "m9");
}

TEST_F(LlmAgentTest, ABrokenStreamIsAskedAgainAFewTimes) {
  const std::string whole = finish("after all");
  ScriptedModel model([&](const Value&, std::size_t number) {
    return ScriptedModel::Answer{number == 0 ? whole.substr(0, whole.size() / 2) : whole, false};
  });
  EXPECT_EQ(run(item("none"), model).outcome, Outcome::kSucceeded);
  ScriptedModel cut({whole.substr(0, whole.size() / 2)});
  const TaskResult done = run(item("none"), cut);
  EXPECT_EQ(done.error_code, "MODEL_STREAM_BROKEN");
  EXPECT_EQ(cut.requests().size(), 3U);
}

TEST_F(LlmAgentTest, CancelEndsItWhileTheModelSpeaks) {
  const std::string whole = script::reply({script::text("thinking about it")});
  ScriptedModel model([&](const Value&, std::size_t) {
    return ScriptedModel::Answer{whole.substr(0, whole.size() - 200), true};
  });
  std::thread canceller([this] {
    while (log_.text().find("thinking") == std::string::npos) std::this_thread::yield();
    cancel_.cancel();
  });
  const TaskResult done = run(item(), model);
  canceller.join();
  EXPECT_EQ(done.outcome, Outcome::kCancelled);
  EXPECT_EQ(done.error_code, "TASK_CANCELLED");
}

TEST_F(LlmAgentTest, CancelEndsItWhileACommandRunsAndKeepsTheWork) {
  ScriptedModel model({shell("echo some > some.txt; echo ready; exec sleep 600")});
  std::thread canceller([this] {
    while (log_.text().find("ready") == std::string::npos) std::this_thread::yield();
    cancel_.cancel();
  });
  const TaskResult done = run(item(), model);
  canceller.join();
  EXPECT_EQ(done.outcome, Outcome::kCancelled);
  EXPECT_EQ(git("show " + done.branch + ":some.txt"), "some");
}

TEST_F(LlmAgentTest, TheTimeOfTheAttemptEndsASilentModel) {
  ScriptedModel model([](const Value&, std::size_t) { return ScriptedModel::Answer{"", true}; });
  WorkItem work = item("none");
  work.start_to_close_ms = 1'500;
  const TaskResult done = run(work, model);
  EXPECT_EQ(done.error_code, "COMMAND_TIMEOUT");
  EXPECT_THAT(done.error_message, HasSubstr("start_to_close"));
  EXPECT_LT(done.duration_ms, 20'000);
}

TEST_F(LlmAgentTest, LimitsOfTheTypeAndOfTheTask) {
  types_ = types("max_turns: 3");
  ScriptedModel model([](const Value&, std::size_t number) {
    return ScriptedModel::Answer{shell("echo " + std::to_string(number)), false};
  });
  EXPECT_EQ(run(item("none"), model).error_code, "AGENT_TURN_LIMIT");
  WorkItem poor = item("none");
  poor.max_turns = 100;
  poor.max_tokens = 250;
  EXPECT_EQ(run(poor, model).error_code, "AGENT_TOKEN_LIMIT");
}

TEST_F(LlmAgentTest, MergesAreNotItsWork) {
  WorkItem merge = item();
  merge.kind = agents::WorkKind::kMerge;
  merge.merge = {"ez/r1.tasks/t.1", std::string(40, 'a'), "ez/r1", "Merge t", ""};
  const TaskResult refused = run(merge, std::vector<std::string>{finish()});
  EXPECT_EQ(refused.error_code, "REQUEST_INVALID") << refused.error_message;
  EXPECT_TRUE(refused.final);
}

}  // namespace
}  // namespace ez::app
