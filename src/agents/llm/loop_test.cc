#include "agents/llm/loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace ez::agents {
namespace {

using ::testing::HasSubstr;

LoopSettings settings() {
  LoopSettings settings;
  settings.models = {"big", "small"};
  settings.max_turns = 40;
  settings.context_tokens = 10'000;
  settings.max_output_tokens = 1'000;
  return settings;
}

Value read_call(const std::string& id, const std::string& path) {
  return Value::Map{
      {"type", "tool_use"}, {"id", id}, {"name", "read_file"}, {"input", Value::Map{{"path", path}}}};
}
Value finish_call(Value input) {
  return Value::Map{{"type", "tool_use"}, {"id", "f"}, {"name", "finish"}, {"input", std::move(input)}};
}
ModelReply reply(Value::List content, std::string stop = "tool_use", std::int64_t input = 0) {
  ModelReply reply;
  reply.content = std::move(content);
  reply.stop_reason = std::move(stop);
  reply.usage.input = input;
  reply.usage.output = 10;
  return reply;
}
ModelReply words(const std::string& text, std::string stop = "end_turn") {
  return reply({Value::Map{{"type", "text"}, {"text", text}}}, std::move(stop));
}
ToolAnswer good(std::string text) { return {std::move(text), false, std::nullopt}; }

// What the Messages API demands of a conversation: roles alternate from user, and every call has its result
// in the next message.
void check_conversation(const Value& request) {
  const Value::List& messages = request.find("messages")->as_list();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    ASSERT_EQ(messages[i].string_or("role", ""), i % 2 == 0 ? "user" : "assistant") << i;
    ASSERT_FALSE(messages[i].find("content")->as_list().empty());
    if (i % 2 == 0) continue;
    for (const Value& block : messages[i].find("content")->as_list()) {
      if (block.string_or("type", "") != "tool_use") continue;
      ASSERT_LT(i + 1, messages.size());
      bool answered = false;
      for (const Value& result : messages[i + 1].find("content")->as_list())
        answered = answered || result.string_or("tool_use_id", "") == block.string_or("id", "?");
      EXPECT_TRUE(answered) << to_json(block);
    }
  }
}

class LoopTest : public ::testing::Test {
 protected:
  Loop loop(LoopSettings with = settings()) {
    return Loop(std::move(with), "system", "the task", Value(Value::List{}));
  }
  static void turn(Loop& loop, const std::string& id, const std::string& path, const std::string& result) {
    check_conversation(loop.request());
    loop.replied(reply({read_call(id, path)}));
    ASSERT_EQ(loop.next(), Loop::Next::kTools);
    ASSERT_EQ(loop.calls().size(), 1U);
    loop.answered({good(result)});
  }
};

TEST_F(LoopTest, CallsToolsUntilItIsFinished) {
  Loop it = loop();
  const Value first = it.request();
  EXPECT_EQ(first.string_or("model", ""), "big");
  EXPECT_EQ(first.int_or("max_tokens", 0), 1'000);
  EXPECT_TRUE(first.bool_or("stream", false));
  EXPECT_THAT(to_json(*first.find("messages")), HasSubstr("the task"));
  turn(it, "a", "x.txt", "1\tone");
  ASSERT_EQ(it.next(), Loop::Next::kAsk);
  check_conversation(it.request());
  it.replied(reply(
      {Value::Map{{"type", "text"}, {"text", "Done."}}, finish_call(Value::Map{{"summary", "wrote it"}})}));
  ASSERT_EQ(it.next(), Loop::Next::kDone);
  EXPECT_TRUE(it.status().ok());
  EXPECT_EQ(it.summary(), "wrote it");
  EXPECT_EQ(it.turns(), 2);
  EXPECT_FALSE(it.output().has_value());
}

TEST_F(LoopTest, AnEndOfTheTurnIsAnEndWithoutASchema) {
  Loop it = loop();
  it.replied(words("All good already."));
  EXPECT_EQ(it.next(), Loop::Next::kDone);
  EXPECT_TRUE(it.status().ok());
  EXPECT_EQ(it.summary(), "All good already.");
}

TEST_F(LoopTest, FinishWaitsForTheOtherCallsOfItsTurn) {
  Loop it = loop();
  it.replied(reply({read_call("a", "x"), finish_call(Value::Map{{"summary", "s"}})}));
  ASSERT_EQ(it.calls().size(), 1U);
  it.answered({tool_error("no such file")});
  ASSERT_EQ(it.next(), Loop::Next::kAsk);
  const Value request = it.request();
  check_conversation(request);
  EXPECT_THAT(to_json(request), HasSubstr("another call of this turn failed"));
}

TEST_F(LoopTest, TheOutputHasToFitItsSchema) {
  LoopSettings with = settings();
  with.output_schema = *JsonSchema::compile(
      *parse_json(R"({"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}})"));
  Loop it = loop(with);
  EXPECT_THAT(to_json(*it.request().find("tools")), HasSubstr(R"("required":["summary","output"])"));
  it.replied(words("I am done."));
  ASSERT_EQ(it.next(), Loop::Next::kAsk);
  EXPECT_THAT(to_json(it.request()), HasSubstr("The task asks for an output"));
  it.replied(reply({finish_call(Value::Map{{"summary", "s"}, {"output", Value::Map{{"n", "7"}}}})}));
  ASSERT_EQ(it.next(), Loop::Next::kAsk);
  EXPECT_THAT(to_json(it.request()), HasSubstr("/n: must be of type integer"));
  it.replied(reply({finish_call(Value::Map{{"summary", "s"}, {"output", Value::Map{{"n", 7}}}})}));
  ASSERT_EQ(it.next(), Loop::Next::kDone);
  EXPECT_EQ(to_json(*it.output()), R"({"n":7})");
}

TEST_F(LoopTest, RepairsHaveAnEnd) {
  LoopSettings with = settings();
  with.output_schema = *JsonSchema::compile(*parse_json(R"({"type":"integer"})"));
  Loop it = loop(with);
  int turns = 0;
  while (it.next() == Loop::Next::kAsk && turns < 100) {
    ++turns;
    it.replied(reply({finish_call(Value::Map{{"summary", "s"}, {"output", "seven"}})}));
  }
  EXPECT_EQ(turns, kMaxRepairs + 1);
  EXPECT_EQ(it.status().error().code(), Code::OutputInvalid);
}

TEST_F(LoopTest, CutOffAndEmptyRepliesAreRepairedOrEnd) {
  Loop cut = loop();
  ModelReply half =
      reply({Value::Map{{"type", "tool_use"}, {"id", "a"}, {"name", "write_file"}, {"input", Value::Map{}}}},
            "max_tokens");
  half.bad_inputs["a"] = "1:9: unexpected end";
  cut.replied(half);
  ASSERT_EQ(cut.next(), Loop::Next::kTools);
  EXPECT_THAT(cut.calls()[0].bad_input, HasSubstr("cut off at 1000 tokens"));
  Loop empty = loop();
  for (int i = 0; i <= kMaxRepairs; ++i) {
    ASSERT_EQ(empty.next(), Loop::Next::kAsk);
    check_conversation(empty.request());
    empty.replied(reply({}, "end_turn"));
  }
  EXPECT_EQ(empty.status().error().code(), Code::ModelReplyInvalid);
}

TEST_F(LoopTest, RepeatedCallsWithoutNewsEnd) {
  Loop it = loop();
  int turns = 0;
  bool warned = false;
  while (it.next() != Loop::Next::kDone && turns < 100) {
    ++turns;
    // Two calls in turn: it is not only the very same call that goes round.
    turn(it, "id" + std::to_string(turns), turns % 2 == 0 ? "a" : "b", "the same as ever");
    if (it.next() == Loop::Next::kAsk)
      warned = warned || to_json(it.request()).find("all known already") != std::string::npos;
  }
  EXPECT_EQ(turns, 2 + kStaleEnd);
  EXPECT_TRUE(warned);
  EXPECT_EQ(it.status().error().code(), Code::AgentStuck);
}

TEST_F(LoopTest, ATestThatIsRunAgainAfterAChangeIsNoStandstill) {
  Loop it = loop();
  for (int i = 0; i < 10; ++i) {
    turn(it, "t" + std::to_string(i), "test", "1 failed");
    ASSERT_EQ(it.next(), Loop::Next::kAsk);
    turn(it, "e" + std::to_string(i), "edit " + std::to_string(i), "replaced");
    ASSERT_EQ(it.next(), Loop::Next::kAsk);
  }
}

TEST_F(LoopTest, FailingCallsInARowEnd) {
  Loop it = loop();
  int turns = 0;
  while (it.next() != Loop::Next::kDone && turns < 100) {
    ++turns;
    it.replied(reply({read_call("a" + std::to_string(turns), "x" + std::to_string(turns))}));
    it.answered({tool_error("no such file " + std::to_string(turns))});
  }
  EXPECT_EQ(turns, kFailingEnd);
  EXPECT_EQ(it.status().error().code(), Code::AgentStuck);
}

TEST_F(LoopTest, TurnsAndTokensAreLimited) {
  LoopSettings few = settings();
  few.max_turns = 10;
  Loop it = loop(few);
  int turns = 0;
  while (it.next() != Loop::Next::kDone && turns < 100) {
    ++turns;
    turn(it, "a" + std::to_string(turns), std::to_string(turns), "r");
    if (turns == 7) {
      EXPECT_THAT(to_json(it.request()), HasSubstr("Only 3 turns are left"));
    }
  }
  EXPECT_EQ(turns, 10);
  EXPECT_EQ(it.status().error().code(), Code::AgentTurnLimit);

  LoopSettings poor = settings();
  poor.max_tokens = 5'000;
  poor.context_tokens = 10'000'000;
  Loop spender = loop(poor);
  for (int i = 0; i < 3 && spender.next() != Loop::Next::kDone; ++i) {
    ModelReply costly = reply({read_call("a" + std::to_string(i), std::to_string(i))}, "tool_use", 2'000);
    costly.usage.cache_read = 1'000'000;  // not counted
    spender.replied(costly);
    spender.answered({good("r")});
  }
  EXPECT_EQ(spender.status().error().code(), Code::AgentTokenLimit);
}

TEST_F(LoopTest, TooManyCallsOfOneTurnAreNotRun) {
  Loop it = loop();
  Value::List calls;
  for (std::size_t i = 0; i < kMaxCallsPerTurn + 3; ++i)
    calls.push_back(read_call("c" + std::to_string(i), std::to_string(i)));
  it.replied(reply(std::move(calls)));
  ASSERT_EQ(it.calls().size(), kMaxCallsPerTurn);
  it.answered(std::vector<ToolAnswer>(kMaxCallsPerTurn, good("r")));
  check_conversation(it.request());
  EXPECT_THAT(to_json(it.request()), HasSubstr("not run: at most 32 calls"));
}

TEST_F(LoopTest, OldResultsGoFirstThenASummaryReplacesAll) {
  Loop it = loop();
  const std::string large(3'000, 'x');  // about 1,000 tokens each, 9,000 are the room
  bool dropped = false;
  bool summarised = false;
  for (int i = 0; i < 30 && !summarised; ++i) {
    const Value request = it.request();
    check_conversation(request);
    EXPECT_LT(static_cast<std::int64_t>(to_json(request).size()) / 3, 10'000);
    if (request.find("tool_choice") != nullptr) {
      EXPECT_THAT(to_json(request), HasSubstr("Write that summary now"));
      it.replied(words("SUMMARY: files a and b are done"));
      summarised = true;
      continue;
    }
    it.replied(reply({read_call("id" + std::to_string(i), std::to_string(i))}));
    it.answered({good(std::to_string(i) + large)});
    for (const std::string& note : it.take_notes())
      dropped = dropped || note.find("taken out") != std::string::npos;
  }
  EXPECT_TRUE(dropped);
  ASSERT_TRUE(summarised);
  const Value request = it.request();
  check_conversation(request);
  EXPECT_EQ(request.find("messages")->as_list().size(), 1U);
  EXPECT_THAT(to_json(request), HasSubstr("the task"));
  EXPECT_THAT(to_json(request), HasSubstr("SUMMARY: files a and b are done"));
  EXPECT_EQ(request.find("tool_choice"), nullptr);
}

TEST_F(LoopTest, AModelWhoseContextIsFullGetsLess) {
  Loop it = loop();
  for (int i = 0; i < 3; ++i) turn(it, "a" + std::to_string(i), std::to_string(i), std::string(900, 'x'));
  it.refused(Error(Code::ModelContextFull, "prompt is too long"));
  ASSERT_EQ(it.next(), Loop::Next::kAsk);
  EXPECT_NE(it.request().find("tool_choice"), nullptr);  // a summary
  it.refused(Error(Code::ModelContextFull, "prompt is too long"));
  ASSERT_EQ(it.next(), Loop::Next::kAsk);
  EXPECT_EQ(it.request().find("messages")->as_list().size(), 1U);  // only the task
  it.refused(Error(Code::ModelContextFull, "prompt is too long"));
  ASSERT_EQ(it.next(), Loop::Next::kDone);
  EXPECT_EQ(it.status().error().code(), Code::ModelContextFull);
}

TEST_F(LoopTest, TheNextModelWhenOneIsNotToBeHad) {
  Loop it = loop();
  it.refused(Error(Code::ModelUnavailable, "overloaded"));
  ASSERT_EQ(it.next(), Loop::Next::kAsk);
  EXPECT_EQ(it.request().string_or("model", ""), "small");
  it.refused(Error(Code::ModelUnavailable, "overloaded"));
  EXPECT_EQ(it.status().error().code(), Code::ModelUnavailable);
  Loop no_money = loop();
  no_money.refused(Error(Code::BudgetExceeded, "spent"));
  EXPECT_EQ(no_money.status().error().code(), Code::BudgetExceeded);
}

TEST_F(LoopTest, ARefusalOfTheModelEnds) {
  Loop it = loop();
  it.replied(words("I will not.", "refusal"));
  EXPECT_EQ(it.status().error().code(), Code::ModelDeclined);
}

TEST_F(LoopTest, AFatalAnswerEndsAndStopEndsAtAnyPoint) {
  Loop it = loop();
  it.replied(reply({read_call("a", "x")}));
  ToolAnswer fatal = tool_error("full");
  fatal.fatal = Error(Code::DiskLimit, "full");
  it.answered({fatal});
  EXPECT_EQ(it.status().error().code(), Code::DiskLimit);
  Loop asked = loop();
  asked.stop(Error(Code::TaskCancelled, "c"));
  EXPECT_EQ(asked.status().error().code(), Code::TaskCancelled);
}

TEST_F(LoopTest, GoesOnWhenACheckFailed) {
  Loop it = loop();
  it.replied(reply({finish_call(Value::Map{{"summary", "s"}})}));
  ASSERT_EQ(it.next(), Loop::Next::kDone);
  it.again("The check has failed");
  ASSERT_EQ(it.next(), Loop::Next::kAsk);
  check_conversation(it.request());
  EXPECT_THAT(to_json(it.request()), HasSubstr("The check has failed"));
  it.replied(words("Mended."));
  EXPECT_TRUE(it.status().ok());
}

}  // namespace
}  // namespace ez::agents
