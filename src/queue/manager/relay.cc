#include "queue/manager/relay.h"

#include <map>

#include "base/clock.h"
#include "base/thread_name.h"
#include "queue/wait_for.h"
#include "telemetry/log.h"

namespace ez::queue {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kRelayAtOnce = 500;
constexpr std::size_t kRelayBytes = 4U << 20;
constexpr milliseconds kRelayWait{500};
constexpr milliseconds kRelayPause{500};
// It holds what it could not send for as long as it takes: a broker that is away costs no attempts.
constexpr std::int64_t kRelayLeaseMs = 12LL * 3600 * 1000;
constexpr std::int64_t kRelayExtendMs = 3600 * 1000;

}  // namespace

Relay::Relay(EmbeddedBus& log, std::string pattern, Hooks hooks)
    : log_(log), pattern_(std::move(pattern)), hooks_(std::move(hooks)), thread_([this] { loop(); }) {}

Relay::~Relay() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Relay::poke() {
  std::lock_guard lock(mutex_);
  poked_ = true;
  changed_.notify_all();
}

bool Relay::pause(milliseconds length) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, length, [&] { return stop_ || poked_; });
  poked_ = false;
  return !stop_;
}

void Relay::loop() {
  name_thread("ez-queue-relay");
  std::unique_ptr<EmbeddedConsumer> consumer;
  std::vector<Delivery> held;
  std::int64_t extended_ms = 0;
  while (pause(milliseconds(0))) {
    if (!consumer) {
      auto made = log_.subscribe_embedded({pattern_, std::string(kGroup), kRelayAtOnce, kRelayLeaseMs},
                                          milliseconds(10'000));
      if (!made.ok()) {
        EZ_LOG(kWarning, "queue", "messages for direct consumers cannot be read", {"topic", pattern_},
               {"error", made.error().to_string()});
        if (!pause(kRelayPause)) break;
        continue;
      }
      consumer = std::move(*made);
    }
    if (held.empty()) {
      auto taken = wait_for<std::vector<Delivery>>(
          [&](auto done) { consumer->take(kRelayAtOnce, kRelayBytes, kRelayWait, std::move(done)); });
      if (!taken.ok()) {
        consumer.reset();
        if (!pause(kRelayPause)) break;
        continue;
      }
      held = std::move(*taken);
      extended_ms = system_clock().monotonic_us() / 1000;
      if (held.empty()) continue;
    }
    const std::size_t before = held.size();
    held = send(*consumer, std::move(held));
    if (held.size() == before && !pause(kRelayPause)) break;
    const std::int64_t now_ms = system_clock().monotonic_us() / 1000;
    if (held.empty() || now_ms - extended_ms < kRelayExtendMs) continue;
    std::vector<DeliveryTag> tags;
    for (const Delivery& delivery : held) tags.push_back(delivery.tag);
    (void)extend_and_wait(*consumer, std::move(tags), milliseconds(kRelayLeaseMs));
    extended_ms = now_ms;
  }
}

std::vector<Delivery> Relay::send(EmbeddedConsumer& consumer, std::vector<Delivery> deliveries) {
  std::lock_guard sending(sending_);
  std::vector<DeliveryTag> done;
  std::vector<Delivery> left;
  // By broker, in order; what has none stays.
  std::map<Bus*, std::vector<Delivery>> batches;
  for (Delivery& delivery : deliveries) {
    if (!hooks_.is_mine(delivery.message.topic)) {
      done.push_back(delivery.tag);
      continue;
    }
    Bus* const broker = hooks_.active(delivery.message.topic);
    (broker == nullptr ? left : batches[broker]).push_back(std::move(delivery));
  }
  for (auto& [broker, batch] : batches) {
    std::vector<Message> messages;
    for (const Delivery& delivery : batch) {
      messages.push_back(delivery.message);
      messages.back().delay_ms = 0;  // it has waited in the log
    }
    const auto receipts = publish_and_wait(*broker, std::move(messages));
    std::uint64_t sent = 0;
    std::uint64_t failed = 0;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      if (receipts[i].ok()) {
        ++sent;
        done.push_back(batch[i].tag);
      } else if (receipts[i].error().code() == Code::InvalidArgument ||
                 receipts[i].error().code() == Code::PayloadTooLarge) {
        consumer.bury({batch[i].tag}, "the broker does not take it: " + receipts[i].error().message(),
                      [](const std::vector<Status>&) {});
      } else {
        ++failed;
        left.push_back(std::move(batch[i]));
      }
    }
    hooks_.count(broker, sent, failed);
  }
  // When it fails, it is sent again, with the same id.
  if (!done.empty()) (void)ack_and_wait(consumer, std::move(done));
  return left;
}

void Relay::settle() { std::lock_guard sending(sending_); }

}  // namespace ez::queue
