// Brokers whose disk is full: somebody else's file takes all of it while messages come and go, later the room
// is there again and the broker is started anew, as its owner would do. What a broker acknowledged before has
// to be there. Each broker has a file system of its own (a tmpfs), which needs the right to mount.
#include <gtest/gtest.h>

#include "load.h"
#include "manager_faults.h"
#include "queue/open.h"
#include "servers.h"

namespace ez::test {
namespace {

void expect_a_full_disk_loses_nothing(const std::string& kind, const std::string& scheme, int disk_mb,
                                      const std::string& settings) {
  Value options(Value::Map{});
  options.set("disk_mb", static_cast<std::int64_t>(disk_mb));
  const Value& server = Servers::get().server(kind, options);
  if (const std::string why(server.string_or("skip", "")); !why.empty()) GTEST_SKIP() << why;
  const std::string address = list_of(server, "addresses").at(0);
  const auto bus = queue::open_bus(scheme == "kafka" ? "kafka://" + address + settings
                                                     : url_of(scheme, server, address, settings));
  ASSERT_TRUE(bus.ok()) << bus.error().to_string();
  LoadOptions wanted = load("faults.full");
  wanted.messages /= 5;
  make_queues_first(**bus, wanted.topic);
  const LoadResult result = run_load(**bus, **bus, wanted, [&](const std::function<int()>& applied) {
    Servers& servers = Servers::get();
    for (const int part : {4, 2}) {
      wait_for_applied(applied, wanted.messages / part);
      servers.fill(server);
      last(2'000);
      servers.empty(server);
      servers.restart(server);
    }
  });
  expect_whole(result, wanted);
}

TEST(RedisFullDisk, LosesNothing) {
  expect_a_full_disk_loses_nothing("redis", "redis", 256, "?alive_ms=2000");
}

TEST(RabbitMqFullDisk, LosesNothing) { expect_a_full_disk_loses_nothing("rabbitmq", "amqp", 700, ""); }

TEST(KafkaFullDisk, LosesNothing) {
  expect_a_full_disk_loses_nothing("kafka", "kafka", 1'024, "?alive_ms=3000");
}

}  // namespace
}  // namespace ez::test
