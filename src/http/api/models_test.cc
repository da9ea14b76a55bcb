// Agents call models through the API: keys of tasks, money of runs, errors in the client's dialect.
#include <latch>

#include "http/api/testing.h"
#include "http/testing.h"
#include "models/gateway/testing.h"

namespace ez::http::api {
namespace {

using models::testing::TestUpstream;
using models::testing::UpstreamCall;

constexpr char kAsk[] =
    R"({"model":"claude-test","max_tokens":100,"messages":[{"role":"user","content":"Hello"}]})";
// 7 tokens at $1 and 5 at $10 a million.
constexpr char kAnswer[] =
    R"({"id":"msg_1","type":"message","role":"assistant","model":"claude-test","content":[],)"
    R"("stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":7,"output_tokens":5}})";
constexpr std::int64_t kCost = 57;

constexpr char kWorkflow[] = R"(name: paid
budget: {cost_usd: 1}
tasks:
  - {id: a, agent: {type: claude}, prompt: x, budget: {cost_usd: 0.01}, retry: {max_attempts: 1}}
  - id: b
    dependencies: [a]
    agent: {type: claude, models: ["other-*"]}
    prompt: x
    budget: {cost_usd: 0.01}
)";

using testing::RawAnswer;

// As an SDK does: the key as x-api-key, no bearer token of ours.
RawAnswer raw_call(const World& world, const std::string& key, const std::string& target,
                   const std::string& body, std::string_view method) {
  testing::RawClient client(world.port());
  std::string text = std::string(method) + " " + target + " HTTP/1.1\r\nHost: localhost\r\nx-api-key: " + key;
  if (!body.empty()) text += "\r\nContent-Length: " + std::to_string(body.size());
  EXPECT_TRUE(client.send(text + "\r\n\r\n" + body));
  const auto answer = client.receive();
  EXPECT_TRUE(answer);
  return answer.value_or(RawAnswer{});
}

class ApiModels : public ::testing::Test {
 protected:
  explicit ApiModels(TestUpstream::Handler handler = [](UpstreamCall& call) { call.answer(200, kAnswer); })
      : upstream(std::move(handler)), world(0, [this] { return config(); }) {}

  models::ModelsConfig config() const {
    models::ModelsConfig out;
    models::Provider provider;
    provider.name = "one";
    provider.base_url = upstream.url();
    provider.dialects = {models::Dialect::kAnthropicMessages};
    provider.keys = {{"one-1", "sk-the-providers-secret"}};
    provider.models = {"claude-*", "other-*"};
    out.providers.push_back(std::move(provider));
    out.prices = std::make_shared<const models::PriceTable>(must(models::PriceTable::parse(
        R"({"dated":"2026-11-22","models":[{"provider":"one","model":"claude-test","input":1000000,)"
        R"("output":10000000,"max_output_tokens":1000}]})")));
    return out;
  }
  // The item of task a of a new run, and the agent that holds it.
  Value take() {
    run = world.start_run("paid", kWorkflow);
    agent = std::make_unique<TestAgent>(world, "worker", 4, "claude");
    const Value item = agent->take();
    key = std::string(item.find("model_gateway")->string_or("key", ""));
    return item;
  }
  RawAnswer call(const std::string& with, const std::string& target = "/v1/messages",
                 const std::string& body = kAsk, std::string_view method = "POST") const {
    return raw_call(world, with, target, body, method);
  }
  Value costs() const { return world.get("/v1/runs/" + run + "/costs").body; }

  TestUpstream upstream;
  World world;
  std::string run, key;
  std::unique_ptr<TestAgent> agent;
};

TEST_F(ApiModels, TheKeyOfATaskCallsModelsOnItsAccount) {
  const Value item = take();
  EXPECT_EQ(item.find("model_gateway")->string_or("url", ""),
            "http://127.0.0.1:" + std::to_string(world.port()));
  for (int i = 0; i < 3; ++i) {
    const RawAnswer answer = call(key);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, kAnswer);
    EXPECT_EQ(answer.header("ez-provider"), "one");
  }
  // What the agent claims is not counted: the gateway knows.
  Value result = TestAgent::result(item, "succeeded");
  result.set("cost_microusd", Value(9'000));
  EXPECT_EQ(agent->work({result}, 0).status, 200);
  const Value view = costs();
  EXPECT_EQ(view.int_or("cost_microusd", 0), 3 * kCost);
  EXPECT_EQ(view.int_or("calls", 0), 3);
  EXPECT_EQ(view.int_or("unsettled_microusd", -1), 0);
  ASSERT_EQ(view.find("items")->as_list().size(), 1U);
  const Value& line = view.find("items")->as_list().front();
  EXPECT_EQ(line.string_or("task", ""), "a");
  EXPECT_EQ(line.string_or("agent", ""), "worker");
  EXPECT_EQ(line.string_or("model", ""), "claude-test");
  EXPECT_EQ(line.string_or("key", ""), "one-1");
  EXPECT_EQ(world.get("/v1/runs/" + run).body.int_or("cost_microusd", 0), 3 * kCost);
  EXPECT_EQ(world.get("/v1/costs").body.int_or("cost_microusd", 0), 3 * kCost);
}

TEST_F(ApiModels, AKeyDiesWithItsLeaseAndOpensNothingElse) {
  const Value item = take();
  EXPECT_EQ(call(key, "/v1/runs", "", "GET").status, 401) << "x-api-key is for models only";
  EXPECT_EQ(world.get("/v1/runs", key).status, 403);
  EXPECT_EQ(world.get("/v1/models", key).status, 200);
  EXPECT_EQ(call(key).status, 200);
  agent->report(item, "succeeded");
  const RawAnswer late = call(key);
  EXPECT_EQ(late.status, 401) << late.body;
  EXPECT_NE(late.body.find("LEASE_STALE"), std::string::npos) << late.body;
  EXPECT_EQ(upstream.requests(), 1);
}

TEST_F(ApiModels, RefusalsAreInTheDialectOfTheClient) {
  const RawAnswer messages = call("ezl_r1_1_guessed");
  EXPECT_EQ(messages.status, 401);
  EXPECT_NE(messages.body.find(R"("type":"error")"), std::string::npos) << messages.body;
  EXPECT_EQ(messages.header("x-should-retry"), "false");
  const RawAnswer chat = call("ezl_r1_1_guessed", "/v1/chat/completions");
  EXPECT_EQ(chat.status, 401);
  EXPECT_NE(chat.body.find(R"("error":{)"), std::string::npos) << chat.body;
  EXPECT_EQ(chat.body.find(R"("type":"error")"), std::string::npos) << chat.body;
  (void)take();
  EXPECT_EQ(call(key, "/v1/messages", "{").status, 400);
  const RawAnswer unknown = call(key, "/v1/messages", R"({"model":"nobody","max_tokens":1,"messages":[]})");
  EXPECT_GE(unknown.status, 400);
}

TEST_F(ApiModels, TheBudgetOfATaskHolds) {
  (void)take();
  // $0.01 is 10,000 micro-dollars; ten thousand tokens of output alone would cost ten times that.
  const RawAnswer answer =
      call(key, "/v1/messages",
           R"({"model":"claude-test","max_tokens":10000,"messages":[{"role":"user","content":"x"}]})");
  EXPECT_NE(answer.body.find("BUDGET_EXCEEDED"), std::string::npos) << answer.body;
  EXPECT_EQ(upstream.requests(), 0);
}

TEST_F(ApiModels, ATaskUsesOnlyTheModelsThatItsWorkflowNames) {
  agent.reset();
  const Value first = take();
  agent->report(first, "succeeded");
  const Value second = agent->take();
  const RawAnswer answer = call(std::string(second.find("model_gateway")->string_or("key", "")));
  EXPECT_EQ(answer.status, 403) << answer.body;
  EXPECT_NE(answer.body.find("MODEL_NOT_ALLOWED"), std::string::npos) << answer.body;
}

TEST_F(ApiModels, AServerThatStartsAgainGoesOnWithTheAccount) {
  const Value item = take();
  EXPECT_EQ(call(key).status, 200);
  world.restart();
  EXPECT_EQ(call(key).status, 200);
  agent->report(item, "succeeded");
  const Value view = costs();
  EXPECT_EQ(view.int_or("cost_microusd", 0), 2 * kCost);
  EXPECT_EQ(view.int_or("unsettled_microusd", -1), 0) << "it stopped in order: nothing was lost";
}

TEST_F(ApiModels, ARunThatIsCancelledCostsWhatItsCallsDid) {
  (void)take();
  EXPECT_EQ(call(key).status, 200);
  EXPECT_EQ(world.post("/v1/runs/" + run + "/cancel", Value(Value::Map{})).status, 200);
  EXPECT_EQ(costs().int_or("cost_microusd", 0), kCost);
  EXPECT_EQ(call(key).status, 401);
}

TEST_F(ApiModels, CallsWithoutATaskAreCountedInTheTotals) {
  EXPECT_EQ(call("admin").status, 200);
  EXPECT_EQ(call("viewer").status, 403);
  world.restart();
  EXPECT_EQ(world.get("/v1/costs").body.int_or("cost_microusd", 0), kCost);
}

TEST(ApiModelsAbsent, WithoutAGatewayThereAreNoModels) {
  World world;
  EXPECT_EQ(raw_call(world, "admin", "/v1/messages", kAsk, "POST").status, 404);
  EXPECT_EQ(world.get("/v1/models").status, 200);
}

class ApiModelStreams : public ApiModels {
 protected:
  ApiModelStreams()
      : ApiModels([this](UpstreamCall& call) {
          call.begin_stream();
          call.chunk(
              "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\","
              "\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-test\",\"content\":[],"
              "\"stop_reason\":null,\"stop_sequence\":null,"
              "\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n");
          call.wait_for_close();
          call.cut();
          closed.count_down();
        }) {}
  std::latch closed{1};
};

TEST_F(ApiModelStreams, AStreamComesAsItIsMadeAndEndsWithItsClient) {
  (void)take();
  const std::string body =
      R"({"model":"claude-test","max_tokens":100,"stream":true,"messages":[{"role":"user","content":"x"}]})";
  {
    testing::RawClient client(world.port());
    ASSERT_TRUE(
        client.send("POST /v1/messages?beta=true HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " +
                    key + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body));
    const std::string head = client.receive_until("message_start");
    EXPECT_NE(head.find("text/event-stream"), std::string::npos) << head;
  }
  closed.wait();  // the provider is told that nobody listens any more
}

}  // namespace
}  // namespace ez::http::api
