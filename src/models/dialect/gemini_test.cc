// Gemini's own dialect, of clients only: requests as its clients send them, answers as they read them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "models/dialect/dialect.h"
#include "models/dialect/provider_error.h"
#include "models/dialect/stream_test_support.h"

namespace ez::models {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// A turn of Gemini CLI after two calls without ids, one of which failed.
constexpr char kConversation[] = R"({"model":"m","stream":true,
 "systemInstruction":{"role":"user","parts":[{"text":"Be brief."}]},
 "contents":[
  {"role":"user","parts":[{"text":"Look."},{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]},
  {"role":"model","parts":[{"text":"Hm.","thought":true},{"text":"I look."},
    {"functionCall":{"name":"read_file","args":{"file_path":"a"}},"thoughtSignature":"xyz"},
    {"functionCall":{"name":"read_file","args":{"file_path":"b"}}}]},
  {"role":"user","parts":[{"functionResponse":{"name":"read_file","response":{"output":"text of a"}}},
    {"functionResponse":{"name":"read_file","response":{"error":"no b"}}}]}],
 "tools":[{"functionDeclarations":[
   {"name":"read_file","description":"reads","parametersJsonSchema":
     {"type":"object","properties":{"file_path":{"type":"string"}}}},
   {"name":"glob","parameters":{"type":"OBJECT","properties":{"n":{"type":"INTEGER"}},"required":["n"]}}]}],
 "toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["glob"]}},
 "safetySettings":[],
 "generationConfig":{"temperature":1,"topP":0.95,"topK":64,"maxOutputTokens":100,"stopSequences":["END"],
   "thinkingConfig":{"includeThoughts":true,"thinkingBudget":512}}})";

TEST(Gemini, ARequestBecomesOneOfAnotherDialect) {
  const auto request = parse_request(Dialect::kGemini, kConversation);
  ASSERT_TRUE(request.ok()) << request.error().to_string();
  EXPECT_EQ(request->model, "m");
  EXPECT_TRUE(request->stream);
  const auto chat = render_request(Dialect::kOpenAiChat, *request, "other");
  ASSERT_TRUE(chat.ok()) << chat.error().to_string();
  const Value body = *parse_json(chat->body);
  const Value::List& messages = body.find("messages")->as_list();
  ASSERT_EQ(messages.size(), 5U) << chat->body;
  EXPECT_EQ(messages[0].string_or("content", ""), "Be brief.");
  EXPECT_EQ(messages[1].find("content")->as_list().size(), 2U);
  const Value::List& calls = messages[2].find("tool_calls")->as_list();
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_NE(calls[0].string_or("id", ""), calls[1].string_or("id", ""));
  EXPECT_EQ(to_json(*calls[1].find("function")->find("arguments")), R"("{\"file_path\":\"b\"}")");
  EXPECT_EQ(messages[3].string_or("tool_call_id", ""), calls[0].string_or("id", "-"));
  EXPECT_EQ(messages[3].string_or("content", ""), "text of a");
  EXPECT_EQ(messages[4].string_or("tool_call_id", ""), calls[1].string_or("id", "-"));
  EXPECT_THAT(std::string(messages[4].string_or("content", "")), HasSubstr("no b"));
  EXPECT_THAT(chat->body, AllOf(HasSubstr(R"("stop":["END"])"), HasSubstr(R"("type":"integer")"),
                                Not(HasSubstr("OBJECT")), HasSubstr("data:image/png;base64,AAAA")));
  const auto messages_body = render_request(Dialect::kAnthropicMessages, *request, "other");
  ASSERT_TRUE(messages_body.ok());
  EXPECT_THAT(messages_body->body, AllOf(HasSubstr(R"("max_tokens":)"), HasSubstr(R"("is_error":true)"),
                                         HasSubstr(R"("name":"glob")")));
  // Responses have no stop sequences.
  EXPECT_EQ(render_request(Dialect::kOpenAiResponses, *request, "other").error().code(),
            Code::DialectUnsupported);
  ChatRequest without_stops = *request;
  without_stops.stop.clear();
  EXPECT_TRUE(render_request(Dialect::kOpenAiResponses, without_stops, "other").ok());
}

TEST(Gemini, CallsAndResponsesBelongTogether) {
  const auto parsed = [](const std::string& parts) {
    return parse_request(
        Dialect::kGemini,
        R"({"model":"m","contents":[{"role":"model","parts":[)"
        R"({"functionCall":{"id":"c1","name":"f"}},{"functionCall":{"id":"c2","name":"f"}}]},)"
        R"({"role":"user","parts":[)" +
            parts + "]}]}");
  };
  const auto turned = parsed(R"({"functionResponse":{"id":"c2","name":"f","response":{"x":1}}},)"
                             R"({"functionResponse":{"name":"f","response":{}}})");
  ASSERT_TRUE(turned.ok()) << turned.error().to_string();
  EXPECT_EQ(turned->messages[1].parts[0].id, "c2");
  EXPECT_EQ(turned->messages[1].parts[0].content[0].text, R"({"x":1})");
  EXPECT_EQ(turned->messages[1].parts[1].id, "c1");
  EXPECT_THAT(parsed(R"({"functionResponse":{"name":"g","response":{}}})").error().message(),
              HasSubstr("contents[1].parts[0].functionResponse"));
}

TEST(Gemini, WrongRequestsAreRefused) {
  for (const std::string body :
       {"[]", "{}", R"({"model":"m"})", R"({"model":"m","contents":{}})", R"({"model":"m","contents":[7]})",
        R"({"model":"m","contents":[{"role":"system","parts":[]}]})",
        R"({"model":"m","contents":[{"parts":[7]}]})",
        R"({"model":"m","contents":[{"parts":[{"inlineData":{}}]}]})",
        R"({"model":"m","contents":[{"parts":[{"fileData":{}}]}]})",
        R"({"model":"m","contents":[{"parts":[{"functionCall":{}}]}]})",
        R"({"model":"m","contents":[],"tools":[7]})",
        R"({"model":"m","contents":[],"tools":[{"functionDeclarations":7}]})",
        R"({"model":"m","contents":[],"toolConfig":{"functionCallingConfig":{"mode":"SOME"}}})",
        R"({"model":"m","contents":[],"generationConfig":{"maxOutputTokens":-1}})",
        R"({"model":"m","contents":[],"systemInstruction":7})"}) {
    const auto parsed = parse_request(Dialect::kGemini, body);
    ASSERT_FALSE(parsed.ok()) << body;
    EXPECT_EQ(parsed.error().code(), Code::RequestInvalid) << body;
  }
  // What only Google could do is not left out silently.
  const auto cached = parse_request(Dialect::kGemini, R"({"model":"m","contents":[],)"
                                                      R"("cachedContent":"c/1"})");
  ASSERT_TRUE(cached.ok());
  EXPECT_EQ(render_request(Dialect::kOpenAiChat, *cached, "o").error().code(), Code::DialectUnsupported);
}

TEST(Gemini, AnAnswerInItsForm) {
  const auto stream = testing::read_stream(Dialect::kAnthropicMessages, testing::kAnthropicStream);
  Echo echo;
  echo.model = "asked";
  const Value answer = *parse_json(render_answer(
      Dialect::kGemini, testing::built(Dialect::kAnthropicMessages, stream.events), echo, "seed", 7));
  EXPECT_EQ(answer.string_or("modelVersion", ""), "asked");
  const Value& candidate = answer.find("candidates")->as_list()[0];
  EXPECT_EQ(candidate.string_or("finishReason", ""), "STOP");
  EXPECT_THAT(to_json(*candidate.find("content")),
              AllOf(HasSubstr(R"("functionCall":{"args":)"), HasSubstr(R"("role":"model")")));
  const Usage& usage = stream.summary.usage;
  EXPECT_EQ(answer.find("usageMetadata")->int_or("promptTokenCount", 0), usage.total_input());
  EXPECT_EQ(answer.find("usageMetadata")->int_or("candidatesTokenCount", 0), usage.output_tokens);
}

// The pieces of a written stream, as objects.
std::vector<Value> pieces_of(const std::string& bytes) {
  std::vector<Value> out;
  std::size_t at = 0;
  while ((at = bytes.find("data: ", at)) != std::string::npos) {
    const std::size_t end = bytes.find("\n\n", at);
    out.push_back(*parse_json(std::string_view(bytes).substr(at + 6, end - at - 6)));
    at = end;
  }
  return out;
}

TEST(Gemini, AStreamInItsForm) {
  for (const std::string* source : {&testing::kChatStream, &testing::kChatParallelStream}) {
    const auto stream = testing::read_stream(Dialect::kOpenAiChat, *source);
    const std::vector<Value> pieces = pieces_of(testing::written(Dialect::kGemini, stream.events));
    ASSERT_FALSE(pieces.empty());
    std::string text;
    std::size_t calls = 0;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const Value& candidate = pieces[i].find("candidates")->as_list()[0];
      // The reason and the figures come with the last one, and only there.
      EXPECT_EQ(candidate.find("finishReason") != nullptr, i + 1 == pieces.size());
      EXPECT_EQ(pieces[i].find("usageMetadata") != nullptr, i + 1 == pieces.size());
      for (const Value& part : candidate.find("content")->find("parts")->as_list()) {
        if (!part.bool_or("thought", false)) text += part.string_or("text", "");
        if (const Value* call = part.find("functionCall")) {
          ++calls;
          EXPECT_TRUE(call->find("args")->is_map());
          EXPECT_FALSE(call->string_or("id", "").empty());
        }
      }
    }
    const ChatAnswer whole = testing::built(Dialect::kOpenAiChat, stream.events);
    std::string expected;
    std::size_t expected_calls = 0;
    for (const Part& part : whole.parts) {
      if (part.kind == PartKind::kText) expected += part.text;
      if (part.kind == PartKind::kToolCall) ++expected_calls;
    }
    EXPECT_EQ(text, expected);
    EXPECT_EQ(calls, expected_calls);
    const auto meter = StreamMeter::make(Dialect::kGemini);  // as a replay counts it
    meter->observe(testing::written(Dialect::kGemini, stream.events));
    EXPECT_TRUE(meter->summary().finished);
    EXPECT_EQ(meter->summary().usage.total_input(), stream.summary.usage.total_input());
    EXPECT_EQ(meter->summary().usage.output_tokens, stream.summary.usage.output_tokens);
  }
  // Thoughts are marked, an empty answer has an end all the same.
  const auto thinking = testing::read_stream(Dialect::kAnthropicMessages, testing::kAnthropicThinkingStream);
  EXPECT_THAT(testing::written(Dialect::kGemini, thinking.events), HasSubstr(R"("thought":true)"));
  ChatAnswer empty;
  empty.stop_reason = StopReason::kMaxTokens;
  const std::vector<Value> nothing = pieces_of(testing::written(Dialect::kGemini, events_of(empty)));
  ASSERT_EQ(nothing.size(), 1U);
  EXPECT_THAT(to_json(nothing[0]), HasSubstr(R"("finishReason":"MAX_TOKENS")"));
}

TEST(Gemini, ErrorsInItsForm) {
  ProviderError error;
  error.kind = ErrorKind::kBudget;
  error.message = "BUDGET_EXCEEDED: no money";
  const RenderedError refused = render_error(Dialect::kGemini, error);
  EXPECT_EQ(refused.status, 402);
  EXPECT_EQ(refused.body, R"({"error":{"code":402,"message":"BUDGET_EXCEEDED: no money",)"
                          R"("status":"RESOURCE_EXHAUSTED"}})");
  error.kind = ErrorKind::kOverloaded;
  EXPECT_EQ(render_error(Dialect::kGemini, error).status, 503);
  error.kind = ErrorKind::kNotFound;
  EXPECT_THAT(render_error(Dialect::kGemini, error).body, HasSubstr("NOT_FOUND"));
}

TEST(Gemini, NoProviderSpeaksIt) {
  EXPECT_EQ(dialect_name(Dialect::kGemini), "gemini");
  EXPECT_FALSE(find_dialect("gemini").has_value());
}

}  // namespace
}  // namespace ez::models
