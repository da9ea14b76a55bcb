// Consumers that the API holds for its callers: a delivery that was taken over HTTP belongs to one of them
// until it is settled. Internal to http/api/.
//
// Flow control. At most kMaxHeldConsumers; one without deliveries is closed after kIdleMs. A caller that
// leaves while it waits gets nothing: what was picked for it is given back.
//
// Threads: any. Ends before the bus.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "base/random.h"
#include "http/api/context.h"
#include "queue/embedded/embedded_bus.h"

namespace ez::http::api {

inline constexpr std::size_t kMaxHeldConsumers = 2'000;

class QueueConsumers {
 public:
  static constexpr std::int64_t kIdleMs = 60'000;

  struct Held {
    std::uint64_t id = 0;
    std::string name_space;
    std::mutex mutex;
    std::unique_ptr<queue::EmbeddedConsumer> consumer;  // guarded by mutex; null after stop()
    bool taking = false;                                // guarded by the pool's mutex, as the rest
    std::size_t out = 0;                                // about: leases that end are not seen here
    std::int64_t used_ms = 0;
    std::tuple<std::string, std::string, std::int64_t> key;  // pattern, group, lease
  };
  using HeldPtr = std::shared_ptr<Held>;  // shared: a call that is under way keeps it

  // The first number is random: a tag of an earlier server names nothing here.
  QueueConsumers(queue::EmbeddedBus& bus, Clock& clock)
      : bus_(bus), clock_(clock), next_(system_random().next() >> 20) {}
  // Closes all of them; waiting takes are answered. Nobody borrows any more.
  void stop();

  // One that is free to take, made when there is none. May wait for the log. OVERLOADED.
  [[nodiscard]] Result<HeldPtr> borrow(const std::string& pattern, const std::string& group,
                                       std::int64_t lease_ms, const std::string& name_space);
  void give_back(const HeldPtr& held, std::size_t taken);
  [[nodiscard]] HeldPtr find(std::uint64_t id, std::string_view name_space);
  void settled(const HeldPtr& held, std::size_t count);

 private:
  void close_idle(std::vector<HeldPtr>& closed);

  queue::EmbeddedBus& bus_;
  Clock& clock_;
  std::mutex mutex_;
  std::uint64_t next_;
  std::map<std::uint64_t, HeldPtr> held_;
  std::map<std::tuple<std::string, std::string, std::int64_t>, std::vector<HeldPtr>> free_;
};

}  // namespace ez::http::api
