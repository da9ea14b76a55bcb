#include <algorithm>
#include <charconv>
#include <set>

#include "base/clock.h"
#include "queue/rabbitmq/names.h"
#include "queue/rabbitmq/registry_log.h"

namespace ez::queue::rabbitmq {
namespace {

using broker::kKeyedLane;
using broker::kLanes;
using broker::TopicQueue;

constexpr std::int64_t kScanWaitUs = 100'000;
// So long readers that are just leaving may take to be gone.
constexpr std::int64_t kLeavingUs = 5'000'000;

std::int64_t scan_now_us() { return system_clock().monotonic_us(); }

// Everything of a queue is taken and held, and given back, or acknowledged, when all of it was shown: AMQP
// has no other way to see the messages with keys, whose queue has one reader at a time.
class RabbitScan final : public broker::ScanSession {
 public:
  explicit RabbitScan(const RabbitOptions& options) : options_(options), names_{options.broker.prefix} {}
  [[nodiscard]] Status open() {
    EZ_ASSIGN(link_, Link::open(options_, 0));
    return link_->prefetch(0);
  }
  Status look(const std::string& topic, const std::vector<TopicQueue>& queues, bool removing,
              const Inventory::Each& each) override;

 private:
  [[nodiscard]] Result<std::set<std::int64_t>> delays_of(const std::string& topic);
  // False: there is no such queue.
  [[nodiscard]] Result<bool> wait_for_readers(const std::string& queue);
  [[nodiscard]] Status look_queue(const std::string& queue, const std::string& topic, bool delayed,
                                  bool removing, const Inventory::Each& each);

  const RabbitOptions options_;
  const Names names_;
  std::unique_ptr<Link> link_;
  std::uint64_t consumers_ = 0;  // that were begun: their names
};

Result<std::set<std::int64_t>> RabbitScan::delays_of(const std::string& topic) {
  EZ_ASSIGN(const auto registry, RegistryLog::open(options_));
  EZ_ASSIGN(const std::vector<std::string> events, registry->read());
  const std::string beginning = "delay\x1f" + topic + "\x1f";
  std::set<std::int64_t> out;
  for (const std::string& event : events) {
    if (!event.starts_with(beginning)) continue;
    std::int64_t ms = 0;
    const char* const end = event.data() + event.size();
    const auto read = std::from_chars(event.data() + beginning.size(), end, ms);
    if (read.ec == std::errc() && ms > 0) out.insert(ms);
  }
  return out;
}

Status RabbitScan::look(const std::string& topic, const std::vector<TopicQueue>& queues, bool removing,
                        const Inventory::Each& each) {
  EZ_ASSIGN(const std::set<std::int64_t> delays, delays_of(topic));
  // Delayed ones first: what becomes due meanwhile is found in its lane.
  for (const std::int64_t ms : delays) {
    EZ_TRY(look_queue(names_.delay(topic, ms), topic, true, removing, each));
  }
  for (const TopicQueue& queue : queues) {
    for (int lane = 0; lane < kLanes; ++lane) {
      EZ_TRY(look_queue(names_.lane(queue, lane), topic, false, removing, each));
    }
  }
  return {};
}

Result<bool> RabbitScan::wait_for_readers(const std::string& queue) {
  const std::int64_t end = scan_now_us() + kLeavingUs;
  while (true) {
    auto readers = link_->readers(queue);
    if (!readers.ok()) {
      if (readers.error().code() != Code::TopicNotFound) return readers.error();
      EZ_TRY(link_->reopen_channel());
      EZ_TRY(link_->prefetch(0));
      return false;
    }
    if (*readers == 0) return true;
    if (scan_now_us() > end) {
      return Error(Code::WrongState,
                   std::to_string(*readers) + " consumers read the queue " + queue + " at RabbitMQ",
                   "Stop who consumes there; what they hold cannot be moved.");
    }
    EZ_ASSIGN([[maybe_unused]] const Event nothing, link_->next(kScanWaitUs));
  }
}

Status RabbitScan::look_queue(const std::string& queue, const std::string& topic, bool delayed, bool removing,
                              const Inventory::Each& each) {
  EZ_ASSIGN(const bool there, wait_for_readers(queue));
  if (!there) return {};
  const std::string consumer = "scan." + std::to_string(++consumers_);
  EZ_TRY(link_->consume(queue, consumer, {}));
  std::uint64_t last = 0;
  bool kept = false;
  std::int64_t patience_us = scan_now_us() + options_.broker.request_timeout_ms * 1000;
  while (true) {
    EZ_ASSIGN(Event event, link_->next(kScanWaitUs));
    if (event.kind == Event::Kind::kNone) {
      EZ_ASSIGN(const std::uint64_t left, link_->count(queue));
      if (left == 0 && !link_->buffered()) break;
      if (scan_now_us() < patience_us) continue;
      return Error(Code::QueueUnreachable, "RabbitMQ does not give what lies in " + queue);
    }
    patience_us = scan_now_us() + options_.broker.request_timeout_ms * 1000;
    if (event.kind != Event::Kind::kDelivery || event.consumer != consumer) continue;
    last = event.tag;
    broker::Entry entry = read_message(std::move(event.content), topic);
    Lying shown;
    shown.message = std::move(entry.message);
    shown.published_ms = entry.published_ms;
    if (delayed) shown.due_ms = std::max<std::int64_t>(1, shown.published_ms + shown.message.delay_ms);
    EZ_ASSIGN(const bool remove, each(shown));
    if (remove && removing) {
      EZ_TRY(link_->ack(last, false));
    } else {
      kept = true;
    }
  }
  EZ_TRY(link_->cancel(consumer));
  // What stays goes back to its place.
  if (kept) EZ_TRY(link_->give_back(last, true));
  return link_->prefetch(0);  // a round trip: the acknowledgements before it have arrived
}

}  // namespace

Result<std::unique_ptr<broker::ScanSession>> open_scan(const RabbitOptions& options) {
  auto session = std::make_unique<RabbitScan>(options);
  EZ_TRY(session->open());
  return std::unique_ptr<broker::ScanSession>(std::move(session));
}

}  // namespace ez::queue::rabbitmq
