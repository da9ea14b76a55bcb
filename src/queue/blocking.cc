#include "queue/bus.h"
#include "queue/wait_for.h"

namespace ez::queue {
namespace {

Status first_failure(const std::vector<Status>& all) {
  for (const Status& status : all) EZ_TRY(status);
  return {};
}

constexpr std::size_t kAnyBytes = 16U << 20;

}  // namespace

std::vector<Result<Receipt>> publish_and_wait(Bus& bus, std::vector<Message> messages) {
  return await<std::vector<Result<Receipt>>>(
      [&](auto done) { bus.publish(std::move(messages), std::move(done)); });
}

Result<Receipt> publish_and_wait(Bus& bus, Message message) {
  std::vector<Message> one;
  one.push_back(std::move(message));
  return std::move(publish_and_wait(bus, std::move(one)).front());
}

Result<std::vector<Delivery>> take_and_wait(Consumer& consumer, std::size_t max,
                                            std::chrono::milliseconds wait) {
  return await<Result<std::vector<Delivery>>>(
      [&](auto done) { consumer.take(max, kAnyBytes, wait, std::move(done)); });
}

Status ack_and_wait(Consumer& consumer, std::vector<DeliveryTag> tags) {
  return first_failure(
      await<std::vector<Status>>([&](auto done) { consumer.ack(std::move(tags), std::move(done)); }));
}

Status nack_and_wait(Consumer& consumer, std::vector<DeliveryTag> tags, std::chrono::milliseconds delay) {
  return first_failure(
      await<std::vector<Status>>([&](auto done) { consumer.nack(std::move(tags), delay, std::move(done)); }));
}

Status extend_and_wait(Consumer& consumer, std::vector<DeliveryTag> tags, std::chrono::milliseconds lease) {
  return first_failure(await<std::vector<Status>>(
      [&](auto done) { consumer.extend(std::move(tags), lease, std::move(done)); }));
}

Result<std::vector<Delivery>> peek_and_wait(Bus& bus, std::string topic, std::size_t max) {
  return await<Result<std::vector<Delivery>>>(
      [&](auto done) { bus.peek(std::move(topic), max, std::move(done)); });
}

Result<std::uint64_t> purge_and_wait(Bus& bus, std::string topic) {
  return await<Result<std::uint64_t>>([&](auto done) { bus.purge(std::move(topic), std::move(done)); });
}

Result<std::vector<TopicCounts>> counts_and_wait(Bus& bus, std::string pattern) {
  return await<Result<std::vector<TopicCounts>>>(
      [&](auto done) { bus.counts(std::move(pattern), std::move(done)); });
}

Result<std::int64_t> check_health_and_wait(Bus& bus, std::chrono::milliseconds wait) {
  return await<Result<std::int64_t>>([&](auto done) { bus.check_health(wait, std::move(done)); });
}

}  // namespace ez::queue
