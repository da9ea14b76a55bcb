#include "agents/llm/message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agents/event_stream.h"
#include "agents/llm/scripted_model.h"
#include "base/json.h"

namespace ez::agents {
namespace {

using ::testing::HasSubstr;

// A whole answer of the scripted server, in pieces of that many bytes.
Result<ModelReply> read(const std::string& answer, std::size_t piece, std::string* said = nullptr) {
  ReplyAssembler assembler([&](std::string_view text) {
    if (said != nullptr) *said += text;
  });
  EventStream events([&](const std::string&, const std::string& data) { return assembler.event(data); },
                     1 << 20);
  std::string_view rest(answer);
  rest.remove_prefix(answer.find("\r\n\r\n") + 4);
  while (!rest.empty()) {
    const auto more = events.feed(rest.substr(0, piece));
    if (!more.ok()) return more.error();
    if (!*more) break;
    rest.remove_prefix(std::min(piece, rest.size()));
  }
  return assembler.finish();
}

TEST(ModelReply, IsPutTogetherFromAnyPieces) {
  const std::string answer = script::reply(
      {script::text("Häuser\nand more"), script::call("t1", "read_file", Value::Map{{"path", "ä.txt"}}),
       script::call("t2", "finish", Value::Map{})},
      "", 1234, 56);
  for (const std::size_t piece : {1UL, 2UL, 7UL, 100'000UL}) {
    std::string said;
    const auto reply = read(answer, piece, &said);
    ASSERT_TRUE(reply.ok()) << reply.error().to_string();
    EXPECT_EQ(said, "Häuser\nand more");
    EXPECT_EQ(reply->text(), said);
    EXPECT_EQ(reply->stop_reason, "tool_use");
    EXPECT_EQ(reply->model, "scripted-1");
    ASSERT_EQ(reply->content.size(), 3U);
    EXPECT_EQ(to_json(reply->content[1]),
              R"({"id":"t1","input":{"path":"ä.txt"},"name":"read_file","type":"tool_use"})");
    EXPECT_EQ(to_json(*reply->content[2].find("input")), "{}");
    EXPECT_EQ(reply->usage.input, 1234);
    EXPECT_EQ(reply->usage.output, 56);
  }
}

TEST(ModelReply, KeepsThinkingWithItsSignature) {
  std::string answer = script::head(200, "text/event-stream");
  const auto add = [&](const char* json) { answer += script::event(*parse_json(json)); };
  add(R"({"type":"message_start","message":{"usage":{"input_tokens":1,"cache_read_input_tokens":7}}})");
  add(R"({"type":"content_block_start","index":0,)"
      R"("content_block":{"type":"thinking","thinking":"","signature":""}})");
  add(R"({"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}})");
  add(R"({"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"sig"}})");
  add(R"({"type":"content_block_stop","index":0})");
  add(R"({"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}})");
  add(R"({"type":"content_block_stop","index":1})");
  add(R"({"type":"something_new","x":1})");
  add(R"({"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}})");
  add(R"({"type":"message_stop"})");
  const auto reply = read(answer, 9);
  ASSERT_TRUE(reply.ok());
  ASSERT_EQ(reply->content.size(), 1U);  // an empty text may not be sent back
  EXPECT_EQ(to_json(reply->content[0]), R"({"signature":"sig","thinking":"hm","type":"thinking"})");
  EXPECT_EQ(reply->usage.cache_read, 7);
  EXPECT_EQ(reply->usage.counted(), 4);
}

TEST(ModelReply, SaysWhatIsWrongWithIt) {
  const std::string good = script::reply({script::text("hello")});
  EXPECT_EQ(read(good.substr(0, good.size() - 60), 100).error().code(), Code::ModelStreamBroken);
  EXPECT_EQ(read(script::head(200, "x") + "data: {nonsense\n\n", 5).error().code(), Code::ModelReplyInvalid);
  EXPECT_EQ(read(script::head(200, "x") +
                     script::event(*parse_json(
                         R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})")),
                 50)
                .error()
                .code(),
            Code::ModelUnavailable);
  EXPECT_EQ(
      read(script::head(200, "x") + script::event(*parse_json(R"({"type":"content_block_delta","index":4})")),
           50)
          .error()
          .code(),
      Code::ModelReplyInvalid);
  const auto bad = read(script::reply({Value::Map{{"type", "tool_use"},
                                                  {"id", "t"},
                                                  {"name", "n"},
                                                  {"input", Value::Map{}},
                                                  {"raw_input", "{\"a\": 1"}}}),
                        50);
  ASSERT_TRUE(bad.ok());
  EXPECT_TRUE(bad->bad_inputs.contains("t"));
  EXPECT_EQ(read(script::reply({script::text(std::string(kMaxReplyBytes + 10, 'x'))}), 65536).error().code(),
            Code::ModelReplyInvalid);
}

TEST(ModelError, HasAStableCode) {
  const auto code = [](int status, const std::string& type, const std::string& text = "m") {
    return model_error(status, to_json(Value::Map{{"type", "error"},
                                                  {"error", Value::Map{{"type", type}, {"message", text}}}}))
        .code();
  };
  EXPECT_EQ(code(429, "rate_limit_error"), Code::ModelRateLimited);
  EXPECT_EQ(code(529, "overloaded_error"), Code::ModelUnavailable);
  EXPECT_EQ(code(500, "api_error"), Code::ModelUnavailable);
  EXPECT_EQ(code(401, "authentication_error"), Code::ModelKeyRefused);
  EXPECT_EQ(code(402, "billing_error"), Code::BudgetExceeded);
  EXPECT_EQ(code(404, "not_found_error"), Code::ModelUnknown);
  EXPECT_EQ(code(400, "invalid_request_error"), Code::ModelRequestRefused);
  EXPECT_EQ(code(400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"),
            Code::ModelContextFull);
  EXPECT_EQ(code(413, "request_too_large"), Code::ModelContextFull);
  EXPECT_TRUE(model_error(529, "").retry());
  EXPECT_FALSE(model_error(400, "<html>").retry());
  EXPECT_THAT(model_error(500, std::string("a\nb\x01") + std::string(9'000, 'x')).message(),
              HasSubstr("a b x"));
  EXPECT_LT(model_error(500, std::string(9'000, 'x')).message().size(), 1'000U);
  // A problem document of ez itself keeps its code.
  EXPECT_EQ(model_error(409, R"({"code":"BUDGET_EXCEEDED","detail":"spent"})").code(), Code::BudgetExceeded);
}

TEST(EventStream, FollowsTheStandard) {
  std::vector<std::string> seen;
  EventStream events(
      [&](const std::string& event, const std::string& data) {
        seen.push_back(event + "=" + data);
        return seen.size() < 4;
      },
      100);
  EXPECT_TRUE(*events.feed(": comment\r\ndata: a\r\ndata:b\r\rdata:  c\n\nevent: e\nid: 1\n\n"));
  EXPECT_TRUE(*events.feed("event: x\ndata\n"));
  EXPECT_TRUE(*events.feed("\n"));
  EXPECT_FALSE(*events.feed("data: last\n\ndata: never\n\n"));
  EXPECT_EQ(seen, (std::vector<std::string>{"message=a\nb", "message= c", "x=", "message=last"}));
  EXPECT_EQ(events.last_id(), "1");
  EXPECT_EQ(events.retry_ms(), -1);
  EventStream again([](const std::string&, const std::string&) { return true; }, 100);
  EXPECT_TRUE(*again.feed("retry: 500\nid: e7\ndata: \n\nretry: soon\nid: e8\n\n"));
  EXPECT_EQ(again.retry_ms(), 500);
  EXPECT_EQ(again.last_id(), "e8");
  EXPECT_EQ(events.feed("data: " + std::string(200, 'x')).error().code(), Code::PayloadTooLarge);
}

}  // namespace
}  // namespace ez::agents
