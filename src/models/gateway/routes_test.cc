// Calls that change on their way: from one dialect to another, and from a recording.
#include <filesystem>
#include <fstream>

#include "base/json.h"
#include "base/random.h"
#include "models/gateway/testing.h"

namespace ez::models::testing {
namespace {

constexpr char kChatAnswer[] =
    R"({"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"m","choices":[{"index":0,)"
    R"("message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],)"
    R"("usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}})";
constexpr char kMessage[] =
    R"({"model":"m","max_tokens":100,"messages":[{"role":"user","content":"Hello"}]})";

std::string chat_piece(const std::string& delta, const std::string& finish, const std::string& usage = "") {
  return R"(data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[)" +
         (delta.empty() ? std::string()
                        : R"({"index":0,"delta":)" + delta + R"(,"finish_reason":)" + finish + "}") +
         "]" + (usage.empty() ? "" : R"(,"usage":)" + usage) + "}\n\n";
}

class Routes : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "ez-routes-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder = pattern;
  }
  void TearDown() override {
    gateway.reset();
    std::filesystem::remove_all(folder);
  }
  void start(const std::string& url, Dialect dialect, CassetteMode mode = CassetteMode::kOff) {
    gateway.reset();
    GatewayOptions options;
    Provider provider;
    provider.name = "one";
    provider.base_url = url;
    provider.dialects = {dialect};
    provider.keys = {{"one-1", "sk-one-secret"}};
    provider.models = {"m"};
    provider.free = true;
    options.config.providers = {provider};
    options.config.prices = std::make_shared<const PriceTable>(PriceTable::builtin());
    options.config.cassette_mode = mode;
    options.config.cassette_file = folder + "/cassette.jsonl";
    auto started = Gateway::start(std::move(options), bank, system_clock(), random, registry, nullptr);
    ASSERT_TRUE(started.ok()) << started.error().to_string();
    gateway = std::move(started).value();
    LeaseInfo info;
    info.fence = Fence{++fence};
    info.run = RunId{fence};
    bank.add(info);
    gateway->ledger().open(Fence{fence}, [&](Result<AccountPtr> opened) { account = *opened; });
  }
  std::shared_ptr<TestClient> call(Endpoint endpoint, const std::string& body) {
    auto client = std::make_shared<TestClient>();
    CallRequest request;
    request.endpoint = endpoint;
    request.body = body;
    request.account = account;
    request.id = "req-1";
    (void)gateway->start(std::move(request), client);
    EXPECT_TRUE(client->wait());
    return client;
  }

  std::string folder;
  telemetry::Registry registry;
  SeededRandom random{7};
  MemoryBank bank;
  std::unique_ptr<Gateway> gateway;
  AccountPtr account;
  std::uint64_t fence = 0;
};

TEST_F(Routes, AClientOfOneDialectIsServedByAModelOfTheOther) {
  std::string seen;
  TestUpstream upstream([&](UpstreamCall& request) {
    seen = request.head() + request.body();
    request.answer(200, kChatAnswer);
  });
  start(upstream.url(), Dialect::kOpenAiChat);
  const auto client = call(Endpoint::kMessages, kMessage);
  EXPECT_EQ(client->status, 200) << client->body;
  EXPECT_NE(seen.find("POST /v1/chat/completions"), std::string::npos) << seen;
  EXPECT_NE(seen.find("Authorization: Bearer sk-one-secret"), std::string::npos);
  const Value answer = *parse_json(client->body);
  EXPECT_EQ(answer.string_or("type", ""), "message");
  EXPECT_EQ(answer.find("content")->as_list().at(0).string_or("text", ""), "Hi");
  EXPECT_EQ(answer.string_or("stop_reason", ""), "end_turn");
  EXPECT_EQ(answer.find("usage")->int_or("input_tokens", 0), 7);
  gateway->stop();
  EXPECT_EQ(bank.rows().at(0).sum.output_tokens, 5U);
}

TEST_F(Routes, AStreamIsTranslatedPieceByPiece) {
  TestUpstream upstream([&](UpstreamCall& request) {
    request.begin_stream();
    request.chunk(chat_piece(R"({"role":"assistant","content":""})", "null"));
    request.chunk(chat_piece(R"({"content":"Hel"})", "null") + chat_piece(R"({"content":"lo"})", "null"));
    request.chunk(chat_piece("{}", "\"stop\"") +
                  chat_piece("", "", R"({"prompt_tokens":7,"completion_tokens":5,"total_tokens":12})") +
                  "data: [DONE]\n\n");
    request.end_stream();
  });
  start(upstream.url(), Dialect::kOpenAiChat);
  const auto client =
      call(Endpoint::kMessages,
           R"({"model":"m","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"Hello"}]})");
  EXPECT_TRUE(client->streamed);
  for (const char* event : {"event: message_start", "event: content_block_start", "event: message_stop"}) {
    EXPECT_NE(client->body.find(event), std::string::npos) << client->body;
  }
  EXPECT_NE(client->body.find("Hel"), std::string::npos);
  gateway->stop();
  EXPECT_EQ(bank.rows().at(0).sum.input_tokens, 7U);
  EXPECT_EQ(bank.rows().at(0).sum.failed, 0U);
}

// The gateway asks for usage in every stream; the chunk that has it, and no choices, is for those who asked.
TEST_F(Routes, UsageGoesToClientsThatAskedForIt) {
  TestUpstream upstream([&](UpstreamCall& request) {
    EXPECT_NE(request.body().find(R"("include_usage":true)"), std::string::npos);
    request.begin_stream();
    request.chunk(chat_piece(R"({"role":"assistant","content":"Hello"})", "null") +
                  chat_piece("{}", "\"stop\""));
    request.chunk("data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,");
    request.chunk("\"completion_tokens\":5,\"total_tokens\":12}}\n\ndata: [DONE]\n\n");
    request.end_stream();
  });
  start(upstream.url(), Dialect::kOpenAiChat);
  const std::string ask = R"("model":"m","stream":true,"messages":[{"role":"user","content":"Hello"}])";
  const auto plain = call(Endpoint::kChat, "{" + ask + "}");
  EXPECT_NE(plain->body.find("Hello"), std::string::npos);
  EXPECT_EQ(plain->body.find("prompt_tokens"), std::string::npos) << plain->body;
  EXPECT_TRUE(plain->body.ends_with("data: [DONE]\n\n")) << plain->body;
  const auto asked = call(Endpoint::kChat, "{" + ask + R"(,"stream_options":{"include_usage":true}})");
  EXPECT_NE(asked->body.find("prompt_tokens"), std::string::npos);
  EXPECT_EQ(asked->header("ez-dropped"), "");
}

TEST_F(Routes, WhatTheProviderIsNotToldIsNamed) {
  TestUpstream upstream([&](UpstreamCall& request) {
    EXPECT_EQ(request.body().find("top_k"), std::string::npos);
    request.answer(200, kChatAnswer);
  });
  start(upstream.url(), Dialect::kOpenAiChat);
  const auto client = call(Endpoint::kMessages, R"({"model":"m","max_tokens":100,"top_k":5,
    "metadata":{"user_id":"u"},"messages":[{"role":"user","content":"Hello"}]})");
  EXPECT_EQ(client->status, 200) << client->body;
  EXPECT_EQ(client->header("ez-dropped"), "top_k, user");
}

TEST_F(Routes, ACutStreamOfTheOtherDialectEndsWithAnErrorToo) {
  TestUpstream upstream([&](UpstreamCall& request) {
    request.begin_stream();
    request.chunk(chat_piece(R"({"role":"assistant","content":"Hel"})", "null"));
    request.cut();
  });
  start(upstream.url(), Dialect::kOpenAiChat);
  const auto client =
      call(Endpoint::kMessages,
           R"({"model":"m","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"Hello"}]})");
  EXPECT_NE(client->body.find("event: error"), std::string::npos) << client->body;
}

TEST_F(Routes, ErrorsAreTranslated) {
  TestUpstream upstream([&](UpstreamCall& request) {
    request.answer(400,
                   R"({"type":"error","error":{"type":"invalid_request_error","message":"no such tool"}})");
  });
  start(upstream.url(), Dialect::kAnthropicMessages);
  const auto client =
      call(Endpoint::kChat, R"({"model":"m","messages":[{"role":"user","content":"Hello"}]})");
  EXPECT_EQ(client->status, 400);
  const Value answer = *parse_json(client->body);
  ASSERT_NE(answer.find("error"), nullptr);
  EXPECT_NE(answer.find("error")->string_or("message", "").find("no such tool"), std::string_view::npos);
}

TEST_F(Routes, TokensAreCountedHereWhereTheProviderCannot) {
  TestUpstream upstream([&](UpstreamCall& request) { request.answer(500, ""); });
  start(upstream.url(), Dialect::kOpenAiChat);
  const auto client =
      call(Endpoint::kCountTokens, R"({"model":"m","messages":[{"role":"user","content":"Hello"}]})");
  EXPECT_EQ(client->status, 200) << client->body;
  EXPECT_GT(parse_json(client->body)->int_or("input_tokens", 0), 0);
  EXPECT_EQ(upstream.requests(), 0);
}

TEST_F(Routes, EmbeddingsGoOnAsTheyAre) {
  constexpr char kEmbeddings[] =
      R"({"object":"list","data":[],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}})";
  TestUpstream upstream([&](UpstreamCall& request) { request.answer(200, kEmbeddings); });
  start(upstream.url(), Dialect::kOpenAiChat);
  const auto client = call(Endpoint::kEmbeddings, R"({"model":"m","input":["a","b"]})");
  EXPECT_EQ(client->body, kEmbeddings);
  gateway->stop();
  EXPECT_EQ(bank.rows().at(0).sum.input_tokens, 3U);
}

TEST_F(Routes, WhatWasRecordedIsReplayedWithoutAProvider) {
  const std::string stream_ask =
      R"({"model":"m","stream":true,"messages":[{"role":"user","content":"Hello"}]})";
  const std::string pieces = chat_piece(R"({"role":"assistant","content":"Hi"})", "null") +
                             chat_piece("{}", "\"stop\"") + "data: [DONE]\n\n";
  TestUpstream upstream([&](UpstreamCall& request) {
    if (request.body().find("\"stream\":true") == std::string::npos) {
      request.answer(200, kChatAnswer);
      return;
    }
    request.begin_stream();
    request.chunk(pieces);
    request.end_stream();
  });
  const std::string ask = R"({"model":"m","messages":[{"role":"user","content":"Hello"}]})";
  start(upstream.url(), Dialect::kOpenAiChat, CassetteMode::kRecord);
  const auto recorded = call(Endpoint::kChat, ask);
  const auto streamed = call(Endpoint::kChat, stream_ask);
  EXPECT_EQ(recorded->status, 200) << recorded->body;
  EXPECT_EQ(recorded->header("ez-replayed"), "");
  const int asked = upstream.requests();

  start(upstream.url(), Dialect::kOpenAiChat, CassetteMode::kStrict);
  const auto replayed = call(Endpoint::kChat, ask);
  EXPECT_EQ(replayed->status, 200) << replayed->body;
  EXPECT_EQ(replayed->body, recorded->body);
  EXPECT_EQ(replayed->header("ez-replayed"), "true");
  const auto again = call(Endpoint::kChat, stream_ask);
  EXPECT_TRUE(again->streamed);
  EXPECT_EQ(again->body, streamed->body);
  const auto unknown = call(Endpoint::kChat, R"({"model":"m","messages":[{"role":"user","content":"Bye"}]})");
  EXPECT_GE(unknown->status, 400);
  EXPECT_NE(unknown->body.find("CASSETTE_MISS"), std::string::npos) << unknown->body;
  EXPECT_EQ(upstream.requests(), asked) << "a provider was asked";
  gateway->stop();
  int marked = 0;
  for (const UsageRow& row : bank.rows()) marked += row.key.replayed ? 1 : 0;
  EXPECT_GE(marked, 1);
  std::ifstream file(folder + "/cassette.jsonl");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_EQ(text.find("sk-one-secret"), std::string::npos);
}

// As agents do: whoever has the last event needs nothing more, and closes.
TEST_F(Routes, AClientThatLeavesWithTheLastEventIsRecordedToo) {
  const std::string pieces = chat_piece(R"({"role":"assistant","content":"Hi"})", "null") +
                             chat_piece("{}", "\"stop\"") +
                             chat_piece("", "", R"({"prompt_tokens":7,"completion_tokens":5})") +
                             "data: [DONE]\n\n";
  TestUpstream upstream([&](UpstreamCall& request) {
    request.begin_stream();
    request.chunk(pieces);
    if (request.body().find("Hello") == std::string::npos) {
      request.end_stream();
      return;
    }
    request.wait_for_close();
    request.cut();
  });
  const auto ask = [](const std::string& words) {
    return R"({"model":"m","max_tokens":100,"stream":true,"messages":[{"role":"user","content":")" + words +
           R"("}]})";
  };
  start(upstream.url(), Dialect::kOpenAiChat, CassetteMode::kRecord);
  const auto client = std::make_shared<TestClient>();
  CallRequest request;
  request.endpoint = Endpoint::kMessages;
  request.body = ask("Hello");
  request.account = account;
  request.id = "req-1";
  const auto handle = gateway->start(std::move(request), client);
  ASSERT_TRUE(client->wait_for("message_stop"));
  handle->cancel();
  (void)call(Endpoint::kMessages, ask("What comes next"));  // behind the cancel
  gateway->stop();
  std::uint64_t failed = 0, output = 0;
  for (const UsageRow& row : bank.rows()) {
    failed += row.sum.failed;
    output += row.sum.output_tokens;
  }
  EXPECT_EQ(failed, 0U);
  EXPECT_EQ(output, 10U);

  start(upstream.url(), Dialect::kOpenAiChat, CassetteMode::kStrict);
  const auto replayed = call(Endpoint::kMessages, ask("Hello"));
  EXPECT_EQ(replayed->status, 200) << replayed->body;
  EXPECT_EQ(replayed->body, client->body);
}

}  // namespace
}  // namespace ez::models::testing
