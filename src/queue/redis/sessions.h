// The kinds of sessions of the Redis backend (broker/driver.h).
#pragma once

#include <memory>

#include "queue/broker/driver.h"
#include "queue/redis/redis_bus.h"

namespace ez::queue::redis {

// The options outlive the sessions.
[[nodiscard]] Result<std::unique_ptr<broker::PublishSession>> open_publish(const RedisOptions& options);
[[nodiscard]] Result<std::unique_ptr<broker::ReadSession>> open_read(const RedisOptions& options,
                                                                     const std::string& member,
                                                                     const std::vector<std::string>& former);
[[nodiscard]] Result<std::unique_ptr<broker::ControlSession>> open_control(const RedisOptions& options);
[[nodiscard]] Result<std::unique_ptr<broker::ScanSession>> open_scan(const RedisOptions& options);

// "PREFIX:{TOPIC}:", the beginning of all keys of a topic.
[[nodiscard]] std::string base_of(const RedisOptions& options, const std::string& topic);

}  // namespace ez::queue::redis
