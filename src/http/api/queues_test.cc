// Queues over HTTP: what the end-to-end tests do not reach.
#include "http/api/queue_view.h"
#include "http/api/testing.h"

namespace ez::http::api {
namespace {

Value messages(Value::List list) { return Value(Value::Map{{"messages", Value(std::move(list))}}); }

TEST(QueueView, Base64) {
  for (const auto& [bytes, text] : std::vector<std::pair<std::string, std::string>>{
           {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {std::string("\0\xff", 2), "AP8="}}) {
    EXPECT_EQ(base64(bytes), text);
    std::string back;
    EXPECT_TRUE(from_base64(text, back));
    EXPECT_EQ(back, bytes);
  }
  std::string ignored;
  for (const char* bad : {"Z", "Zg=", "Zg==Zg==", "Z===", "Zm9*", "Zm 9", "=m9v"}) {
    EXPECT_FALSE(from_base64(bad, ignored)) << bad;
  }
}

TEST(ApiQueues, EachMessageHasItsReceipt) {
  World world;
  const Answer answer =
      world.post("/v1/queues/jobs/messages",
                 messages({Value(Value::Map{{"payload", Value("a")}, {"id", Value("one")}}),
                           Value(Value::Map{{"payload", Value("b")}, {"id", Value("no good id")}}),
                           Value(Value::Map{{"payload", Value("c")}, {"id", Value("one")}})}));
  ASSERT_EQ(answer.status, 200) << answer.text;
  const Value::List& receipts = answer.body.find("receipts")->as_list();
  ASSERT_EQ(receipts.size(), 3U);
  EXPECT_EQ(receipts[0].string_or("id", ""), "one");
  EXPECT_FALSE(receipts[0].bool_or("duplicate", true));
  EXPECT_EQ(receipts[1].find("error")->string_or("code", ""), "INVALID_ARGUMENT");
  EXPECT_TRUE(receipts[2].bool_or("duplicate", false));
}

TEST(ApiQueues, ATakeWaitsForAMessage) {
  World world;
  world.post("/v1/queues/jobs/messages", messages({Value(Value::Map{{"payload", Value("first")}})}));
  EXPECT_EQ(world.post("/v1/queues/jobs/take", Value(Value::Map{})).body.find("deliveries")->as_list().size(),
            1U);
  Answer waited;
  std::thread taker([&] {
    waited = world.post("/v1/queues/jobs/take", Value(Value::Map{{"wait_ms", Value(30'000)}}));
  });
  world.post("/v1/queues/jobs/messages", messages({Value(Value::Map{{"payload", Value("second")}})}));
  taker.join();
  ASSERT_EQ(waited.status, 200) << waited.text;
  EXPECT_EQ(waited.body.find("deliveries")->as_list().at(0).string_or("payload", ""), "second");
}

TEST(ApiQueues, RightsAreAskedFor) {
  World world;
  const Value one = messages({Value(Value::Map{{"payload", Value("a")}})});
  EXPECT_EQ(world.post("/v1/queues/jobs/messages", one, "viewer").code, "PERMISSION_DENIED");
  EXPECT_EQ(world.post("/v1/queues/jobs/messages", one, "elsewhere").code, "PERMISSION_DENIED");
  EXPECT_EQ(world.post("/v1/queues/jobs/messages?namespace=other", one, "elsewhere").status, 200);
  EXPECT_EQ(world.post("/v1/queues/jobs/take", Value(Value::Map{}), "viewer").code, "PERMISSION_DENIED");
  EXPECT_EQ(world.get("/v1/queues", "viewer").body.find("items")->as_list().size(), 0U);
  EXPECT_EQ(world.get("/v1/queues?namespace=other", "viewer").body.find("items")->as_list().size(), 1U);
}

TEST(ApiQueues, AWaitingTakeEndsWithTheServer) {
  World world;
  Answer answer;
  std::thread taker([&] {
    answer = world.post("/v1/queues/jobs/take", Value(Value::Map{{"wait_ms", Value(60'000)}}));
  });
  // Its group is there as soon as it waits.
  while (world.get("/v1/queues").body.find("items")->as_list().empty()) std::this_thread::yield();
  world.restart();
  taker.join();
  EXPECT_NE(answer.status, 200) << answer.text;
}

TEST(ApiTriggers, AreCheckedBeforeTheyAreKept) {
  World world;
  const auto set = [&](const std::string& name, const Value& body) {
    return world.post("/v1/triggers/" + name, body).code;
  };
  const Value good(Value::Map{{"topic", Value("jobs")}, {"workflow", Value("w")}});
  EXPECT_EQ(set("BAD", good), "INVALID_ARGUMENT");
  Value body = good;
  body.set("when", Value("message.id =="));
  EXPECT_EQ(set("t", body), "EXPRESSION_INVALID");
  body = good;
  body.set("inputs", Value(Value::Map{{"a", Value("${{ run.id }}")}}));
  EXPECT_EQ(set("t", body), "EXPRESSION_INVALID");
  body = good;
  body.set("topic", Value("a..b"));
  EXPECT_EQ(set("t", body), "INVALID_ARGUMENT");
  EXPECT_EQ(world.get("/v1/triggers/t").code, "TRIGGER_NOT_FOUND");
  EXPECT_EQ(set("t", good), "");
  world.restart();
  EXPECT_EQ(world.get("/v1/triggers/t").text_of("workflow"), "w");
  EXPECT_EQ(world.post("/v1/triggers/t/remove", Value(Value::Map{})).status, 200);
  world.restart();
  EXPECT_EQ(world.get("/v1/triggers/t").code, "TRIGGER_NOT_FOUND");
}

}  // namespace
}  // namespace ez::http::api
