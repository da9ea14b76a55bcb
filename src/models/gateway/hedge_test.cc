// A second request for a call that is slow to begin: who answers first is used, everything is paid for,
// nothing is paid twice, and the money and the share hold.
#include <unistd.h>

#include <filesystem>
#include <latch>
#include <set>

#include "base/random.h"
#include "models/dialect/estimate.h"
#include "models/gateway/testing.h"

namespace ez::models::testing {
namespace {

constexpr char kHedgeAsk[] =
    R"({"model":"claude-test","max_tokens":100,"messages":[{"role":"user","content":"Hello"}]})";
constexpr std::int64_t kHedgeCost = 57;  // 7 tokens of input, 5 of output
constexpr char kHedgeAnswer[] =
    R"({"id":"m","type":"message","role":"assistant","model":"claude-test",)"
    R"("content":[{"type":"text","text":"Hi"}],)"
    R"("stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":7,"output_tokens":5}})";
constexpr char kHedgePrices[] = R"({"dated":"2026-11-22","models":[{"provider":"one","model":"claude-test",)"
                                R"("input":1000000,"output":10000000,)"
                                R"("max_output_tokens":1000}]})";

// The machine's clock, until it is held.
class HeldClock final : public Clock {
 public:
  std::int64_t now_ms() override { return system_clock().now_ms(); }
  std::int64_t monotonic_us() override {
    const std::int64_t held = held_us_;
    return held != 0 ? held : system_clock().monotonic_us();
  }
  void hold() { held_us_ = system_clock().monotonic_us(); }
  void release() { held_us_ = 0; }

 private:
  std::atomic<std::int64_t> held_us_{0};
};

class HedgeTest : public ::testing::Test {
 protected:
  void TearDown() override {
    gateway.reset();
    if (!cassette.empty()) std::filesystem::remove(cassette);
  }
  void start(const TestUpstream& upstream, int keys = 2, std::int64_t permille = 1'000,
             CassetteMode mode = CassetteMode::kOff) {
    gateway.reset();
    Provider one;
    one.name = "one";
    one.base_url = upstream.url();
    one.dialects = {Dialect::kAnthropicMessages};
    one.models = {"claude-*"};
    for (int i = 1; i <= keys; ++i)
      one.keys.push_back({"one-" + std::to_string(i), "sk-one-secret-" + std::to_string(i)});
    GatewayOptions options;
    options.config.providers = {one};
    options.config.prices = std::make_shared<const PriceTable>(*PriceTable::parse(kHedgePrices));
    options.config.hedge_after = std::chrono::milliseconds(20);
    options.config.hedge_max_permille = permille;
    options.config.cassette_mode = mode;
    options.config.cassette_file = cassette;
    auto started = Gateway::start(std::move(options), bank, clock, random, registry, nullptr);
    ASSERT_TRUE(started.ok()) << started.error().to_string();
    gateway = std::move(started).value();
  }
  AccountPtr lease(std::int64_t limit_microusd = 1'000'000, Fence fence = Fence{5}) {
    LeaseInfo info;
    info.fence = fence;
    info.run = RunId{1};
    info.task = "a";
    info.limit_microusd = limit_microusd;
    bank.add(info);
    AccountPtr account;
    gateway->ledger().open(fence, [&](Result<AccountPtr> opened) { account = *opened; });
    return account;
  }
  // The second key's request is answered, the first one's hangs until it is given up.
  static void second_answers(UpstreamCall& request) {
    if (request.has("secret-2")) {
      request.answer(200, kHedgeAnswer);
      return;
    }
    request.wait_for_close();
    request.cut();
  }
  // `words`: as many as "Hello" has, so that every call has the same bound.
  std::shared_ptr<TestClient> call(const AccountPtr& account, bool stream = false,
                                   const std::string& words = "Hello") {
    auto client = std::make_shared<TestClient>();
    CallRequest request;
    request.body = kHedgeAsk;
    request.body.replace(request.body.find("Hello"), 5, words);
    if (stream) request.body.insert(1, R"("stream":true,)");
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
  std::int64_t upper() {
    return estimate_request(*parse_request(Dialect::kAnthropicMessages, kHedgeAsk)).input_upper + 100 * 10;
  }
  void await_text(const std::string& text) {
    const auto limit = std::chrono::steady_clock::now() + kPatience;
    while (registry.expose().find(text) == std::string::npos && std::chrono::steady_clock::now() < limit)
      std::this_thread::yield();
    EXPECT_NE(registry.expose().find(text), std::string::npos) << text;
  }
  // How many calls came to a hedge or to the reason for none.
  std::int64_t outcomes() {
    const std::string text = registry.expose();
    std::int64_t sum = 0;
    constexpr std::string_view kSeries = "\nez_model_hedges_total{";
    for (std::size_t at = text.find(kSeries); at != std::string::npos; at = text.find(kSeries, at + 1)) {
      sum += std::stoll(text.substr(text.find("} ", at) + 2));
    }
    return sum;
  }
  void await_counted(const std::string& outcome) {
    await_text("ez_model_hedges_total{provider=\"one\",outcome=\"" + outcome + "\"} ");
  }

  telemetry::Registry registry;
  SeededRandom random{7};
  HeldClock clock;
  MemoryBank bank;
  std::unique_ptr<Gateway> gateway;
  std::shared_ptr<CallHandle> handle;
  std::string cassette;  // a file that goes away with the test
};

TEST_F(HedgeTest, TheSecondAnswersAndTheFirstIsBrokenOffAndCounted) {
  std::latch closed(1);
  TestUpstream upstream([&](UpstreamCall& request) {
    second_answers(request);
    if (!request.has("secret-2")) closed.count_down();
  });
  start(upstream);
  const auto client = call(lease());
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->status, 200);
  EXPECT_EQ(client->body, kHedgeAnswer);
  closed.wait();
  await_counted("won");
  EXPECT_EQ(upstream.requests(), 2);
  const UsageSum sum = settled();
  EXPECT_EQ(sum.microusd, kHedgeCost + upper());
  EXPECT_EQ(sum.calls, 2U);
  EXPECT_EQ(sum.failed, 1U);
  const auto figures = gateway->figures().at(0);
  EXPECT_EQ(figures.keys.at(0).calls + figures.keys.at(1).calls, 0U);
  EXPECT_FALSE(figures.keys.at(0).open);  // being slower says nothing bad of a key
}

TEST_F(HedgeTest, TheFirstAnswersAfterAllAndTheSecondIsBrokenOffAndCounted) {
  std::latch asked(1);
  std::latch closed(1);
  TestUpstream upstream([&](UpstreamCall& request) {
    if (request.has("secret-1")) {
      asked.wait();
      request.answer(200, kHedgeAnswer);
      return;
    }
    asked.count_down();
    request.wait_for_close();
    request.cut();
    closed.count_down();
  });
  start(upstream);
  const auto client = call(lease());
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->status, 200);
  closed.wait();
  await_counted("lost");
  EXPECT_EQ(settled().microusd, kHedgeCost + upper());
}

// A recording has the answer that the client got, once; what was broken off is no part of it.
TEST_F(HedgeTest, TheAnswerThatLedIsRecordedAndReplayed) {
  cassette = (std::filesystem::temp_directory_path() / ("ez-hedge-" + std::to_string(::getpid()))).string();
  TestUpstream upstream(second_answers);
  start(upstream, 2, 1'000, CassetteMode::kRecord);
  const auto client = call(lease());
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->status, 200);
  await_counted("won");
  gateway->stop();
  const int asked = upstream.requests();
  EXPECT_EQ(asked, 2);

  start(upstream, 2, 1'000, CassetteMode::kStrict);
  const AccountPtr account = lease(1'000'000, Fence{6});
  const auto replayed = call(account);
  ASSERT_TRUE(replayed->wait());
  EXPECT_EQ(replayed->status, 200) << replayed->body;
  EXPECT_EQ(replayed->body, kHedgeAnswer);
  EXPECT_EQ(replayed->header("ez-replayed"), "true");
  const auto unknown = call(account);  // it was recorded once
  ASSERT_TRUE(unknown->wait());
  EXPECT_NE(unknown->body.find("CASSETTE_MISS"), std::string::npos) << unknown->body;
  EXPECT_EQ(upstream.requests(), asked);
}

TEST_F(HedgeTest, AStreamIsHedgedBeforeItsFirstByteOnly) {
  std::latch go_on(1);
  std::atomic<int> streams{0};
  std::atomic<int> others{0};
  const std::string begin =
      "event: message_start\ndata: "
      "{\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\","
      "\"role\":\"assistant\",\"model\":\"claude-test\",\"content\":[],\"usage\":{\"input_tokens\":7,"
      "\"output_tokens\":1}}}\n\n";
  const std::string end =
      "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},"
      "\"usage\":{\"output_tokens\":5}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
  TestUpstream upstream([&](UpstreamCall& request) {
    if (request.body().find("\"stream\"") == std::string::npos) {
      // Other calls, each of which is hedged: their first requests hang.
      if (++others % 2 == 0) {
        request.answer(200, kHedgeAnswer);
      } else {
        request.wait_for_close();
        request.cut();
      }
      return;
    }
    ++streams;
    request.begin_stream();
    request.chunk(begin);
    go_on.wait();
    request.chunk(end);
    request.end_stream();
  });
  start(upstream);
  const AccountPtr account = lease();
  clock.hold();  // should the machine be slow: no timer of a call that has not begun yet counts
  const auto client = call(account, true);
  ASSERT_TRUE(client->wait_for("message_start"));
  clock.release();
  // The timer of the stream has fired long before that of a call which begins later.
  for (int i = 0; i < 3; ++i) {
    const auto other = call(account);
    ASSERT_TRUE(other->wait());
  }
  go_on.count_down();
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->body, begin + end);
  EXPECT_EQ(streams, 1);
}

TEST_F(HedgeTest, NoMoreThanItsShare) {
  std::latch go_on(1);
  TestUpstream upstream([&](UpstreamCall& request) {
    go_on.wait();
    request.answer(200, kHedgeAnswer);
  });
  start(upstream, 2, 100);  // one in ten: the first call has none yet
  const auto client = call(lease());
  await_counted("over_share");
  go_on.count_down();
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->status, 200);
  EXPECT_EQ(upstream.requests(), 1);
  EXPECT_EQ(settled().microusd, kHedgeCost);
}

TEST_F(HedgeTest, OnlyWithMoneyForBoth) {
  std::latch go_on(1);
  TestUpstream upstream([&](UpstreamCall& request) {
    go_on.wait();
    request.answer(200, kHedgeAnswer);
  });
  start(upstream);
  const std::int64_t limit = upper() + upper() / 2;
  const auto client = call(lease(limit));
  await_counted("no_money");
  go_on.count_down();
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->status, 200);
  EXPECT_EQ(settled().microusd, kHedgeCost);
}

TEST_F(HedgeTest, OnlyWithAnotherKey) {
  std::latch go_on(1);
  TestUpstream upstream([&](UpstreamCall& request) {
    go_on.wait();
    request.answer(200, kHedgeAnswer);
  });
  start(upstream, 1);
  const auto client = call(lease());
  await_counted("no_key");
  go_on.count_down();
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(upstream.requests(), 1);
}

TEST_F(HedgeTest, AnErrorOfTheSecondLeavesTheFirstAlone) {
  std::latch failed(1);
  TestUpstream upstream([&](UpstreamCall& request) {
    if (request.has("secret-2")) {
      request.answer(429, R"({"type":"error","error":{"type":"rate_limit_error","message":"slow down"}})",
                     "retry-after: 600\r\n");
      return;
    }
    failed.wait();
    request.answer(200, kHedgeAnswer);
  });
  start(upstream);
  const auto client = call(lease());
  await_counted("failed");
  failed.count_down();
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->status, 200);
  EXPECT_TRUE(gateway->figures().at(0).keys.at(1).resting);
  EXPECT_EQ(settled().microusd, kHedgeCost);  // an error status costs nothing
}

TEST_F(HedgeTest, AnErrorOfTheFirstLeavesTheSecondAlone) {
  std::latch asked(1);
  TestUpstream upstream([&](UpstreamCall& request) {
    if (request.has("secret-1")) {
      asked.wait();
      request.answer(529, R"({"type":"error","error":{"type":"overloaded_error","message":"busy"}})");
      return;
    }
    asked.count_down();
    await_text("ez_model_retries_total{");
    request.answer(200, kHedgeAnswer);
  });
  start(upstream);
  const auto client = call(lease());
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->status, 200) << client->body;
  EXPECT_EQ(settled().microusd, kHedgeCost);
}

TEST_F(HedgeTest, WhenBothFailTheClientIsTold) {
  std::latch asked(1);
  TestUpstream upstream([&](UpstreamCall& request) {
    if (request.has("secret-1")) {
      asked.wait();
    } else {
      asked.count_down();
    }
    request.answer(400,
                   R"({"type":"error","error":{"type":"invalid_request_error","message":"no such thing"}})");
  });
  start(upstream);
  const auto client = call(lease());
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->status, 400);
  EXPECT_NE(client->body.find("no such thing"), std::string::npos);
  EXPECT_EQ(upstream.requests(), 2);
  EXPECT_EQ(settled().microusd, 0);
}

TEST_F(HedgeTest, AConnectionThatBreaksIsCountedAndTheOtherGoesOn) {
  std::latch asked(1);
  std::latch broken(1);
  TestUpstream upstream([&](UpstreamCall& request) {
    if (request.has("secret-1")) {
      asked.wait();
      request.cut();
      broken.count_down();
      return;
    }
    asked.count_down();
    broken.wait();
    request.answer(200, kHedgeAnswer);
  });
  start(upstream);
  const auto client = call(lease());
  ASSERT_TRUE(client->wait());
  EXPECT_EQ(client->status, 200);
  EXPECT_EQ(settled().microusd, kHedgeCost + upper());
}

TEST_F(HedgeTest, AClientThatLeavesEndsBoth) {
  std::latch closed(2);
  std::latch asked(1);
  TestUpstream upstream([&](UpstreamCall& request) {
    if (request.has("secret-2")) asked.count_down();
    request.wait_for_close();
    request.cut();
    closed.count_down();
  });
  start(upstream);
  const auto client = call(lease());
  asked.wait();
  handle->cancel();
  closed.wait();
  EXPECT_EQ(settled().microusd, 2 * upper());
}

TEST_F(HedgeTest, NoOverspendAtTheEdgeOfABudget) {
  // The first request of every call hangs, the second is answered; the budget is for a few.
  std::mutex mutex;
  std::set<std::string> seen;
  TestUpstream upstream([&](UpstreamCall& request) {
    const bool is_first = [&] {
      std::lock_guard lock(mutex);
      return seen.insert(request.body()).second;
    }();
    if (!is_first) {
      request.answer(200, kHedgeAnswer);
      return;
    }
    request.wait_for_close();
    request.cut();
  });
  start(upstream);
  const std::int64_t limit = 12 * upper();
  const AccountPtr account = lease(limit);
  std::vector<std::shared_ptr<TestClient>> clients;
  for (int i = 0; i < 40; ++i) clients.push_back(call(account, false, "Hel" + std::to_string(10 + i)));
  // Each that is answered leaves its first request's bound behind; when that has eaten up the budget, calls
  // hang for want of money for a second request.
  const auto patience = std::chrono::steady_clock::now() + kPatience;
  while (outcomes() < 8 && std::chrono::steady_clock::now() < patience) std::this_thread::yield();
  EXPECT_GE(outcomes(), 8);
  gateway->ledger().close(Fence{5});  // those that nobody answers end with their lease
  for (const auto& client : clients) ASSERT_TRUE(client->wait());
  EXPECT_LE(settled().microusd, limit);
  EXPECT_LE(bank.end(Fence{5}), limit);
}

}  // namespace
}  // namespace ez::models::testing
