#include "queue/rabbitmq/names.h"

#include <algorithm>

namespace ez::queue::rabbitmq {
namespace {

constexpr std::int64_t kBroadcastExpiresMs = 60'000;

}  // namespace

std::int64_t round_delay(std::int64_t ms) {
  std::int64_t unit = 1;
  while (ms / unit >= 100) unit *= 10;
  return (ms + unit - 1) / unit * unit;
}

std::string delay_event(const std::string& topic, std::int64_t ms) {
  return broker::event_text({"delay", topic, std::to_string(ms)});
}

broker::Entry read_message(Content content, const std::string& topic) {
  broker::Entry entry;
  Message& message = entry.message;
  message.id = std::move(content.id);
  message.topic = topic;
  message.payload = std::move(content.body);
  for (auto& [name, value] : content.headers) {
    if (const auto* number = std::get_if<std::int64_t>(&value)) {
      if (name == "ez-published") entry.published_ms = *number;
      if (name == "ez-ttl") message.ttl_ms = std::max<std::int64_t>(0, *number);
      if (name == "ez-delay") message.delay_ms = std::max<std::int64_t>(0, *number);
      if (name == "ez-priority") {
        message.priority = static_cast<Priority>(std::clamp<std::int64_t>(*number, 0, kPriorities - 1));
      }
    } else if (auto* text = std::get_if<std::string>(&value)) {
      if (name == "ez-key") {
        message.key = std::move(*text);
      } else {
        message.headers.emplace_back(std::move(name), std::move(*text));
      }
    }
  }
  return entry;
}

Status declare_lanes(Link& link, const RabbitOptions& options, const broker::TopicQueue& queue,
                     bool broadcast) {
  const Names names{options.broker.prefix};
  for (int lane = 0; lane < broker::kLanes; ++lane) {
    Table arguments;
    if (broadcast) {
      // Goes by itself when its reader has gone.
      arguments.emplace_back("x-expires", kBroadcastExpiresMs);
    } else if (options.quorum) {
      arguments.emplace_back("x-queue-type", std::string("quorum"));
    }
    if (lane == broker::kKeyedLane) arguments.emplace_back("x-single-active-consumer", true);
    const std::string name = names.lane(queue, lane);
    EZ_TRY(link.declare_queue(name, {}, arguments));
    EZ_TRY(link.bind(name, names.exchange(), Names::key(queue.topic, lane)));
  }
  return {};
}

}  // namespace ez::queue::rabbitmq
