// Requests: what each dialect's requests become in the neutral form and in the other dialects.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "base/json.h"
#include "models/dialect/dialect.h"

namespace ez::models {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Dialect kA = Dialect::kAnthropicMessages, kC = Dialect::kOpenAiChat, kR = Dialect::kOpenAiResponses;

Value json(std::string_view text) {
  Result<Value> parsed = parse_json(text);
  EXPECT_TRUE(parsed.ok()) << text;
  return parsed.ok() ? std::move(parsed).value() : Value();
}

ChatRequest request(Dialect dialect, std::string_view body) {
  Result<ChatRequest> parsed = parse_request(dialect, body);
  EXPECT_TRUE(parsed.ok()) << (parsed.ok() ? "" : parsed.error().to_string());
  return parsed.ok() ? std::move(parsed).value() : ChatRequest{};
}

Rendered render(Dialect to, const ChatRequest& from, const UpstreamTraits& traits = {}) {
  Result<Rendered> rendered = render_request(to, from, "upstream-model", traits);
  EXPECT_TRUE(rendered.ok()) << (rendered.ok() ? "" : rendered.error().to_string());
  return rendered.ok() ? std::move(rendered).value() : Rendered{};
}

// A request with everything that agents use, as each vendor documents it.
constexpr std::string_view kAnthropic = R"({
  "model": "claude-sonnet-5", "max_tokens": 1024, "stream": true, "temperature": 0.5, "top_k": 40,
  "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
  "stop_sequences": ["END"], "metadata": {"user_id": "user_1"},
  "tools": [{"name": "get_weather", "description": "Weather of a city.",
             "input_schema": {"type": "object", "properties": {"city": {"type": "string"}},
                              "required": ["city"]}},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}],
  "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
  "thinking": {"type": "enabled", "budget_tokens": 2048},
  "messages": [
    {"role": "user", "content": [{"type": "text", "text": "What is this, and the weather there?"},
      {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}]},
    {"role": "assistant", "content": [
      {"type": "thinking", "thinking": "A tower.", "signature": "EqQB"},
      {"type": "text", "text": "I look it up."},
      {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
      {"type": "tool_use", "id": "toolu_2", "name": "get_weather", "input": {"city": "Rome"}}]},
    {"role": "user", "content": [
      {"type": "tool_result", "tool_use_id": "toolu_1", "content": "22 C"},
      {"type": "tool_result", "tool_use_id": "toolu_2", "is_error": true,
       "content": [{"type": "text", "text": "no such city"}]},
      {"type": "text", "text": "Go on."}]}]})";

TEST(Request, AnthropicIsReadWhole) {
  const ChatRequest in = request(kA, kAnthropic);
  EXPECT_EQ(in.model, "claude-sonnet-5");
  EXPECT_EQ(in.max_tokens, 1024);
  EXPECT_TRUE(in.stream);
  EXPECT_EQ(in.parallel_tools, false);
  EXPECT_THAT(in.stop, ElementsAre("END"));
  EXPECT_EQ(in.user, "user_1");
  ASSERT_EQ(in.messages.size(), 3U);
  const std::vector<Part>& turn = in.messages[1].parts;
  ASSERT_EQ(turn.size(), 4U);
  EXPECT_EQ(turn[0].kind, PartKind::kThinking);
  EXPECT_EQ(turn[0].signature, "anthropic:EqQB");
  EXPECT_EQ(turn[2].id, "toolu_1");
  EXPECT_EQ(turn[2].arguments, R"({"city":"Paris"})");
  EXPECT_TRUE(in.messages[2].parts[1].is_error);
  EXPECT_EQ(in.messages[0].parts[1].data, "iVBORw0KGgo=");
  EXPECT_EQ(in.tools[1].kind, ToolKind::kHosted);
}

TEST(Request, AnthropicToChat) {
  const Rendered out = render(kC, request(kA, kAnthropic));
  EXPECT_EQ(json(out.body), json(R"({
    "model": "upstream-model", "max_completion_tokens": 1024, "stream": true, "temperature": 0.5,
    "stream_options": {"include_usage": true}, "stop": ["END"], "parallel_tool_calls": false,
    "reasoning_effort": "low", "tool_choice": "auto",
    "tools": [{"type": "function", "function": {"name": "get_weather", "description": "Weather of a city.",
      "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}],
    "messages": [
      {"role": "system", "content": "Be brief."},
      {"role": "user", "content": [{"type": "text", "text": "What is this, and the weather there?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]},
      {"role": "assistant", "content": "I look it up.", "tool_calls": [
        {"id": "toolu_1", "type": "function",
         "function": {"name": "get_weather", "arguments": "{\"city\":\"Paris\"}"}},
        {"id": "toolu_2", "type": "function",
         "function": {"name": "get_weather", "arguments": "{\"city\":\"Rome\"}"}}]},
      {"role": "tool", "tool_call_id": "toolu_1", "content": "22 C"},
      {"role": "tool", "tool_call_id": "toolu_2", "content": "Error: no such city"},
      {"role": "user", "content": "Go on."}]})"))
      << out.body;
  EXPECT_THAT(out.dropped,
              ElementsAre("thinking of earlier turns", "tools[1] (web_search)", "top_k", "user"));
}

TEST(Request, AnthropicToResponses) {
  ChatRequest in = request(kA, kAnthropic);
  in.stop.clear();
  const Rendered out = render(kR, in);
  const Value body = json(out.body);
  EXPECT_EQ(body.string_or("instructions", ""), "Be brief.");
  EXPECT_EQ(body.int_or("max_output_tokens", 0), 1024);
  EXPECT_FALSE(body.bool_or("store", true));
  EXPECT_EQ(*body.find("reasoning"), json(R"({"effort": "low", "summary": "auto"})"));
  EXPECT_EQ(*body.find("include"), json(R"(["reasoning.encrypted_content"])"));
  EXPECT_EQ(*body.find("input"), json(R"([
    {"type": "message", "role": "user", "content": [
      {"type": "input_text", "text": "What is this, and the weather there?"},
      {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,iVBORw0KGgo="}]},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look it up."}]},
    {"type": "function_call", "call_id": "toolu_1", "name": "get_weather",
     "arguments": "{\"city\":\"Paris\"}"},
    {"type": "function_call", "call_id": "toolu_2", "name": "get_weather",
     "arguments": "{\"city\":\"Rome\"}"},
    {"type": "function_call_output", "call_id": "toolu_1", "output": "22 C"},
    {"type": "function_call_output", "call_id": "toolu_2", "output": "Error: no such city"},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go on."}]}])"))
      << out.body;
}

constexpr std::string_view kChat = R"({
  "model": "gpt-4.1", "max_completion_tokens": 500, "temperature": 1.5, "seed": 7, "user": "u1",
  "stop": "END", "reasoning_effort": "high", "parallel_tool_calls": true, "logprobs": false,
  "response_format": {"type": "json_schema", "json_schema": {"name": "city", "strict": true,
    "schema": {"type": "object", "properties": {"name": {"type": "string"}}}}},
  "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
            {"type": "custom", "custom": {"name": "patch", "description": "Apply a patch."}}],
  "tool_choice": {"type": "function", "function": {"name": "f"}},
  "messages": [
    {"role": "developer", "content": "Be brief."},
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": null, "tool_calls": [
      {"id": "functions.f:0", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
      {"id": "call_2", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}]},
    {"role": "tool", "tool_call_id": "functions.f:0", "content": "one"},
    {"role": "tool", "tool_call_id": "call_2", "content": "two"},
    {"role": "user", "content": [{"type": "text", "text": "And this?"},
      {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}]}]})";

TEST(Request, ChatToAnthropic) {
  const Rendered out = render(kA, request(kC, kChat));
  const Value body = json(out.body);
  EXPECT_EQ(body.int_or("max_tokens", 0), 500);
  EXPECT_EQ(*body.find("temperature"), Value(1.0));
  EXPECT_EQ(*body.find("stop_sequences"), json(R"(["END"])"));
  EXPECT_EQ(*body.find("system"),
            json(R"([{"type":"text","text":"Be brief."},{"type":"text","text":"Be kind."}])"));
  EXPECT_EQ(*body.find("tool_choice"),
            json(R"({"type": "tool", "name": "f", "disable_parallel_tool_use": false})"));
  EXPECT_EQ(*body.find("output_config"), json(R"({"format": {"type": "json_schema",
                     "schema": {"type": "object", "properties": {"name": {"type": "string"}}}}})"));
  const Value::List& messages = body.find("messages")->as_list();
  ASSERT_EQ(messages.size(), 3U);
  // The id has characters that Anthropic refuses: the same made one stands at the call and at its result.
  const Value::List& calls = messages[1].find("content")->as_list();
  const Value::List& results = messages[2].find("content")->as_list();
  ASSERT_EQ(calls.size(), 2U);
  ASSERT_EQ(results.size(), 4U);
  const std::string id(calls[0].string_or("id", ""));
  EXPECT_TRUE(id.starts_with("toolu_")) << id;
  EXPECT_EQ(results[0].string_or("tool_use_id", ""), id);
  EXPECT_EQ(results[1].string_or("tool_use_id", ""), "call_2");
  EXPECT_EQ(*calls[1].find("input"), json(R"({"input": "*** Begin"})"));
  EXPECT_EQ(results[3],
            json(R"({"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}})"));
  EXPECT_EQ(*body.find("tools")->as_list()[1].find("input_schema")->find("required"), json(R"(["input"])"));
  EXPECT_THAT(out.dropped, ::testing::UnorderedElementsAre("temperature above 1", "the effort of reasoning",
                                                           "seed", "user", "logprobs"));
}

constexpr std::string_view kResponses = R"({
  "model": "gpt-5", "instructions": "Be brief.", "max_output_tokens": 300, "stream": true, "store": false,
  "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k1",
  "reasoning": {"effort": "medium", "summary": "auto"}, "text": {"verbosity": "low"},
  "tools": [{"type": "function", "name": "shell", "strict": false, "parameters": {"type": "object"}},
            {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark"}},
            {"type": "web_search"}],
  "tool_choice": "auto", "parallel_tool_calls": false,
  "input": [
    {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Sandbox: none."}]},
    {"role": "user", "content": "List files."},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "ls"}],
     "encrypted_content": "gAAAA"},
    {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "shell",
     "arguments": "{\"c\":\"ls\"}"},
    {"type": "function_call", "call_id": "call_2", "name": "shell", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_1", "output": "a.txt"},
    {"type": "function_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "b"}]},
    {"type": "message", "role": "assistant",
     "content": [{"type": "output_text", "text": "Done.", "annotations": []}]},
    {"role": "user", "content": [{"type": "input_text", "text": "Thanks"}]}]})";

TEST(Request, ResponsesToAnthropic) {
  const Rendered out = render(kA, request(kR, kResponses));
  const Value body = json(out.body);
  EXPECT_EQ(body.string_or("system", ""), "Be brief.");
  EXPECT_EQ(*body.find("messages"), json(R"([
    {"role": "user",
     "content": [{"type": "text", "text": "Sandbox: none."}, {"type": "text", "text": "List files."}]},
    {"role": "assistant", "content": [
      {"type": "tool_use", "id": "call_1", "name": "shell", "input": {"c": "ls"}},
      {"type": "tool_use", "id": "call_2", "name": "shell", "input": {}}]},
    {"role": "user", "content": [
      {"type": "tool_result", "tool_use_id": "call_1", "content": "a.txt"},
      {"type": "tool_result", "tool_use_id": "call_2", "content": "b"}]},
    {"role": "assistant", "content": "Done."},
    {"role": "user", "content": "Thanks"}])"))
      << out.body;
  EXPECT_THAT(out.dropped, ::testing::IsSupersetOf({"tools[2] (web_search)", "thinking of earlier turns"}));
}

TEST(Request, ResponsesToChatCarriesWhatBothKnow) {
  UpstreamTraits traits;
  traits.max_completion_tokens = false;
  traits.stream_usage = false;
  const Value body = json(render(kC, request(kR, kResponses), traits).body);
  EXPECT_EQ(body.int_or("max_tokens", 0), 300);
  EXPECT_EQ(body.string_or("reasoning_effort", ""), "medium");
  EXPECT_EQ(body.string_or("prompt_cache_key", ""), "k1");
  EXPECT_EQ(body.find("stream_options"), nullptr);
  const Value::List& messages = body.find("messages")->as_list();
  // Parallel calls stand in one message, or the provider refuses their results.
  EXPECT_EQ(messages[3].find("tool_calls")->as_list().size(), 2U);
  EXPECT_EQ(messages[4].string_or("role", ""), "tool");
  EXPECT_EQ(messages[5].string_or("role", ""), "tool");
}

TEST(Request, ChatToResponses) {
  ChatRequest in = request(kC, kChat);
  in.stop.clear();
  in.seed.reset();
  const Rendered out = render(kR, in);
  const Value body = json(out.body);
  EXPECT_EQ(body.string_or("instructions", ""), "Be brief.\n\nBe kind.");
  EXPECT_EQ(body.find("text")->find("format")->string_or("name", ""), "city");
  EXPECT_EQ(*body.find("tool_choice"), json(R"({"type": "function", "name": "f"})"));
  EXPECT_EQ(body.string_or("user", ""), "u1");
  EXPECT_EQ(body.find("reasoning")->string_or("effort", ""), "high");
}

// With its own dialect a request loses nothing: reading and writing twice gives the same as once, and every
// member of the client is still there.
TEST(Request, TheSameDialectLosesNothing) {
  const std::array<std::pair<Dialect, std::string_view>, 3> all{
      {{kA, kAnthropic}, {kC, kChat}, {kR, kResponses}}};
  for (const auto& [dialect, body] : all) {
    const Rendered once = render(dialect, request(dialect, body));
    EXPECT_TRUE(once.dropped.empty());
    const Rendered twice = render(dialect, request(dialect, once.body));
    EXPECT_EQ(json(once.body), json(twice.body));
    const Value written = json(once.body), given = json(body);
    for (const auto& [key, value] : given.as_map()) {
      if (key == "model" || key == "messages" || key == "input" || key == "stop" || key == "system") continue;
      ASSERT_NE(written.find(key), nullptr) << key;
      EXPECT_EQ(*written.find(key), value) << key;
    }
  }
  EXPECT_EQ(*json(render(kA, request(kA, kAnthropic)).body).find("messages")->as_list()[1].find("content"),
            *json(kAnthropic).find("messages")->as_list()[1].find("content"));
}

// What a conversation says, whatever the dialect: who said which text, called what, and got which result.
std::vector<std::string> said(const ChatRequest& request) {
  std::vector<std::string> out;
  const auto add = [&](std::string_view who, std::string_view text) {
    if (!text.empty()) out.push_back(std::string(who) + ": " + std::string(text));
  };
  const auto texts = [](const std::vector<Part>& parts) {
    std::string all;
    for (const Part& part : parts) all += part.text;
    return all;
  };
  add("system", texts(request.system));
  for (const Message& message : request.messages) {
    for (const Part& part : message.parts) {
      switch (part.kind) {
        case PartKind::kText:
          add(message.role == Role::kAssistant ? "assistant" : "user", part.text);
          break;
        case PartKind::kImage:
          add("image", part.url + part.media_type + part.data);
          break;
        case PartKind::kToolCall: {
          Result<Value> input = parse_json(part.arguments);
          // Free text of a custom tool stands in a function's "input" elsewhere.
          const Value* free = input.ok() ? input->find("input") : nullptr;
          add("call " + part.name, free != nullptr ? free->as_string()
                                   : input.ok()    ? to_json(*input)
                                                   : part.arguments);
          break;
        }
        case PartKind::kToolResult: {
          std::string text = texts(part.content);
          if (text.starts_with("Error: ")) text = text.substr(7);
          add("result", text);
          break;
        }
        default:
          break;  // thinking stays with its vendor
      }
    }
  }
  return out;
}

TEST(Request, CrossingKeepsTheConversation) {
  const std::array<std::pair<Dialect, std::string_view>, 3> all{
      {{kA, kAnthropic}, {kC, kChat}, {kR, kResponses}}};
  for (const auto& [from, body] : all) {
    ChatRequest in = request(from, body);
    in.stop.clear();
    // What a developer says before anybody else is one of the system's texts in the other dialects.
    if (from == kR) {
      ASSERT_EQ(in.messages.at(0).parts.at(0).text, "Sandbox: none.");
      in.messages.erase(in.messages.begin());
    }
    for (Part& part : in.system) part.text = "[" + part.text + "]";  // how they are joined differs
    for (const Dialect to : {kA, kC, kR}) {
      const ChatRequest there = request(to, render(to, in).body);
      std::vector<std::string> want = said(in), got = said(there);
      std::string joined;
      for (const Part& part : there.system) joined += part.text;
      std::erase(joined, '\n');
      ASSERT_FALSE(want.empty());
      EXPECT_EQ("system: " + joined, want[0]);
      want.erase(want.begin());
      got.erase(got.begin());
      EXPECT_EQ(got, want) << dialect_name(from) << " to " << dialect_name(to);
      // And home again.
      if (to == from) continue;
      std::vector<std::string> back = said(request(from, render(from, there).body));
      back.erase(back.begin());
      EXPECT_EQ(back, want) << dialect_name(from) << " to " << dialect_name(to) << " and back";
    }
  }
}

TEST(Request, WhatCannotBeSaidIsRefused) {
  const auto refused = [](Dialect from, std::string_view body, Dialect to) -> std::string {
    const Result<Rendered> out = render_request(to, request(from, body), "m");
    if (out.ok()) return "nothing";
    EXPECT_EQ(out.error().code(), Code::DialectUnsupported);
    return out.error().message();
  };
  EXPECT_THAT(refused(kC, R"({"model":"m","n":2,"messages":[{"role":"user","content":"a"}]})", kA),
              HasSubstr("n cannot"));
  EXPECT_THAT(refused(kR, R"({"model":"m","input":"a","previous_response_id":"resp_1"})", kC),
              HasSubstr("cannot be expressed"));
  EXPECT_THAT(refused(kC, R"({"model":"m","stop":["x"],"messages":[{"role":"user","content":"a"}]})", kR),
              HasSubstr("stop sequences"));
  EXPECT_THAT(refused(kC, R"({"model":"m","messages":[{"role":"user","content":[
                      {"type":"input_audio","input_audio":{"data":"AA","format":"wav"}}]}]})",
                      kA),
              HasSubstr("input_audio"));
  EXPECT_THAT(refused(kR, R"({"model":"m","input":"a","tools":[{"type":"web_search"}],
                      "tool_choice":{"type":"web_search"}})",
                      kA),
              HasSubstr("web_search"));
  EXPECT_THAT(refused(kA, R"({"model":"m","max_tokens":1,"mcp_servers":[],"messages":[]})", kC),
              HasSubstr("mcp_servers"));
}

TEST(Request, MistakesNameTheirPlace) {
  const auto mistake = [](Dialect dialect, std::string_view body) {
    const Result<ChatRequest> parsed = parse_request(dialect, body);
    return parsed.ok() ? std::string("none") : parsed.error().to_string();
  };
  EXPECT_THAT(mistake(kA, "{"), HasSubstr("JSON_INVALID"));
  EXPECT_THAT(mistake(kA, "[]"), HasSubstr("REQUEST_INVALID"));
  EXPECT_THAT(mistake(kA, R"({"messages":[]})"), HasSubstr("model"));
  EXPECT_THAT(mistake(kA, R"({"model":"m","messages":[{"role":"user","content":[{"type":"image"}]}]})"),
              HasSubstr("messages[0].content[0].source"));
  EXPECT_THAT(mistake(kC, R"({"model":"m","messages":[{"role":"robot"}]})"), HasSubstr("messages[0].role"));
  EXPECT_THAT(mistake(kC, R"({"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"x"}]}]})"),
              HasSubstr("messages[0].tool_calls[0].function"));
  EXPECT_THAT(mistake(kC, R"({"model":"m","messages":[],"n":0})"), HasSubstr("n: a whole number"));
  EXPECT_THAT(mistake(kR, R"({"model":"m","input":[{"type":"function_call","name":"f"}]})"),
              HasSubstr("input[0].call_id"));
  EXPECT_THAT(mistake(kR, R"({"model":"m","input":7})"), HasSubstr("input"));
}

// Thinking that one vendor sealed comes back to it through a client of the other dialect.
TEST(Request, ForeignSealsComeHome) {
  const ChatRequest in = request(kA, R"({"model":"m","max_tokens":9,"messages":[
    {"role":"user","content":"a"},
    {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"openai:rs_1:gAAA"},
                                   {"type":"text","text":"b"}]},
    {"role":"user","content":"c"}]})");
  const Value body = json(render(kR, in).body);
  EXPECT_EQ(body.find("input")->as_list()[1],
            json(R"({"type":"reasoning","id":"rs_1","encrypted_content":"gAAA",
    "summary":[{"type":"summary_text","text":"hm"}]})"));
  // Anthropic itself would refuse the seal: its bytes are not passed on as they are.
  const Result<std::string> passed = pass_request(kA, R"({"model":"m","messages":[
    {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"openai:rs_1:gAAA"},
                                   {"type":"text","text":"b"}]}],"max_tokens":9})",
                                                  in, "claude", {});
  ASSERT_TRUE(passed.ok());
  EXPECT_THAT(*passed, ::testing::Not(HasSubstr("gAAA")));

  const ChatRequest codex = request(kR, R"({"model":"m","input":[{"role":"user","content":"a"},
    {"type":"reasoning","id":"rs_9","summary":[{"type":"summary_text","text":"hm"}],
     "encrypted_content":"anthropic:EqQB"},
    {"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},
    {"type":"function_call_output","call_id":"c1","output":"x"}]})");
  EXPECT_EQ(json(render(kA, codex).body).find("messages")->as_list()[1].find("content")->as_list()[0],
            json(R"({"type":"thinking","thinking":"hm","signature":"EqQB"})"));
}

TEST(Request, TraitsShapeTheUpstream) {
  UpstreamTraits traits;
  traits.short_tool_ids = true;
  traits.reasoning_content = true;
  traits.reasoning_effort = false;
  traits.sampling = false;
  traits.forced_tools = false;
  ChatRequest in = request(kA, kAnthropic);
  in.tool_choice = ToolChoice{ToolChoiceKind::kRequired, ""};
  const Rendered out = render(kC, in, traits);
  const Value body = json(out.body);
  const Value& turn = body.find("messages")->as_list()[2];
  EXPECT_EQ(turn.string_or("reasoning_content", ""), "A tower.");
  const std::string id(turn.find("tool_calls")->as_list()[0].string_or("id", ""));
  EXPECT_EQ(id.size(), 9U);
  EXPECT_EQ(body.find("messages")->as_list()[3].string_or("tool_call_id", ""), id);
  for (const char* gone : {"reasoning_effort", "temperature", "tool_choice"})
    EXPECT_EQ(body.find(gone), nullptr);
  EXPECT_THAT(out.dropped, ::testing::IsSupersetOf({"thinking", "temperature", "tool_choice"}));
}

TEST(EditObject, ChangesMembersAndNothingElse) {
  const std::string text = R"( { "a" : [1, {"model": "inner"}], "model":"x" , "b\"":"}" , "z": 1.50 } )";
  const auto edit = [&](std::vector<std::pair<std::string_view, std::string>> edits) {
    const Result<std::string> out = edit_object(text, edits);
    return out.ok() ? *out : out.error().to_string();
  };
  EXPECT_EQ(edit({{"model", "\"y\""}}),
            R"( { "a" : [1, {"model": "inner"}], "model":"y", "b\"":"}", "z": 1.50})");
  EXPECT_EQ(edit({{"model", ""}, {"n", "[]"}}),
            R"( { "a" : [1, {"model": "inner"}], "b\"":"}", "z": 1.50,"n":[]})");
  EXPECT_EQ(*edit_object("{}", {{"a", "1"}}), R"({"a":1})");
  EXPECT_EQ(*edit_object(R"({"\u006dodel":1})", {{"model", "2"}}), R"({"\u006dodel":2})");
  for (const char* bad : {"", "[]", "{", R"({"a":1)", R"({"a" 1})", R"({"model":1,"model":2})", "{} x",
                          R"({"a":})", R"({"a":"\)"}) {
    const Result<std::string> out = edit_object(bad, {{"model", "1"}});
    ASSERT_FALSE(out.ok()) << bad;
    EXPECT_EQ(out.error().code(), Code::JsonInvalid);
  }
}

TEST(PassRequest, AsksForUsageInChatStreamsOnly) {
  const std::string body =
      R"({"messages":[{"role":"user","content":"a"}],"model":"m","stream":true,"stream_options":{"x":1}})";
  const ChatRequest in = request(kC, body);
  EXPECT_EQ(*pass_request(kC, body, in, "up"),
            R"({"messages":[{"role":"user","content":"a"}],"model":"up","stream":true,)"
            R"("stream_options":{"include_usage":true,"x":1}})");
  UpstreamTraits old;
  old.stream_usage = false;
  EXPECT_EQ(
      *pass_request(kC, body, in, "up", old),
      R"({"messages":[{"role":"user","content":"a"}],"model":"up","stream":true,"stream_options":{"x":1}})");
}

}  // namespace
}  // namespace ez::models
