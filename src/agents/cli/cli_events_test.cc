#include "agents/cli/cli_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agents/cli/usage_check.h"
#include "agents/test_ports.h"
#include "base/json.h"

namespace ez::agents {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class CliEventsTest : public ::testing::Test {
 protected:
  // What the reader of that form makes of these lines, with the log and the transcript that it left.
  CliReport read(const std::string& form, const std::vector<std::string>& lines) {
    TempDir dir;
    MemoryLog port;
    auto spool = LogSpool::open(dir / "log", port);
    EXPECT_TRUE(spool.ok());
    CliReport report;
    {
      AttemptLog log(**spool, 1 << 20);
      Transcript transcript(dir / "transcript");
      const auto events = cli_events(form, log, transcript);
      for (const std::string& line : lines) events->line(line, false);
      events->end();
      report = events->report();
      unreadable_ = events->unreadable_lines();
    }
    EXPECT_TRUE((*spool)->finish(std::chrono::milliseconds(5'000)).ok());
    log_ = port.text();
    transcript_ = slurp(dir / "transcript");
    return report;
  }

  std::string log_;
  std::string transcript_;
  std::uint64_t unreadable_ = 0;
};

TEST_F(CliEventsTest, ClaudeCode) {
  const CliReport report = read(
      "claude-code",
      {R"({"type":"system","subtype":"init","session_id":"s1","model":"claude-x",)"
       R"("claude_code_version":"2.1"})",
       R"({"type":"assistant","message":{"content":[{"type":"text","text":"I look."},)"
       R"({"type":"tool_use","name":"Bash","input":{"command":"ls"}}]}})",
       R"({"type":"user","message":{"content":[{"type":"tool_result","is_error":true,)"
       R"("content":"no such file"}]}})",
       R"({"type":"brand_new_event","x":1})", "",
       R"({"type":"result","subtype":"success","is_error":false,"result":"Done.","total_cost_usd":0.0125,)"
       R"("usage":{"input_tokens":1,"output_tokens":2},"modelUsage":{"claude-x":{"inputTokens":10,)"
       R"("outputTokens":20,)"
       R"("cacheReadInputTokens":30,"cacheCreationInputTokens":5},"small":{"inputTokens":1,)"
       R"("outputTokens":1}}})"});
  EXPECT_TRUE(report.ended);
  EXPECT_FALSE(report.failed);
  EXPECT_EQ(report.text, "Done.");
  ASSERT_TRUE(report.usage.has_value());
  EXPECT_EQ(report.usage->input_tokens, 11);
  EXPECT_EQ(report.usage->all_input(), 46);
  EXPECT_EQ(report.usage->output_tokens, 21);
  EXPECT_EQ(report.usage->cost_microusd, 12'500);
  EXPECT_EQ(unreadable_, 0U);
  EXPECT_THAT(log_, AllOf(HasSubstr("I look.\n"), HasSubstr("[ez] > Bash {\"command\":\"ls\"}"),
                          HasSubstr("that failed: no such file"), HasSubstr("session s1")));
  EXPECT_THAT(transcript_, HasSubstr("brand_new_event"));
}

TEST_F(CliEventsTest, ClaudeCodeSaysSuccessAndMeansFailure) {
  CliReport report =
      read("claude-code", {R"({"type":"result","subtype":"success","is_error":true,"result":"no model"})"});
  EXPECT_TRUE(report.ended && report.failed);
  EXPECT_EQ(report.text, "no model");
  report = read("claude-code", {R"({"type":"result","subtype":"error_max_turns","is_error":false})"});
  EXPECT_TRUE(report.ended && report.failed);
  EXPECT_EQ(report.reason, "error_max_turns");
  // Woken again by work in the background: the last result counts, and until it comes there is none.
  const std::string first = R"({"type":"result","subtype":"success","result":"one","total_cost_usd":1})";
  const std::string more = R"({"type":"assistant","message":{"content":[{"type":"text","text":"More."}]}})";
  EXPECT_FALSE(read("claude-code", {first, more}).ended);
  report = read("claude-code", {first, more,
                                R"({"type":"result","subtype":"success","result":"two",)"
                                R"("total_cost_usd":2})"});
  EXPECT_TRUE(report.ended);
  EXPECT_EQ(report.text, "two");
  EXPECT_EQ(report.usage->cost_microusd, 2'000'000);
}

TEST_F(CliEventsTest, Codex) {
  const CliReport report = read(
      "codex", {R"({"type":"thread.started","thread_id":"t1"})", R"({"type":"turn.started"})",
                R"({"type":"error","message":"Reconnecting... 1/5"})",
                R"({"type":"item.started","item":{"id":"i0","type":"command_execution","command":"ls -l",)"
                R"("status":"in_progress"}})",
                R"({"type":"item.completed","item":{"id":"i0","type":"command_execution","command":"ls -l",)"
                R"("aggregated_output":"a.txt\n","exit_code":3}})",
                R"({"type":"item.completed","item":{"id":"i1","type":"file_change",)"
                R"("changes":[{"path":"a.txt","kind":"add"}]}})",
                R"({"type":"item.completed","item":{"id":"i2","type":"agent_message","text":"All done."}})",
                R"({"type":"turn.completed","usage":{"input_tokens":100,"cached_input_tokens":40,)"
                R"("output_tokens":7}})"});
  EXPECT_TRUE(report.ended);
  EXPECT_FALSE(report.failed);
  EXPECT_EQ(report.text, "All done.");
  ASSERT_TRUE(report.usage.has_value());
  EXPECT_EQ(report.usage->input_tokens, 60);
  EXPECT_EQ(report.usage->all_input(), 100);
  EXPECT_EQ(report.usage->output_tokens, 7);
  EXPECT_FALSE(report.usage->cost_microusd.has_value());
  EXPECT_THAT(log_, AllOf(HasSubstr("> run ls -l"), HasSubstr("a.txt\n"), HasSubstr("ended with status 3"),
                          HasSubstr("> change [{"), HasSubstr("Reconnecting")));
  const CliReport failed =
      read("codex", {R"({"type":"turn.failed","error":{"message":"402 BUDGET_EXCEEDED"}})"});
  EXPECT_TRUE(failed.ended && failed.failed);
  EXPECT_EQ(failed.text, "402 BUDGET_EXCEEDED");
}

TEST_F(CliEventsTest, GeminiCli) {
  const CliReport report =
      read("gemini-cli",
           {R"({"type":"init","session_id":"s","model":"gemini-x"})",
            R"({"type":"message","role":"user","content":"Do it"})",
            R"({"type":"message","role":"assistant","content":"I wri","delta":true})",
            R"({"type":"message","role":"assistant","content":"te.","delta":true})",
            R"({"type":"tool_use","tool_name":"write_file","tool_id":"1","parameters":{"file_path":"a"}})",
            R"({"type":"tool_result","tool_id":"1","status":"error","error":{"message":"refused"}})",
            R"({"type":"message","role":"assistant","content":"Written.","delta":true})",
            R"({"type":"result","status":"success","stats":{"input_tokens":50,"cached":20,)"
            R"("output_tokens":9,"total_tokens":62}})"});
  EXPECT_TRUE(report.ended);
  EXPECT_FALSE(report.failed);
  EXPECT_EQ(report.text, "Written.");
  EXPECT_EQ(report.usage->input_tokens, 30);
  EXPECT_EQ(report.usage->cache_read_tokens, 20);
  EXPECT_EQ(report.usage->output_tokens, 12);  // thoughts included
  EXPECT_THAT(log_, AllOf(HasSubstr("I write.\n"), HasSubstr("> write_file"),
                          HasSubstr("that failed: refused"), Not(HasSubstr("Do it"))));
  const CliReport failed =
      read("gemini-cli", {R"({"type":"result","status":"error","error":{"type":"FatalTurnLimitedError",)"
                          R"("message":"too many"}})"});
  EXPECT_TRUE(failed.ended && failed.failed);
  EXPECT_EQ(failed.reason, "FatalTurnLimitedError");
}

TEST_F(CliEventsTest, TextIsItsOwnResult) {
  const CliReport report = read("text", {"first", "last words", ""});
  EXPECT_FALSE(report.ended);
  EXPECT_EQ(report.text, "first\nlast words");
  EXPECT_FALSE(report.usage.has_value());
}

TEST_F(CliEventsTest, GarbageIsShownAndFailsNothing) {
  const std::vector<std::string> garbage = {
      "not json",
      "{\"type\":",
      "[1,2]",
      "\"x\"",
      std::string("\xff\xfe\x00", 3),
      R"({"type":7})",
      R"({"type":"result"})",
      R"({"type":"assistant","message":{"content":"x"}})",
      R"({"type":"assistant","message":{"content":[7,{"type":"text"}]}})",
      R"({"type":"result","subtype":"success","usage":{"input_tokens":-5,"output_tokens":"many"},)"
      R"("total_cost_usd":-1})",
      R"({"type":"item.completed","item":7})",
      R"({"type":"turn.completed","usage":[]})",
      R"({"type":"turn.failed"})",
      R"({"type":"result","status":"error","error":"x","stats":7})",
      R"({"type":"message","role":"assistant","content":{}})"};
  for (const std::string form : {"claude-code", "codex", "gemini-cli"}) {
    for (const std::string& line : garbage) {
      const CliReport report = read(form, {line});
      if (report.usage) {
        EXPECT_GE(report.usage->all_input(), 0) << form << " " << line;
        EXPECT_GE(report.usage->cost_microusd.value_or(0), 0) << form << " " << line;
      }
    }
    (void)read(form, garbage);
    EXPECT_EQ(unreadable_, 5U) << form;
    EXPECT_THAT(log_, HasSubstr("not json\n"));
  }
}

TEST(LineCutter, CutsInAnyPiecesAndHidesTheSecret) {
  const std::string text = "one\r\ntwo ezl_secret three\n\nlast ezl_secret";
  for (std::size_t size = 1; size <= text.size(); ++size) {
    std::vector<std::string> lines;
    LineCutter cutter("ezl_secret", [&](std::string_view line, bool cut) {
      lines.emplace_back(line);
      EXPECT_FALSE(cut);
    });
    for (std::size_t at = 0; at < text.size(); at += size)
      cutter.feed(std::string_view(text).substr(at, size));
    cutter.end();
    cutter.end();
    EXPECT_THAT(lines, ElementsAre("one", "two [key] three", "", "last [key]")) << size;
  }
}

TEST(LineCutter, ALineHasABound) {
  std::vector<std::pair<std::size_t, bool>> lines;
  LineCutter cutter("", [&](std::string_view line, bool cut) { lines.emplace_back(line.size(), cut); });
  const std::string piece(100'000, 'x');
  for (int i = 0; i < 100; ++i) cutter.feed(piece);
  cutter.feed("\nshort\n");
  EXPECT_THAT(lines, ElementsAre(std::pair(kMaxEventBytes, true), std::pair(std::size_t{5}, false)));
}

TEST(UsageCheck, SaysWhetherTheyDiffer) {
  CliUsage agent;
  agent.input_tokens = 70;
  agent.cache_read_tokens = 30;
  agent.output_tokens = 5;
  agent.cost_microusd = 1'500;
  GatewayUsage gateway;
  gateway.calls = 2;
  gateway.usage.input_tokens = 100;  // the cache is no difference
  gateway.usage.output_tokens = 5;
  gateway.usage.cost_microusd = 1'200'000;
  EXPECT_FALSE(differs(agent, gateway));
  EXPECT_EQ(compared(agent, gateway),
            "usage: the gateway counted 100 tokens in, 5 out, $1.200000 in 2 calls; the agent counted 100 "
            "tokens in, "
            "5 out, $0.001500: the same");
  gateway.usage.output_tokens = 6;
  EXPECT_TRUE(differs(agent, gateway));
  EXPECT_THAT(compared(agent, gateway), HasSubstr("they differ, the gateway's figures count"));
  EXPECT_THAT(compared(std::nullopt, gateway), HasSubstr("the agent named none"));
}

}  // namespace
}  // namespace ez::agents
