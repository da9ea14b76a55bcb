#include "agents/cli/gateway_door.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agents/llm/scripted_model.h"
#include "agents/test_support.h"

namespace ez::agents {
namespace {

using ::testing::HasSubstr;

// A script in a sandbox without network but for a door to `url`.
std::string through_the_door(const std::string& url, const std::string& script, bool with_door = true) {
  auto door = GatewayDoor::to(url);
  EXPECT_TRUE(door.ok()) << door.error().to_string();
  SandboxSpec spec;
  spec.argv = {"/bin/bash", "-c", script};
  spec.timeout = std::chrono::milliseconds(60'000);
  if (with_door) spec.prepared = [&](int inside) { return (*door)->open(inside); };
  std::string said;
  const auto ran = Sandbox().run(spec, [&](std::string_view bytes) { said += bytes; });
  EXPECT_TRUE(ran.ok()) << ran.error().to_string();
  return said;
}

const char kGet[] =
    "exec 3<>/dev/tcp/127.0.0.1/17878 && printf 'GET /v1/models HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3 && "
    "cat <&3";

TEST(GatewayDoor, CarriesBytesBothWays) {
  EZ_NEED_SANDBOX();
  const std::string body(3'000'000, 'b');  // many times the buffers
  ScriptedModel server({script::head(200, "text/plain") + body});
  const std::string said = through_the_door(server.url(), kGet);
  EXPECT_THAT(said, HasSubstr("HTTP/1.1 200"));
  EXPECT_EQ(said.size(), (script::head(200, "text/plain") + body).size());
  ASSERT_EQ(server.heads().size(), 1U);
  EXPECT_THAT(server.heads()[0], HasSubstr("GET /v1/models"));
}

TEST(GatewayDoor, ManyConnectionsAtOnceAndNoneTooMany) {
  EZ_NEED_SANDBOX();
  ScriptedModel server({script::head(200, "text/plain") + "answer\n"});
  const std::string said = through_the_door(
      server.url(), "for i in $(seq 40); do (" + std::string(kGet) + ") | tail -1 & done; wait");
  EXPECT_EQ(said.size(), 40 * std::string("answer\n").size()) << said;
}

TEST(GatewayDoor, LeadsNowhereElse) {
  EZ_NEED_SANDBOX();
  ScriptedModel server({script::head(200, "text/plain") + "answer\n"});
  const std::string port = server.url().substr(server.url().rfind(':') + 1);
  const std::string outside = "exec 3<>/dev/tcp/127.0.0.1/" + port;
  EXPECT_THAT(through_the_door(server.url(), outside + " || echo closed"), HasSubstr("closed"));
  EXPECT_THAT(through_the_door(server.url(), std::string(kGet) + " || echo closed", false),
              HasSubstr("closed"));
  EXPECT_TRUE(server.heads().empty());
}

TEST(GatewayDoor, AGatewayThatIsAway) {
  EZ_NEED_SANDBOX();
  EZ_NEED_CHILDREN_WITHOUT_THREADS();
  std::string url;
  { url = ScriptedModel(std::vector<std::string>{""}).url(); }
  // The connection is taken and closed at once: the agent sees an end, not a hang.
  EXPECT_EQ(through_the_door(url, "(" + std::string(kGet) + ") 2>/dev/null || true; echo over"), "over\n");
  EXPECT_EQ(GatewayDoor::to("https://x").error().code(), Code::GatewayMissing);
  EXPECT_EQ(GatewayDoor::to("http://no.such.host.invalid:1").error().code(), Code::GatewayMissing);
}

TEST(GatewayDoor, ConnectionsEndWithIt) {
  EZ_NEED_SANDBOX();
  // The server never answers; the command ends, and so must everything else.
  ScriptedModel server([](const Value&, std::size_t) { return ScriptedModel::Answer{"", true}; });
  EXPECT_EQ(through_the_door(server.url(), "exec 3<>/dev/tcp/127.0.0.1/17878; echo GET >&3; echo left"),
            "left\n");
}

TEST(SandboxWatch, EndsACommandPolitelyAndThenForGood) {
  EZ_NEED_SANDBOX();
  const auto watched = [](const std::string& script) {
    SandboxSpec spec;
    spec.argv = {"/bin/bash", "-c", script};
    spec.timeout = std::chrono::milliseconds(60'000);
    spec.grace = std::chrono::milliseconds(500);
    std::string said;
    spec.watch = [&]() -> Status {
      return said.find("ready") == std::string::npos ? Status() : Error(Code::AgentSilent, "enough");
    };
    auto ran = Sandbox().run(spec, [&](std::string_view bytes) { said += bytes; });
    EXPECT_TRUE(ran.ok());
    EXPECT_TRUE(ran->process.stopped.has_value());
    EXPECT_EQ(ran->process.stopped->code(), Code::AgentSilent);
    return said;
  };
  EXPECT_THAT(watched("trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done"),
              HasSubstr("bye\n"));
  EXPECT_EQ(watched("trap '' TERM; echo ready; while :; do sleep 0.01; done"), "ready\n");
}

}  // namespace
}  // namespace ez::agents
