// The gateway against a provider that behaves, and against one that does not.
#include <latch>

#include "base/json.h"
#include "base/random.h"
#include "models/dialect/dialect.h"
#include "models/dialect/estimate.h"
#include "models/gateway/testing.h"
#include "telemetry/redact.h"

namespace ez::models::testing {
namespace {

// A dollar a million tokens of input, ten of output.
std::string price(const std::string& provider) {
  return R"({"provider":")" + provider + R"(","model":"claude-test","input":1000000,"output":10000000,)" +
         R"("max_output_tokens":1000})";
}

constexpr char kAsk[] =
    R"({"model":"claude-test","max_tokens":100,"messages":[{"role":"user","content":"Hello"}]})";
constexpr char kAskStream[] = R"({"model":"claude-test","max_tokens":100,"stream":true,)"
                              R"("messages":[{"role":"user","content":"Hello"}]})";
constexpr std::int64_t kCost = 57;  // 7 tokens of input, 5 of output

std::string answer(const std::string& usage) {
  return R"({"id":"msg_1","type":"message","role":"assistant","model":"claude-test",)"
         R"("content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":)" +
         usage + "}";
}
const std::string kAnswer = answer(R"({"input_tokens":7,"output_tokens":5})");

std::string sse(const std::string& event, const std::string& data) {
  return "event: " + event + "\ndata: " + data + "\n\n";
}
std::string stream_start() {
  return sse("message_start",
             R"({"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",)"
             R"("model":"claude-test","content":[],"stop_reason":null,"stop_sequence":null,)"
             R"("usage":{"input_tokens":7,"output_tokens":1}}})") +
         sse("content_block_start",
             R"({"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})");
}
std::string stream_delta(const std::string& text) {
  return sse(
      "content_block_delta",
      R"({"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":")" + text + "\"}}");
}
std::string stream_end() {
  return sse("content_block_stop", R"({"type":"content_block_stop","index":0})") +
         sse("message_delta",
             R"({"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},)"
             R"("usage":{"output_tokens":5}})") +
         sse("message_stop", R"({"type":"message_stop"})");
}

class GatewayTest : public ::testing::Test {
 protected:
  // A provider of that name at the upstream, with that many keys.
  static Provider provider(const std::string& name, const TestUpstream& upstream, int keys) {
    Provider out;
    out.name = name;
    out.base_url = upstream.url();
    out.dialects = {Dialect::kAnthropicMessages};
    for (int i = 1; i <= keys; ++i) {
      out.keys.push_back({name + "-" + std::to_string(i), "sk-" + name + "-secret-" + std::to_string(i)});
    }
    if (name == "one") out.models = {"claude-*"};
    return out;
  }
  void start(std::vector<Provider> providers, std::function<void(ModelsConfig&)> change = nullptr) {
    GatewayOptions options;
    options.config.providers = std::move(providers);
    auto prices =
        PriceTable::parse(R"({"dated":"2026-11-22","models":[)" + price("one") + "," + price("two") + "]}");
    ASSERT_TRUE(prices.ok()) << prices.error().to_string();
    options.config.prices = std::make_shared<const PriceTable>(std::move(prices).value());
    if (change) change(options.config);
    auto started = Gateway::start(std::move(options), bank, system_clock(), random, registry, &redactor);
    ASSERT_TRUE(started.ok()) << started.error().to_string();
    gateway = std::move(started).value();
  }
  AccountPtr lease(std::uint64_t fence, std::int64_t limit_microusd = -1) {
    LeaseInfo info;
    info.fence = Fence{fence};
    info.run = RunId{1};
    info.task = "a";
    info.agent_type = "claude";
    info.limit_microusd = limit_microusd;
    bank.add(info);
    AccountPtr account;
    gateway->ledger().open(Fence{fence}, [&](Result<AccountPtr> opened) { account = *opened; });
    return account;
  }
  std::shared_ptr<TestClient> call(const AccountPtr& account, const std::string& body = kAsk,
                                   Endpoint endpoint = Endpoint::kMessages) {
    auto client = std::make_shared<TestClient>();
    CallRequest request;
    request.endpoint = endpoint;
    request.body = body;
    request.account = account;
    request.id = "req-1";
    handle = gateway->start(std::move(request), client);
    return client;
  }
  // Everything is recorded; the sum over the rows.
  UsageSum settled() {
    gateway->stop();
    UsageSum sum;
    for (const UsageRow& row : bank.rows()) sum.add(row.sum);
    return sum;
  }
  // The most that kAsk may cost: its input by bytes, 100 tokens of output.
  std::int64_t upper() {
    ChatRequest request = *parse_request(Dialect::kAnthropicMessages, kAsk);
    return estimate_request(request).input_upper + 100 * 10;
  }

  telemetry::Registry registry;
  telemetry::Redactor redactor;
  SeededRandom random{7};
  MemoryBank bank;
  std::unique_ptr<Gateway> gateway;
  std::shared_ptr<CallHandle> handle;
};

TEST_F(GatewayTest, TheBytesOfAnAnswerAreHandedOnAndCounted) {
  std::string seen, head;
  TestUpstream upstream([&](UpstreamCall& request) {
    seen = request.body();
    head = request.head();
    request.answer(200, kAnswer, "request-id: req_up\r\n");
  });
  start({provider("one", upstream, 1)});
  const auto client = call(lease(5, 1'000'000));
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->status, 200);
  EXPECT_EQ(client->body, kAnswer);
  EXPECT_EQ(client->header("ez-provider"), "one");
  EXPECT_EQ(client->header("ez-provider-request-id"), "req_up");
  EXPECT_EQ(seen, kAsk);
  EXPECT_NE(head.find("x-api-key: sk-one-secret-1"), std::string::npos) << head;
  EXPECT_NE(head.find("anthropic-version: 2023-06-01"), std::string::npos) << head;
  EXPECT_NE(head.find("POST /v1/messages HTTP/1.1"), std::string::npos) << head;
  const UsageSum sum = settled();
  EXPECT_EQ(sum.calls, 1U);
  EXPECT_EQ(sum.failed, 0U);
  EXPECT_EQ(sum.input_tokens, 7U);
  EXPECT_EQ(sum.output_tokens, 5U);
  EXPECT_EQ(sum.microusd, kCost);
  EXPECT_EQ(bank.rows().at(0).key.key, "one-1");
  EXPECT_EQ(bank.draws(), 1);
}

TEST_F(GatewayTest, AStreamIsHandedOnAsItComes) {
  std::latch go_on(1);
  TestUpstream upstream([&](UpstreamCall& request) {
    request.begin_stream();
    request.chunk(stream_start() + stream_delta("one "));
    go_on.wait();
    request.chunk(stream_delta("two") + stream_end());
    request.end_stream();
  });
  start({provider("one", upstream, 1)});
  const auto client = call(lease(5, 1'000'000), kAskStream);
  ASSERT_TRUE(client->wait_for("one "));  // long before the end
  go_on.count_down();
  ASSERT_TRUE(client->wait());
  EXPECT_TRUE(client->streamed);
  EXPECT_EQ(client->body, stream_start() + stream_delta("one ") + stream_delta("two") + stream_end());
  EXPECT_EQ(settled().microusd, kCost);
}

TEST_F(GatewayTest, AClientThatTakesNoMorePausesItsProviderAndGetsEverything) {
  std::string whole;
  for (int i = 0; i < 200; ++i) whole += stream_delta(std::string(1000, 'x'));
  TestUpstream upstream([&](UpstreamCall& request) {
    request.begin_stream();
    request.chunk(stream_start());
    request.chunk(whole);
    request.chunk(stream_end());
    request.end_stream();
  });
  start({provider("one", upstream, 1)});
  auto client = std::make_shared<TestClient>();
  client->fill(true);
  CallRequest request;
  request.body = kAskStream;
  request.account = lease(5);
  request.id = "req-1";
  handle = gateway->start(std::move(request), client);
  ASSERT_TRUE(client->wait_refused());
  client->fill(false);
  handle->drained();
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->body, stream_start() + whole + stream_end());
  EXPECT_EQ(settled().microusd, kCost);
}

TEST_F(GatewayTest, AKeyThatHasToWaitRestsAndTheNextOneGoes) {
  for (const bool with_headers : {true, false}) {
    SCOPED_TRACE(with_headers);
    bank.clear();
    TestUpstream upstream([&](UpstreamCall& request) {
      if (request.has("secret-1")) {
        request.answer(429, R"({"type":"error","error":{"type":"rate_limit_error","message":"slow down"}})",
                       with_headers ? "retry-after: 600\r\n" : "");
      } else {
        request.answer(200, kAnswer);
      }
    });
    start({provider("one", upstream, 2)});
    const AccountPtr account = lease(5, 1'000'000);
    const auto first = call(account);
    ASSERT_TRUE(first->wait());
    EXPECT_EQ(first->status, 200);
    EXPECT_EQ(upstream.requests(), 2);
    if (with_headers) {
      const auto second = call(account);
      ASSERT_TRUE(second->wait());
      EXPECT_EQ(upstream.requests(), 3) << "the first key is left alone";
      EXPECT_TRUE(gateway->figures().at(0).keys.at(0).resting);
    }
    EXPECT_EQ(settled().microusd, with_headers ? 2 * kCost : kCost);
  }
}

TEST_F(GatewayTest, WithoutAnotherKeyTheCallWaitsAsLongAsItIsTold) {
  std::atomic<int> calls{0};
  TestUpstream upstream([&](UpstreamCall& request) {
    if (++calls == 1) {
      request.answer(429, "{}", "retry-after-ms: 50\r\n");
    } else {
      request.answer(200, kAnswer);
    }
  });
  start({provider("one", upstream, 1)});
  const auto client = call(lease(5, 1'000'000));
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->status, 200);
  EXPECT_EQ(settled().microusd, kCost);
}

TEST_F(GatewayTest, AWaitThatIsTooLongIsToldToTheClientWhoIsNotToTryAgain) {
  TestUpstream upstream([](UpstreamCall& request) { request.answer(429, "{}", "retry-after: 3600\r\n"); });
  start({provider("one", upstream, 1)});
  const auto client = call(lease(5, 1'000'000));
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->status, 429);
  EXPECT_EQ(client->header("x-should-retry"), "false");
  EXPECT_EQ(settled().microusd, 0);
}

TEST_F(GatewayTest, AnOverloadedProviderIsAskedAgain) {
  std::atomic<int> calls{0};
  TestUpstream upstream([&](UpstreamCall& request) {
    if (++calls == 1) {
      request.answer(529, R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})",
                     "retry-after-ms: 20\r\n");
    } else {
      request.answer(200, kAnswer);
    }
  });
  start({provider("one", upstream, 1)});
  const auto client = call(lease(5, 1'000'000));
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->status, 200) << client->body;
  EXPECT_EQ(calls, 2);
}

TEST_F(GatewayTest, AnErrorInPlaceOfAStreamIsAskedAgainToo) {
  std::atomic<int> calls{0};
  TestUpstream upstream([&](UpstreamCall& request) {
    request.begin_stream();
    if (++calls == 1) {
      request.chunk(
          sse("error", R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})"));
    } else {
      request.chunk(stream_start() + stream_end());
    }
    request.end_stream();
  });
  start({provider("one", upstream, 1)});
  const auto client = call(lease(5, 1'000'000), kAskStream);
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->body, stream_start() + stream_end());
}

TEST_F(GatewayTest, ATargetThatFailsIsReplacedByTheNext) {
  TestUpstream broken([](UpstreamCall& request) { request.answer(500, "<html>no</html>", "", "text/html"); });
  TestUpstream whole([](UpstreamCall& request) { request.answer(200, kAnswer); });
  start({provider("one", broken, 1), provider("two", whole, 1)}, [](ModelsConfig& config) {
    config.names.push_back({"fast", {{"one", "claude-test"}, {"two", "claude-test"}}});
  });
  const auto client = call(lease(5, 1'000'000),
                           R"({"model":"fast","max_tokens":100,"messages":[{"role":"user","content":"x"}]})");
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->status, 200);
  EXPECT_EQ(client->header("ez-provider"), "two");
  EXPECT_EQ(settled().microusd, kCost);
  EXPECT_EQ(bank.rows().at(0).key.provider, "two");
}

TEST_F(GatewayTest, AProviderThatOnlyFailsIsLeftAloneAfterAWhile) {
  TestUpstream upstream([](UpstreamCall& request) { request.answer(500, "{}"); });
  start({provider("one", upstream, 1)}, [](ModelsConfig& config) {
    config.max_attempts = 1;
    config.max_wait = std::chrono::milliseconds(1);
  });
  const AccountPtr account = lease(5, 1'000'000);
  for (int i = 0; i < 8; ++i) {
    const auto client = call(account);
    ASSERT_TRUE(client->wait());
    EXPECT_GE(client->status, 429);
    EXPECT_EQ(client->header("x-should-retry"), "false");
  }
  EXPECT_EQ(upstream.requests(), 5) << "the breaker opened after five failures";
  EXPECT_TRUE(gateway->figures().at(0).open);
  EXPECT_EQ(settled().microusd, 0);
}

TEST_F(GatewayTest, AKeyThatIsNotAcceptedIsNeverShown) {
  TestUpstream upstream([](UpstreamCall& request) {
    request.answer(
        401,
        R"({"type":"error","error":{"type":"authentication_error","message":"bad key sk-one-secret-1"}})");
  });
  start({provider("one", upstream, 1)},
        [](ModelsConfig& config) { config.max_wait = std::chrono::milliseconds(1); });
  const auto client = call(lease(5, 1'000'000));
  ASSERT_TRUE(client->wait());
  EXPECT_GE(client->status, 400);
  EXPECT_EQ(client->body.find("secret"), std::string::npos) << client->body;
}

TEST_F(GatewayTest, AStreamThatIsCutEndsWithAnErrorAndCostsWhatItMayHave) {
  TestUpstream upstream([](UpstreamCall& request) {
    request.begin_stream();
    request.chunk(stream_start() + stream_delta("half"));
    request.cut();
  });
  start({provider("one", upstream, 1)});
  const auto client = call(lease(5, 1'000'000), kAskStream);
  ASSERT_TRUE(client->wait());
  EXPECT_TRUE(client->body.starts_with(stream_start() + stream_delta("half")));
  EXPECT_NE(client->body.find("event: error"), std::string::npos) << client->body;
  const UsageSum sum = settled();
  EXPECT_EQ(sum.failed, 1U);
  // The input is known, all of the output may have been made.
  EXPECT_EQ(sum.microusd, 7 + 100 * 10);
}

TEST_F(GatewayTest, AStreamThatStopsComingIsGivenUp) {
  TestUpstream upstream([](UpstreamCall& request) {
    request.begin_stream();
    request.chunk(stream_start());
    request.wait_for_close();
    request.cut();
  });
  Provider slow = provider("one", upstream, 1);
  slow.timeouts.silence = std::chrono::milliseconds(100);
  start({slow});
  const auto client = call(lease(5, 1'000'000), kAskStream);
  ASSERT_TRUE(client->wait());
  EXPECT_NE(client->body.find("event: error"), std::string::npos) << client->body;
  EXPECT_EQ(settled().microusd, 7 + 100 * 10);
}

TEST_F(GatewayTest, AProviderThatNeverAnswersIsGivenUpAndCostsWhatItMayHave) {
  TestUpstream upstream([](UpstreamCall& request) {
    request.wait_for_close();
    request.cut();
  });
  Provider slow = provider("one", upstream, 1);
  slow.timeouts.first_byte = std::chrono::milliseconds(100);
  start({slow}, [](ModelsConfig& config) { config.max_attempts = 1; });
  const auto client = call(lease(5, 1'000'000));
  ASSERT_TRUE(client->wait());
  EXPECT_GE(client->status, 500);
  EXPECT_EQ(settled().microusd, upper());
}

TEST_F(GatewayTest, AnAnswerThatCannotBeReadIsAnErrorAndCostsWhatItMayHave) {
  TestUpstream upstream(
      [](UpstreamCall& request) { request.answer(200, R"({"id":"msg_1","content":[{"ty)"); });
  start({provider("one", upstream, 1)}, [](ModelsConfig& config) { config.max_attempts = 1; });
  const auto client = call(lease(5, 1'000'000));
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->status, 502) << client->body;
  EXPECT_EQ(settled().microusd, upper());
}

TEST_F(GatewayTest, UsageThatCannotBeIsNotBelieved) {
  for (const char* usage : {R"({"input_tokens":1000000000000000,"output_tokens":9000000000000000000})",
                            R"({"input_tokens":-5,"output_tokens":-1000000})", R"({})"}) {
    SCOPED_TRACE(usage);
    bank.clear();
    TestUpstream upstream([&](UpstreamCall& request) { request.answer(200, answer(usage)); });
    start({provider("one", upstream, 1)}, [](ModelsConfig& config) { config.max_attempts = 1; });
    const auto client = call(lease(5, 1'000'000));
    ASSERT_TRUE(client->wait());
    const UsageSum sum = settled();
    EXPECT_GE(sum.microusd, 0);
    EXPECT_LE(sum.microusd, upper());
  }
}

TEST_F(GatewayTest, AHugeAnswerIsCutOff) {
  TestUpstream upstream([](UpstreamCall& request) {
    const std::string piece(1 << 20, 'x');
    request.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9000000000\r\n\r\n");
    while (request.send(piece)) {
    }
    request.cut();
  });
  start({provider("one", upstream, 1)}, [](ModelsConfig& config) { config.max_attempts = 1; });
  const auto client = call(lease(5, 1'000'000));
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->status, 502) << client->body;
  EXPECT_EQ(settled().microusd, upper());
}

TEST_F(GatewayTest, EndlessCallsOfToolsAreCutOff) {
  TestUpstream upstream([](UpstreamCall& request) {
    request.begin_stream();
    bool open = request.chunk(stream_start());
    for (int i = 1; open; ++i) {
      const std::string index = std::to_string(i);
      open = request.chunk(
          sse("content_block_start", R"({"type":"content_block_start","index":)" + index +
                                         R"(,"content_block":{"type":"tool_use","id":"t)" + index +
                                         R"(","name":"read","input":{}}})") +
          sse("content_block_delta", R"({"type":"content_block_delta","index":)" + index +
                                         R"(,"delta":{"type":"input_json_delta","partial_json":")" +
                                         std::string(4000, 'x') + "\"}}") +
          sse("content_block_stop", R"({"type":"content_block_stop","index":)" + index + "}"));
    }
    request.cut();
  });
  start({provider("one", upstream, 1)});
  const auto client = call(lease(5, 1'000'000), kAskStream);
  ASSERT_TRUE(client->wait());
  EXPECT_LT(client->body.size(), 4U << 20);
  EXPECT_NE(client->body.find("event: error"), std::string::npos);
  EXPECT_EQ(settled().microusd, 7 + 100 * 10);
}

TEST_F(GatewayTest, AtTheEdgeOfABudgetAHundredCallsNeverOverspend) {
  // Each call costs its whole bound, and only ten fit.
  const std::int64_t each = upper();
  TestUpstream upstream([](UpstreamCall& request) {
    request.answer(200, answer(R"({"input_tokens":1000000,"output_tokens":100})"));
  });
  start({provider("one", upstream, 3)});
  const std::int64_t limit = each * 10 + each / 2;
  const AccountPtr account = lease(5, limit);
  std::vector<std::shared_ptr<TestClient>> clients(100);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = t; i < 100; i += 4) {
        auto client = std::make_shared<TestClient>();
        clients[static_cast<std::size_t>(i)] = client;
        CallRequest request;
        request.body = kAsk;
        request.account = account;
        request.id = std::to_string(i);
        (void)gateway->start(std::move(request), client);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  int good = 0, refused = 0;
  for (const auto& client : clients) {
    ASSERT_TRUE(client->wait());
    if (client->status == 200) {
      ++good;
    } else {
      EXPECT_NE(client->body.find("BUDGET_EXCEEDED"), std::string::npos) << client->body;
      ++refused;
    }
  }
  EXPECT_EQ(good, 10);
  EXPECT_EQ(refused, 90);
  EXPECT_EQ(upstream.requests(), 10);
  EXPECT_EQ(settled().microusd, each * 10);
  EXPECT_LE(bank.end(Fence{5}), limit);
}

TEST_F(GatewayTest, WhatCallsGiveBackServesThoseThatWait) {
  // The bound of one call fits once, what a call really costs many times.
  TestUpstream upstream([](UpstreamCall& request) { request.answer(200, kAnswer); });
  start({provider("one", upstream, 1)});
  const AccountPtr account = lease(5, upper() + 20 * kCost);
  std::vector<std::shared_ptr<TestClient>> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(call(account));
  for (const auto& client : clients) {
    ASSERT_TRUE(client->wait());
    EXPECT_EQ(client->status, 200) << client->body;
  }
  EXPECT_EQ(settled().microusd, 20 * kCost);
}

TEST_F(GatewayTest, WhenItsLeaseIsOverACallIsBrokenOff) {
  std::latch closed(1);
  TestUpstream upstream([&](UpstreamCall& request) {
    request.begin_stream();
    request.chunk(stream_start());
    request.wait_for_close();
    request.cut();
    closed.count_down();
  });
  start({provider("one", upstream, 1)});
  const AccountPtr account = lease(5, 1'000'000);
  const auto client = call(account, kAskStream);
  ASSERT_TRUE(client->wait_for("message_start"));
  gateway->ledger().close(Fence{5});
  ASSERT_TRUE(client->wait());
  closed.wait();
  EXPECT_EQ(bank.get(Fence{5}).left - bank.get(Fence{5}).open, 1'000'000 - 7 - 1000)
      << "it cost what it may have, the rest was given back";
  const auto late = call(account);
  ASSERT_TRUE(late->wait());
  EXPECT_NE(late->body.find("LEASE_STALE"), std::string::npos) << late->body;
}

TEST_F(GatewayTest, AClientThatLeavesTakesItsCallAlong) {
  std::latch closed(1);
  TestUpstream upstream([&](UpstreamCall& request) {
    request.begin_stream();
    request.chunk(stream_start());
    request.wait_for_close();
    request.cut();
    closed.count_down();
  });
  start({provider("one", upstream, 1)});
  const auto client = call(lease(5, 1'000'000), kAskStream);
  ASSERT_TRUE(client->wait_for("message_start"));
  handle->cancel();
  closed.wait();
  EXPECT_EQ(settled().microusd, 7 + 100 * 10);
}

TEST_F(GatewayTest, WhatATaskMayNotUseIsRefusedBeforeAnythingIsSent) {
  TestUpstream upstream([](UpstreamCall& request) { request.answer(200, kAnswer); });
  start({provider("one", upstream, 1)}, [](ModelsConfig& config) { config.agents["claude"] = {"other-*"}; });
  const auto client = call(lease(5, 1'000'000));
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->status, 403);
  EXPECT_NE(client->body.find("MODEL_NOT_ALLOWED"), std::string::npos) << client->body;
  const auto unknown =
      call(lease(6), R"({"model":"nobody","max_tokens":1,"messages":[{"role":"user","content":"x"}]})");
  ASSERT_TRUE(unknown->wait());
  EXPECT_EQ(unknown->status, 404);
  EXPECT_EQ(upstream.requests(), 0);
}

TEST_F(GatewayTest, ABudgetThatDoesNotSufficeStopsTheCallAtOnce) {
  TestUpstream upstream([](UpstreamCall& request) { request.answer(200, kAnswer); });
  start({provider("one", upstream, 1)});
  const auto client = call(lease(5, 100));
  ASSERT_TRUE(client->wait());
  EXPECT_NE(client->body.find("BUDGET_EXCEEDED"), std::string::npos) << client->body;
  EXPECT_EQ(client->header("x-should-retry"), "false");
  EXPECT_EQ(upstream.requests(), 0);
  EXPECT_EQ(settled().microusd, 0);
}

TEST_F(GatewayTest, AnAnswerIsMadeShorterBeforeItIsRefused) {
  std::string seen;
  TestUpstream upstream([&](UpstreamCall& request) {
    seen = request.body();
    request.answer(200, kAnswer);
  });
  start({provider("one", upstream, 1)});
  const auto client =
      call(lease(5, 20'000),
           R"({"model":"claude-test","max_tokens":100000,"messages":[{"role":"user","content":"Hello"}]})");
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->status, 200) << client->body;
  EXPECT_EQ(client->header("ez-max-tokens"), "1562");
  EXPECT_EQ(seen,
            R"({"model":"claude-test","max_tokens":1562,"messages":[{"role":"user","content":"Hello"}]})");
  EXPECT_EQ(settled().microusd, kCost);
}

}  // namespace
}  // namespace ez::models::testing
