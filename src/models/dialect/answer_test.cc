// Whole answers, estimates, and the smaller endpoints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "models/dialect/dialect.h"
#include "models/dialect/estimate.h"
#include "models/dialect/listing.h"
#include "models/dialect/stream.h"

namespace ez::models {
namespace {

using ::testing::HasSubstr;

constexpr Dialect kA = Dialect::kAnthropicMessages, kC = Dialect::kOpenAiChat, kR = Dialect::kOpenAiResponses;

constexpr std::string_view kAnthropic =
    R"({"id":"msg_01","type":"message","role":"assistant","model":"claude-sonnet-5",
  "content":[{"type":"thinking","thinking":"hm","signature":"EqQB"},{"type":"text","text":"Hi"},
             {"type":"tool_use","id":"toolu_1","name":"f","input":{"a":1}}],
  "stop_reason":"tool_use","stop_sequence":null,
  "usage":{"input_tokens":10,"cache_read_input_tokens":5,"cache_creation_input_tokens":3,
           "output_tokens":7}})";
constexpr std::string_view kChat =
    R"({"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-4.1",
  "choices":[{"index":0,"message":{"role":"assistant","content":"Hi","refusal":null,"reasoning_content":"hm",
    "tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},
    "finish_reason":"tool_calls"}],
  "usage":{"prompt_tokens":18,"completion_tokens":7,"total_tokens":25,
           "prompt_tokens_details":{"cached_tokens":5}}})";
constexpr std::string_view kResponses =
    R"({"id":"resp_1","object":"response","created_at":1700000000,"model":"gpt-5",
  "status":"completed","error":null,"output":[
    {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],
     "encrypted_content":"gAAA"},
    {"type":"message","id":"msg_1","role":"assistant","status":"completed",
     "content":[{"type":"output_text","text":"Hi","annotations":[]}]},
    {"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":"{\"a\":1}",
     "status":"completed"}],
  "usage":{"input_tokens":18,"input_tokens_details":{"cached_tokens":5},"output_tokens":7,
           "output_tokens_details":{"reasoning_tokens":2},"total_tokens":25}})";

TEST(Answer, EachDialectIsReadAndWritten) {
  for (const auto& [dialect, body] :
       {std::pair{kA, kAnthropic}, std::pair{kC, kChat}, std::pair{kR, kResponses}}) {
    const Result<ChatAnswer> answer = parse_answer(dialect, body);
    ASSERT_TRUE(answer.ok()) << answer.error().to_string();
    ASSERT_EQ(answer->parts.size(), 3U);
    EXPECT_EQ(answer->parts[0].text, "hm");
    EXPECT_EQ(answer->parts[1].text, "Hi");
    EXPECT_EQ(answer->parts[2].arguments, R"({"a":1})");
    EXPECT_EQ(answer->stop_reason, StopReason::kToolUse);
    EXPECT_TRUE(answer->has_usage);
    EXPECT_EQ(answer->usage.total_input(), 18);
    EXPECT_EQ(answer->usage.output_tokens, 7);
    for (const Dialect client : {kA, kC, kR}) {
      const std::string written = render_answer(client, *answer, Echo{"asked", {}, false, {}}, "seed", 99);
      const Result<ChatAnswer> back = parse_answer(client, written);
      ASSERT_TRUE(back.ok()) << back.error().to_string() << written;
      EXPECT_EQ(back->model, "asked");
      EXPECT_EQ(back->stop_reason, answer->stop_reason);
      EXPECT_EQ(back->usage.total_input(), 18);
      EXPECT_EQ(back->usage.cache_read_tokens, 5);
      ASSERT_EQ(back->parts.size(), 3U) << written;
      for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(back->parts[i].text, answer->parts[i].text);
        EXPECT_EQ(back->parts[i].name, answer->parts[i].name);
        EXPECT_EQ(back->parts[i].arguments, answer->parts[i].arguments);
      }
      // As a stream it is the same answer.
      AnswerBuilder builder(dialect);
      for (const ChatEvent& event : events_of(*answer)) builder.add(event);
      const ChatAnswer streamed = builder.take();
      EXPECT_EQ(streamed.usage, answer->usage);
      EXPECT_EQ(streamed.parts[0].signature, answer->parts[0].signature);
      EXPECT_EQ(streamed.parts[2].arguments, answer->parts[2].arguments);
    }
  }
}

// Made ids are the dialect's own and the same for the same call.
TEST(Answer, IdsAndTimesAreMadeWhereTheyAreMissing) {
  const ChatAnswer answer = *parse_answer(kA, kAnthropic);
  const Value chat = *parse_json(render_answer(kC, answer, {}, "seed", 99));
  EXPECT_TRUE(chat.string_or("id", "").starts_with("chatcmpl-"));
  EXPECT_EQ(chat.int_or("created", 0), 99);
  EXPECT_EQ(chat.string_or("model", ""), "claude-sonnet-5");
  EXPECT_EQ(render_answer(kC, answer, {}, "seed", 99), render_answer(kC, answer, {}, "seed", 99));
  EXPECT_TRUE(parse_json(render_answer(kR, answer, {}, "s", 1))->string_or("id", "").starts_with("resp_"));
}

TEST(Answer, ResponsesRepeatsTheRequest) {
  const ChatRequest request = *parse_request(kR, R"({"model":"gpt-5","input":"x","instructions":"Be brief.",
    "tools":[{"type":"function","name":"f","parameters":{"type":"object"}}],"temperature":0.5,
    "metadata":{"k":"v"}})");
  const Value out = *parse_json(render_answer(kR, *parse_answer(kA, kAnthropic), echo_of(request), "s", 1));
  EXPECT_EQ(out.string_or("instructions", ""), "Be brief.");
  EXPECT_EQ(out.find("tools")->as_list()[0].string_or("name", ""), "f");
  EXPECT_EQ(*out.find("temperature"), Value(0.5));
  EXPECT_EQ(*out.find("metadata"), *parse_json(R"({"k":"v"})"));
  EXPECT_EQ(out.string_or("status", ""), "completed");
}

TEST(Answer, StopReasonsCross) {
  struct Case {
    const char* anthropic;
    const char* chat;
    const char* status;
  };
  for (const Case& each :
       {Case{"end_turn", "stop", "completed"}, Case{"max_tokens", "length", "incomplete"},
        Case{"refusal", "content_filter", "incomplete"}, Case{"stop_sequence", "stop", "completed"},
        Case{"model_context_window_exceeded", "length", "incomplete"},
        Case{"pause_turn", "stop", "completed"}, Case{"something_new", "stop", "completed"}}) {
    const std::string body = R"({"id":"m","type":"message","model":"c","content":[],"stop_reason":")" +
                             std::string(each.anthropic) +
                             R"(","usage":{"input_tokens":1,"output_tokens":1}})";
    const ChatAnswer answer = *parse_answer(kA, body);
    EXPECT_EQ(parse_json(render_answer(kC, answer, {}, "s", 1))
                  ->find("choices")
                  ->as_list()[0]
                  .string_or("finish_reason", ""),
              each.chat);
    EXPECT_EQ(parse_json(render_answer(kR, answer, {}, "s", 1))->string_or("status", ""), each.status);
  }
}

TEST(Answer, WhatIsNoAnswerIsRefused) {
  for (const auto& [dialect, body] :
       {std::pair{kA, "<html>"}, std::pair{kA, "{}"},
        std::pair{kA, R"({"type":"message","content":[{"type":"tool_use"}]})"},
        std::pair{kC, R"({"choices":[]})"}, std::pair{kC, R"({"choices":[{}]})"},
        std::pair{kR, R"({"id":"r"})"},
        std::pair{kR, R"({"output":[],"status":"failed","error":{"message":"broke"}})"}}) {
    const Result<ChatAnswer> answer = parse_answer(dialect, body);
    ASSERT_FALSE(answer.ok()) << body;
    EXPECT_EQ(answer.error().code(), Code::ProviderAnswerInvalid);
  }
}

TEST(Estimate, IsAnUpperBound) {
  const ChatRequest plain =
      *parse_request(kC, R"({"model":"m","messages":[{"role":"user","content":"hello"}]})");
  const Estimate estimate = estimate_request(plain);
  EXPECT_TRUE(estimate.bounded);
  EXPECT_GE(estimate.input_upper, 5 + 16);
  EXPECT_LT(estimate.input_upper, 200);
  EXPECT_GT(estimate.input_likely, 0);
  EXPECT_LE(estimate.input_likely, estimate.input_upper);
  // Everything that is sent counts.
  const Estimate more =
      estimate_request(*parse_request(kA, R"({"model":"m","max_tokens":5,"system":"0123456789",
    "tools":[{"name":"f","description":"0123456789","input_schema":{"type":"object"}}],
    "messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"0123456789"},
      {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}]})"));
  EXPECT_GT(more.input_upper, 50'000 + 1'024 + 30);
  EXPECT_FALSE(estimate_request(*parse_request(kR, R"({"model":"m","input":"x","previous_response_id":"r"})"))
                   .bounded);
  EXPECT_FALSE(
      estimate_request(*parse_request(kR, R"({"model":"m","input":"x","tools":[{"type":"web_search"}]})"))
          .bounded);
  EXPECT_FALSE(estimate_request(
                   *parse_request(kA, R"({"model":"m","max_tokens":5,"messages":[{"role":"user","content":[
    {"type":"document","source":{"type":"url","url":"https://example.org/a.pdf"}}]}]})"))
                   .bounded);
  EXPECT_FALSE(
      estimate_request(*parse_request(kC, R"({"model":"m","messages":[],"web_search_options":{}})")).bounded);
  EXPECT_EQ(output_upper(plain, 4'096), 4'096);
  ChatRequest many = plain;
  many.max_tokens = 100;
  many.answers = 3;
  EXPECT_EQ(output_upper(many, 4'096), 300);
}

TEST(Listing, ModelsOfBothVendorsAndOfOurs) {
  EXPECT_EQ(render_token_count(42), R"({"input_tokens":42})");
  EXPECT_EQ(*parse_token_count(R"({"input_tokens":42})"), 42);
  EXPECT_FALSE(parse_token_count(R"({"input_tokens":-1})").ok());
  const std::vector<ListedModel> models{{"a", "anthropic", "Model A", 1'700'000'000}, {"b", "openai", "", 0}};
  const std::string body = render_models(models);
  EXPECT_THAT(body, HasSubstr(R"("first_id":"a")"));
  EXPECT_THAT(body, HasSubstr(R"("created_at":"2023-11-14T22:13:20.000Z")"));
  const std::vector<ListedModel> back = *parse_models(body);
  ASSERT_EQ(back.size(), 2U);
  EXPECT_EQ(back[0].owner, "anthropic");
  EXPECT_EQ(back[1].display_name, "b");
  EXPECT_FALSE(parse_models(R"({"data":[{}]})").ok());
  EXPECT_THAT(render_models({}), HasSubstr(R"("first_id":null)"));
}

TEST(Listing, Embeddings) {
  EXPECT_EQ(parse_embeddings_request(R"({"model":"m","input":"hello"})")->input_upper, 6);
  EXPECT_EQ(parse_embeddings_request(R"({"model":"m","input":["a","bc"]})")->inputs, 2);
  EXPECT_EQ(parse_embeddings_request(R"({"model":"m","input":[1,2,3]})")->input_upper, 4);
  EXPECT_EQ(parse_embeddings_request(R"({"model":"m","input":[[1,2],[3]]})")->inputs, 2);
  for (const char* bad : {R"({"input":"a"})", R"({"model":"m"})", R"({"model":"m","input":[{}]})", "7"}) {
    EXPECT_FALSE(parse_embeddings_request(bad).ok()) << bad;
  }
  EXPECT_EQ(parse_embeddings_usage(R"({"usage":{"prompt_tokens":8,"total_tokens":8}})")->input_tokens, 8);
  EXPECT_FALSE(parse_embeddings_usage(R"({"data":[]})").ok());
}

}  // namespace
}  // namespace ez::models
