#include "queue/manager/config.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace ez::queue {
namespace {

Result<ManagerConfig> read_config(std::string_view json) {
  const auto value = parse_json(json);
  EXPECT_TRUE(value.ok()) << json;
  return read_manager_config(value.ok() ? *value : Value(), [](const std::string& name) {
    return name == "RABBIT" ? std::optional<std::string>("amqp://u:geheim@127.0.0.1:5672") : std::nullopt;
  });
}

std::string config_mistake(std::string_view json) {
  const auto config = read_config(json);
  EXPECT_FALSE(config.ok()) << json;
  if (config.ok()) return "";
  EXPECT_EQ(config.error().code(), Code::InvalidArgument);
  EXPECT_TRUE(config.error().message().starts_with("queues.yaml: "));
  return config.error().message().substr(std::string_view("queues.yaml: ").size());
}

TEST(ManagerConfig, NothingIsAllEmbedded) {
  for (const char* text : {"null", "{}"}) {
    const auto config = read_config(text);
    ASSERT_TRUE(config.ok());
    EXPECT_TRUE(config->backends.empty());
    ASSERT_EQ(config->routes.size(), 1U);
    EXPECT_EQ(config->routes[0].primary, kEmbedded);
  }
}

TEST(ManagerConfig, ReadsEverything) {
  const auto config = read_config(R"({
    "backends": {"redis": {"url": "redis://127.0.0.1:6379"}, "rabbit": {"url_env": "RABBIT"}},
    "primary": "redis", "fallback": "rabbit",
    "routes": [{"topic": "audit.#", "primary": "embedded"},
               {"topic": "team-a/events.*", "primary": "rabbit", "consumers": "broker"}],
    "health": {"every": "100ms", "timeout": "2s", "fail_after": 3, "return_after": 5}})");
  ASSERT_TRUE(config.ok()) << config.error().to_string();
  ASSERT_EQ(config->backends.size(), 2U);
  EXPECT_EQ(config->find("rabbit")->url, "amqp://u:geheim@127.0.0.1:5672");
  ASSERT_EQ(config->routes.size(), 3U);
  EXPECT_EQ(config->routes[0].primary, kEmbedded);
  EXPECT_TRUE(config->routes[1].direct);
  EXPECT_EQ(config->routes[1].fallback, kEmbedded);
  EXPECT_EQ(config->routes[2].topic, "");
  EXPECT_EQ(config->routes[2].primary, "redis");
  EXPECT_EQ(config->routes[2].fallback, "rabbit");
  EXPECT_EQ(config->check_every_ms, 100);
  EXPECT_EQ(config->check_timeout_ms, 2'000);
  EXPECT_EQ(config->fail_after, 3);
  EXPECT_EQ(config->return_after, 5);
}

TEST(ManagerConfig, MistakesNameTheirPlace) {
  const auto with = [](const std::string& rest) {
    return R"({"backends": {"redis": {"url": "redis://127.0.0.1:6379"}})" + rest + "}";
  };
  EXPECT_EQ(config_mistake(R"({"primry": "redis"})"), "primry: there is no such setting");
  EXPECT_EQ(config_mistake("[]"), "must be a map");
  EXPECT_EQ(config_mistake(R"({"primary": "redis"})"), "primary: there is no backend redis");
  EXPECT_EQ(config_mistake(with(R"(, "primary": "redis", "fallback": "redis")")),
            "fallback: is the primary itself");
  EXPECT_NE(config_mistake(with(R"(, "fallback": "redis")")).find("fallback: the embedded queue needs none"),
            std::string::npos);
  EXPECT_EQ(config_mistake(with(R"(, "routes": [{"primary": "redis"}])")), "routes[0].topic: is missing");
  EXPECT_NE(config_mistake(with(R"(, "routes": [{"topic": "a..b"}])")).find("routes[0].topic: "),
            std::string::npos);
  EXPECT_EQ(config_mistake(with(R"(, "routes": [{"topic": "a", "consumers": "all"}])")),
            "routes[0].consumers: is ez or broker");
  EXPECT_NE(
      config_mistake(with(R"(, "routes": [{"topic": "a", "consumers": "broker"}])")).find("needs a broker"),
      std::string::npos);
  EXPECT_NE(config_mistake(with(R"(, "health": {"every": "1"})")).find("health.every: must be a duration"),
            std::string::npos);
  EXPECT_NE(
      config_mistake(with(R"(, "health": {"fail_after": 0})")).find("health.fail_after: must be a number"),
      std::string::npos);
  EXPECT_NE(config_mistake(R"({"backends": {"embedded": {"url": "redis://h:1"}}})").find("the server's own"),
            std::string::npos);
  EXPECT_NE(config_mistake(R"({"backends": {"a": {}}})").find("backends.a: needs either url or url_env"),
            std::string::npos);
  EXPECT_EQ(config_mistake(R"({"backends": {"a": {"url_env": "NONE"}}})"),
            "backends.a.url_env: the variable NONE is not set");
}

TEST(ManagerConfig, TasksThatGoToATopic) {
  const auto config = read_config(R"({"dispatch": [
      {"agent_type": "renderer", "topic": "jobs.render", "replies": "jobs.render.done",
       "cancels": "jobs.render.cancel", "capacity": 7, "silence": "10m"},
      {"agent_type": "audio", "topic": "team-a/jobs.audio", "replies": "team-a/jobs.audio.done"}]})");
  ASSERT_TRUE(config.ok()) << config.error().to_string();
  ASSERT_EQ(config->dispatch.size(), 2U);
  EXPECT_EQ(config->dispatch[0].cancels, "jobs.render.cancel");
  EXPECT_EQ(config->dispatch[0].capacity, 7U);
  EXPECT_EQ(config->dispatch[0].silence_ms, 600'000);
  EXPECT_EQ(config->dispatch[1].topic, "team-a/jobs.audio");
  EXPECT_EQ(config->dispatch[1].capacity, 100U);
  EXPECT_EQ(config->dispatch[1].silence_ms, 0);
}

TEST(ManagerConfig, MistakesOfDispatchNameTheirPlace) {
  const auto mistake = [](const std::string& entries, const std::string& rest = "") {
    return config_mistake(R"({"backends": {"redis": {"url": "redis://127.0.0.1:6379"}}, "dispatch": )" +
                          entries + rest + "}");
  };
  const std::string good = R"({"agent_type": "a", "topic": "t", "replies": "r"})";
  EXPECT_EQ(mistake("{}"), "dispatch: must be a list");
  EXPECT_EQ(mistake("[1]"), "dispatch[0]: must be a map");
  EXPECT_EQ(mistake("[null]"), "dispatch[0]: must be a map");
  EXPECT_EQ(mistake(R"([{"topic": "t", "replies": "r"}])"), "dispatch[0].agent_type: is missing");
  EXPECT_NE(
      mistake(R"([{"agent_type": "A b", "topic": "t", "replies": "r"}])").find("dispatch[0].agent_type: has"),
      std::string::npos);
  EXPECT_NE(mistake(R"([{"agent_type": "merge", "topic": "t", "replies": "r"}])").find("is not merge"),
            std::string::npos);
  EXPECT_EQ(mistake(R"([{"agent_type": "exec", "topic": "t", "replies": "r"}])"),
            "dispatch[0].agent_type: is exec, whose agents also merge: give these tasks another one");
  EXPECT_EQ(mistake(R"([{"agent_type": "a", "replies": "r"}])"), "dispatch[0].topic: is missing");
  EXPECT_EQ(mistake(R"([{"agent_type": "a", "topic": "t"}])"), "dispatch[0].replies: is missing");
  EXPECT_NE(mistake(R"([{"agent_type": "a", "topic": "t.*", "replies": "r"}])").find("dispatch[0].topic: "),
            std::string::npos);
  EXPECT_EQ(mistake(R"([{"agent_type": "a", "topic": "t", "replies": "t"}])"),
            "dispatch[0].replies: is the topic of the tasks");
  EXPECT_EQ(mistake(R"([{"agent_type": "a", "topic": "t", "replies": "r", "cancels": "r"}])"),
            "dispatch[0].cancels: is the topic of the replies");
  EXPECT_EQ(mistake(R"([{"agent_type": "a", "topic": "t", "replies": "r", "reply": "x"}])"),
            "dispatch[0].reply: there is no such setting");
  EXPECT_NE(mistake(R"([{"agent_type": "a", "topic": "t", "replies": "r", "capacity": 0}])")
                .find("dispatch[0].capacity: must be a number from 1 to 1024"),
            std::string::npos);
  EXPECT_NE(mistake(R"([{"agent_type": "a", "topic": "t", "replies": "r", "silence": "soon"}])")
                .find("dispatch[0].silence: must be a duration"),
            std::string::npos);
  EXPECT_EQ(mistake("[" + good + R"(, {"agent_type": "a", "topic": "t", "replies": "s"}])"),
            "dispatch[1].agent_type: is that of dispatch[0] too");
  EXPECT_EQ(mistake("[" + good + R"(, {"agent_type": "b", "topic": "t", "replies": "r"}])"),
            "dispatch[1].replies: is that of dispatch[0] too");
  EXPECT_EQ(mistake("[" + good + R"(, {"agent_type": "b", "topic": "r", "replies": "s"}])"),
            "dispatch[1].topic: is the topic of the replies of dispatch[0]");
  EXPECT_EQ(mistake("[" + good + R"(, {"agent_type": "b", "topic": "u", "replies": "t"}])"),
            "dispatch[1].replies: is a topic that dispatch[0] fills");
  EXPECT_EQ(
      mistake("[" + good + "]", R"(, "routes": [{"topic": "#", "primary": "redis", "consumers": "broker"}])"),
      "dispatch[0].replies: its route # is `consumers: broker`, so replies would not come in");
}

TEST(ManagerConfig, AWrongAddressDoesNotShowItsPassword) {
  const std::string message = config_mistake(R"({"backends": {"a": {"url": "redis://u:geheim@h:1/2"}}})");
  EXPECT_NE(message.find("backends.a: "), std::string::npos);
  EXPECT_EQ(message.find("geheim"), std::string::npos);
}

TEST(ManagerConfig, OneAddressIsThePrimaryUnderTheNameOfItsKind) {
  for (const auto& [url, name] : {std::pair{"redis://h:1", "redis"},
                                  {"rediss+cluster://h:1", "redis"},
                                  {"amqps://h:1", "rabbitmq"},
                                  {"kafka://h:1", "kafka"}}) {
    const ManagerConfig config = one_primary(url);
    ASSERT_EQ(config.backends.size(), 1U);
    EXPECT_EQ(config.backends[0].name, name);
    EXPECT_EQ(config.routes[0].primary, name);
  }
}

}  // namespace
}  // namespace ez::queue
