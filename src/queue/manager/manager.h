// The queue manager: the server's bus. To its callers it is the embedded bus; behind it, messages also travel
// through the brokers that the configuration names (docs/adr/0053-the-log-holds-what-brokers-carry.md).
//
// What is acknowledged is in the log: a receipt means that the message is there, durable, and an
// acknowledgement that the log has settled it. Brokers carry messages and never own them, so that one may die
// with its disk and nothing is lost:
//   - what is published goes into the log, then to the broker that the topic's route uses now;
//   - a copy that comes back lets the message go to the group that waits for it (Inlet); when the broker
//     refuses it, is given up, or does not bring it for seconds, the log lets it go by itself;
//   - what others publish at a broker goes into the log when it arrives, and is done with at the broker then.
//
// Routes. Each uses its primary while that is up, else its fallback while that is up, else nothing but the
// log. Which one is decided in one place, under one lock, with a number that grows with each switch (epoch);
// a publication that was begun before a switch is not sent afterwards. A switch is written to the log of the
// server, counted, and kept (switches()), also over restarts.
//
// Health. Every broker is asked for a round trip by check_every_ms; breaker.h decides.
//
// Threads. Any, as the embedded bus. Of its own: one for health, one Inlet for each broker, one Relay for
// each direct route, one for a migration. The log given to it outlives it, and the manager its consumers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "queue/embedded/embedded_bus.h"
#include "queue/manager/config.h"

namespace ez::queue {

struct QueueSwitch {
  std::uint64_t epoch = 0;
  std::int64_t at_ms = 0;  // wall time
  std::string route;       // its pattern; # for the route of every topic
  std::string from;
  std::string to;
  std::string why;
};

struct BackendStatus {
  std::string name;
  std::string kind;  // redis, rabbitmq, …
  std::string url;   // without the password
  bool up = false;
  std::int64_t since_ms = 0;  // wall time; 0: never up yet
  std::int64_t round_trip_us = 0;
  std::string why;      // the last failure
  std::string trouble;  // of taking from it
  std::uint64_t sent = 0;
  std::uint64_t not_sent = 0;  // refused, or known there already: the log serves them
  std::uint64_t own = 0;       // came back
  std::uint64_t strange = 0;   // published by others, new
  std::uint64_t repeated = 0;  // published by others, known
  std::uint64_t refused = 0;   // published by others, no message for us
};

struct RouteStatus {
  std::string topic;  // its pattern; # for the route of every topic
  std::string primary;
  std::string fallback;
  bool direct = false;
  std::string active;
  bool moved = false;  // otherwise than configured, by a migration
  bool held = false;   // while messages are being moved
  std::int64_t since_ms = 0;
  std::uint64_t waiting = 0;  // of a direct route: in the log, not yet confirmed by a broker
};

// What lies at a broker. Copies of what the log holds count too.
struct AtBroker {
  std::string topic;
  std::string backend;
  std::uint64_t ready = 0;
  std::uint64_t delayed = 0;
};

class Migration;

class Manager : public EmbeddedBus {
 public:
  using OpenBus = std::function<Result<std::unique_ptr<Bus>>(const BackendConfig&)>;
  // `open`: how brokers are opened (tests); none: by their address. Does not wait for brokers.
  [[nodiscard]] static Result<std::unique_ptr<Manager>> start(EmbeddedBus& log, ManagerConfig config,
                                                              OpenBus open = {});

  [[nodiscard]] virtual std::vector<BackendStatus> backends() = 0;
  [[nodiscard]] virtual std::vector<RouteStatus> routes() = 0;
  [[nodiscard]] virtual std::vector<QueueSwitch> switches() = 0;  // the newest 100, oldest first
  [[nodiscard]] virtual std::uint64_t switches_total() = 0;       // of this process
  // Where messages of that topic are published now: a backend's name, or embedded.
  [[nodiscard]] virtual std::string active(const std::string& topic) = 0;
  // Of topics that the pattern matches, at brokers that are up. Waits at most `wait` for each.
  [[nodiscard]] virtual std::vector<AtBroker> at_brokers(const std::string& pattern,
                                                         std::chrono::milliseconds wait) = 0;
  // Called after each switch, from the manager's thread; an earlier callback does not run any more when this
  // returns. It may not call the manager.
  virtual void on_switch(std::function<void(const QueueSwitch&)> callback) = 0;
  // Moves messages from one backend to another (migration.h). Lives as long as the manager.
  [[nodiscard]] virtual Migration& migration() = 0;
};

}  // namespace ez::queue
