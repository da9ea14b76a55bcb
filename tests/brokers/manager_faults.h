// What the tests of the queue manager over real brokers share: faults under load, how long messages took to
// find another way and back, and what has to be true afterwards.
//
// Bounds. A failover and a return have to be over within bound_ms(): 5 s where EZ_QUEUE_BOUND_MS says so
// (make soak, on a machine that does nothing else), else half a minute, because make test shares its machine.
#pragma once

#include <cstdint>
#include <string>

#include "load.h"
#include "managed.h"

namespace ez::test {

[[nodiscard]] std::int64_t bound_ms();

void restart_empty(const Value& server, int node = 0);

// The faults of one run.
struct Watch {
  Managed& managed;
  std::string topic;
  std::string primary;
  std::string fallback = "embedded";

  void fell(const char* what) const { expect(what, "away", fallback); }
  void returned(const char* what) const { expect(what, "back", primary); }
  // Messages go through the primary again, whether or not the manager left it meanwhile; since `began_us`.
  void flows(const char* what, std::int64_t began_us) const;

 private:
  void expect(const char* what, const char* where, const std::string& backend) const;
};

void expect_in_order_and_once(const LoadResult& result);
// Each switch begins where the one before has ended, and has a later number.
void expect_one_at_a_time(queue::Manager& manager);

struct FaultyBroker {
  std::string name;  // of its backend
  std::string url;   // through the gate
  const Value& server;
  Servers::Gate gate;
};
// A network that is cut and half-open, kill -9, SIGSTOP, and a restart with an empty disk, all under load.
void expect_faults_lose_nothing(const FaultyBroker& broker, const std::string& topic);

// SCHEME://USER:PASSWORD@ADDRESS?REST
[[nodiscard]] std::string url_of(const std::string& scheme, const Value& server, const std::string& address,
                                 const std::string& rest);

}  // namespace ez::test
