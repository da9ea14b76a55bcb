// What the queue manager is told: which brokers there are, and which topics go through which.
//
//   backends:
//     redis: {url: 'redis://ez@127.0.0.1:6379?password_file=/etc/ez/redis'}
//     rabbit: {url_env: EZ_RABBIT_URL}
//   primary: redis
//   fallback: rabbit
//   routes:
//     - {topic: 'audit.#', primary: embedded}
//     - {topic: 'events.#', primary: rabbit, consumers: broker}
//   events: {topic: ez.events, source: 'https://ez.example', tasks: true}
//   dispatch:
//     - {agent_type: renderer, topic: jobs.render, replies: jobs.render.done, cancels: jobs.render.cancel,
//        capacity: 100, silence: 10m}
//   health: {every: 250ms, timeout: 1s, fail_after: 2, return_after: 4}
//
// `embedded` is the name of the server's own log. A topic takes the first route whose pattern it matches,
// otherwise `primary` and `fallback`.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/value.h"

namespace ez::queue {

inline constexpr std::string_view kEmbedded = "embedded";
inline constexpr std::size_t kMaxBackends = 8;
inline constexpr std::size_t kMaxRoutes = 64;
inline constexpr std::size_t kMaxDispatch = 64;
// The group that takes results; at brokers it alone reads the topics of replies.
inline constexpr std::string_view kDispatchGroup = "ez-dispatch";

struct BackendConfig {
  std::string name;  // [a-z0-9-]{1,32}, not `embedded`
  std::string url;   // see queue/open.h
};

struct RouteConfig {
  std::string topic;  // a pattern with its namespace; empty: every topic, the last route
  std::string primary{kEmbedded};
  std::string fallback{kEmbedded};
  // Who consumes speaks the broker directly: a message leaves the log as soon as a broker has confirmed it.
  bool direct = false;
  bool operator==(const RouteConfig&) const = default;
};

// Events of runs and tasks (engine/event_publisher.h); no topic: none.
struct EventsConfig {
  std::string topic;
  std::string source = "ez";
  bool tasks = true;
};

// Tasks of an agent type that go to a topic (dispatch/dispatch.h), for consumers that take them there.
struct DispatchConfig {
  std::string agent_type;
  std::string topic;    // of the tasks, with its namespace, as the next two
  std::string replies;  // of the results: no other entry's, and no topic whose consumers speak the broker
  std::string cancels;  // empty: nobody is told of tasks that should stop
  std::uint32_t capacity = 100;  // tasks that are out at a time
  std::int64_t silence_ms = 0;   // without a word for so long a task goes to somebody else; 0: never
};

struct ManagerConfig {
  EventsConfig events;
  std::vector<DispatchConfig> dispatch;
  std::vector<BackendConfig> backends;
  std::vector<RouteConfig> routes;  // at least the one of every topic
  std::int64_t check_every_ms = 250;
  std::int64_t check_timeout_ms = 1'000;
  int fail_after = 2;    // failed checks in a row; each lasts at most the timeout
  int return_after = 4;  // good checks in a row
  // Where a migration keeps which messages it has copied; empty: none can be made.
  std::string folder;

  [[nodiscard]] const BackendConfig* find(std::string_view name) const;
};

// A variable of the environment.
using QueueEnvironment = std::function<std::optional<std::string>(const std::string& name)>;

// `file` is the map above; null or empty: everything embedded. INVALID_ARGUMENT names the place and
// never shows an address with its password.
[[nodiscard]] Result<ManagerConfig> read_manager_config(const Value& file,
                                                        const QueueEnvironment& environment);

// As if a file named this broker (by its kind: redis, rabbitmq …) as the primary of every topic.
[[nodiscard]] ManagerConfig one_primary(std::string url);

}  // namespace ez::queue
