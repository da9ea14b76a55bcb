// broker_tests --broker=redis|rabbitmq|kafka: runs the suites of one backend against its real server. When
// the server cannot be had on this machine, one test is reported as skipped, with the reason.
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "servers.h"

namespace {

std::string broker = "redis";
std::string why_not;

TEST(Servers, TheServerIsThere) {
  if (!why_not.empty()) GTEST_SKIP() << broker << " cannot be had here: " << why_not;
}

std::string suites_of(const std::string& name) {
  if (name == "redis") return "Redis*";
  return name == "rabbitmq" ? "RabbitMq*" : "Kafka*";
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (std::strncmp(argv[i], "--broker=", 9) == 0) broker = argv[i] + 9;
  }
  why_not = ez::test::Servers::get().server(broker).string_or("skip", "");
  if (!why_not.empty()) {
    GTEST_FLAG_SET(filter, "Servers.*");
  } else if (GTEST_FLAG_GET(filter) == "*") {
    GTEST_FLAG_SET(filter, "Servers.*:" + suites_of(broker));
  }
  return RUN_ALL_TESTS();
}
