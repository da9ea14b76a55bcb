#include "manager_faults.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace ez::test {

std::int64_t bound_ms() {
  const char* bound = std::getenv("EZ_QUEUE_BOUND_MS");
  return bound != nullptr ? std::atoll(bound) : 30'000;
}

void restart_empty(const Value& server, int node) {
  Value command;
  command.set("do", "restart");
  command.set("server", server.int_or("server", 0));
  command.set("node", node);
  command.set("empty", true);
  Servers::get().ask(command);
}

void Watch::expect(const char* what, const char* where, const std::string& backend) const {
  const std::int64_t ms = managed.until(topic, backend);
  std::printf("  %-28s %s after %5lld ms\n", what, where, static_cast<long long>(ms));
  EXPECT_GE(ms, 0) << what;
  EXPECT_LE(ms, bound_ms()) << what;
}

void Watch::flows(const char* what, std::int64_t began_us) const {
  constexpr std::uint64_t kSome = 500;
  const auto own = [&] {
    for (const auto& backend : managed.manager().backends()) {
      if (backend.name == primary) return backend.own;
    }
    return std::uint64_t{0};
  };
  const std::uint64_t before = own();
  const auto taken_ms = [&] { return (system_clock().monotonic_us() - began_us) / 1000; };
  while (own() < before + kSome && taken_ms() < 2 * bound_ms()) last(5);
  std::printf("  %-28s again after %4lld ms\n", what, static_cast<long long>(taken_ms()));
  EXPECT_GE(own(), before + kSome) << what;
  EXPECT_LE(taken_ms(), bound_ms()) << what;
}

void expect_in_order_and_once(const LoadResult& result) {
  EXPECT_EQ(result.applied, result.published) << result.first_problem;
  EXPECT_EQ(result.lost, 0) << result.first_problem;
  EXPECT_EQ(result.out_of_order, 0) << result.first_problem;
  EXPECT_EQ(result.refused, 0) << result.first_problem;
  EXPECT_EQ(result.repeated, 0U) << "delivered again, although nothing was given back";
  std::printf("  %d messages, %llu published again, %llu delivered again\n", result.applied,
              static_cast<unsigned long long>(result.retried),
              static_cast<unsigned long long>(result.repeated));
}

void expect_one_at_a_time(queue::Manager& manager) {
  std::string at = "embedded";
  std::uint64_t epoch = 0;
  for (const queue::QueueSwitch& one : manager.switches()) {
    EXPECT_EQ(one.from, at);
    EXPECT_GT(one.epoch, epoch);
    at = one.to;
    epoch = one.epoch;
  }
}

void expect_faults_lose_nothing(const FaultyBroker& broker, const std::string& topic) {
  Servers& servers = Servers::get();
  const Value& server = broker.server;
  const Servers::Gate& gate = broker.gate;
  Managed managed(queue::one_primary(broker.url));
  ASSERT_GE(managed.until(topic, broker.name), 0);
  LoadOptions wanted = load(topic);
  wanted.until_faults_end = true;
  wanted.pace_ms = 20;
  const Watch watch{managed, topic, broker.name};
  const LoadResult result =
      run_load(managed.manager(), managed.manager(), wanted, [&](const std::function<int()>& applied) {
        const auto more = [&] { wait_for_applied(applied, applied() + 2'000); };
        wait_for_applied(applied, 5'000);
        servers.fault(gate, "cut");
        watch.fell("network cut");
        servers.fault(gate, "none");
        watch.returned("network cut");
        more();
        servers.kill(server);
        watch.fell("kill -9");
        servers.restart(server);
        watch.returned("kill -9");
        more();
        servers.fault(gate, "half_open");
        watch.fell("half-open network");
        servers.fault(gate, "none");
        watch.returned("half-open network");
        more();
        servers.pause(server);
        watch.fell("SIGSTOP");
        servers.resume(server);
        watch.returned("SIGSTOP");
        more();
        servers.kill(server);
        watch.fell("kill -9, disk emptied");
        restart_empty(server);
        watch.returned("kill -9, disk emptied");
        more();
      });
  expect_in_order_and_once(result);
  EXPECT_GE(result.published,
            wanted.messages / wanted.publishers / wanted.keys * wanted.publishers * wanted.keys);
  expect_one_at_a_time(managed.manager());
  const queue::BackendStatus status = managed.manager().backends()[0];
  EXPECT_GT(status.own, 1'000U) << "of " << status.sent << " sent, " << status.not_sent << " not, came back; "
                                << status.trouble;
}

std::string url_of(const std::string& scheme, const Value& server, const std::string& address,
                   const std::string& rest) {
  return scheme + "://" + std::string(server.string_or("user", "")) + ":" +
         std::string(server.string_or("password", "")) + "@" + address + rest;
}

}  // namespace ez::test
