// The queue manager over a Redis of several nodes, of which the one that writes is killed: a replica takes
// over, and the messages that it never heard of are in the log.
#include <gtest/gtest.h>

#include <set>

#include "manager_faults.h"

namespace ez::test {
namespace {

bool writes(const Value& server, int node) {
  return redis_says(server, node, {"ROLE"}).starts_with("master");
}

// Until it follows another node and is in step with it.
void wait_until_it_follows(const Value& server, int node) {
  const std::int64_t end = system_clock().monotonic_us() + 60'000'000;
  while (system_clock().monotonic_us() < end) {
    const std::string role = redis_says(server, node, {"ROLE"});
    if (role.starts_with("slave") && role.find("\nconnected\n") != std::string::npos) return;
    last(20);
  }
  ADD_FAILURE() << "node " << node << " follows nobody: " << redis_says(server, node, {"ROLE"});
}

// Until as many nodes write as before: a replica has taken over.
void wait_until_writers(const Value& server, int nodes, int but, int count) {
  const std::int64_t end = system_clock().monotonic_us() + 60'000'000;
  int found = 0;
  while (system_clock().monotonic_us() < end) {
    found = 0;
    for (int node = 0; node < nodes; ++node) found += node != but && writes(server, node) ? 1 : 0;
    if (found >= count) return;
    last(20);
  }
  ADD_FAILURE() << found << " nodes write instead of " << count;
}

// Kills each node that writes, one after the other.
void expect_failovers_lose_nothing(const Value& server, const std::string& url, const std::string& topic) {
  Managed managed(queue::one_primary(url));
  ASSERT_GE(managed.until(topic, "redis"), 0);
  LoadOptions wanted = load(topic);
  wanted.messages /= 5;
  wanted.until_faults_end = true;
  wanted.pace_ms = 20;
  const Watch watch{managed, topic, "redis"};
  const int count = static_cast<int>(list_of(server, "addresses").size());
  // On a machine that is slow a node may be given up by the others without our help.
  std::set<int> killed;
  const auto next_writer = [&] {
    for (int node = 0; node < count; ++node) {
      if (!killed.contains(node) && writes(server, node)) return node;
    }
    return -1;
  };
  int writers = 0;
  for (int node = 0; node < count; ++node) writers += writes(server, node) ? 1 : 0;
  const LoadResult result =
      run_load(managed.manager(), managed.manager(), wanted, [&](const std::function<int()>& applied) {
        for (int i = 0; i < writers; ++i) {
          wait_for_applied(applied, applied() + 3'000);
          const int node = next_writer();
          if (node < 0) break;
          killed.insert(node);
          Servers::get().kill(server, node);
          watch.flows("the writing node killed", system_clock().monotonic_us());
          wait_until_writers(server, count, node, writers);
          Servers::get().restart(server, node);
          wait_until_it_follows(server, node);
        }
        EXPECT_FALSE(killed.empty());
        wait_for_applied(applied, applied() + 3'000);
      });
  expect_in_order_and_once(result);
  expect_one_at_a_time(managed.manager());
  EXPECT_GT(managed.manager().backends()[0].own, 1'000U) << "messages went through Redis";
}

const char* const kQuick = "?prefix=nodes&alive_ms=2000&connect_timeout_ms=1000&request_timeout_ms=1500";

TEST(RedisManager, AFailoverOfSentinelIsSoonOver) {
  const Value& server = redis_server(Variant::kSentinel);
  const std::string url =
      url_of("redis+sentinel", server, list_of(server, "sentinels").front(), "/main" + std::string(kQuick));
  expect_failovers_lose_nothing(server, url, "load.sentinel");
}

TEST(RedisManager, AFailoverOfEachNodeOfAClusterIsSoonOver) {
  Value options(Value::Map{});
  options.set("mode", "cluster");
  options.set("replicas", 1);
  const Value& server = Servers::get().server("redis", options);
  std::string addresses;
  for (const std::string& address : list_of(server, "addresses")) {
    addresses += (addresses.empty() ? "" : ",") + address;
  }
  expect_failovers_lose_nothing(server, url_of("redis+cluster", server, addresses, kQuick), "load.cluster");
}

}  // namespace
}  // namespace ez::test
