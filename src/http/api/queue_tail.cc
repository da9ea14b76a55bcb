// Queues: what is published from now on, as an event stream. Each stream is a broadcast consumer: nothing is
// taken from anybody, and nothing is kept for a stream that has gone.
#include <deque>

#include "base/json.h"
#include "http/api/follower.h"
#include "http/api/queue_view.h"

namespace ez::http::api {
namespace {

using security::Permission;

constexpr std::size_t kMaxTails = 64;
constexpr std::size_t kAtOnce = 100;
constexpr std::size_t kBytesAtOnce = 1024 * 1024;
constexpr std::chrono::milliseconds kWait{30'000};

class QueueTail final : public Follower {
 public:
  QueueTail(Context& context, std::unique_ptr<queue::EmbeddedConsumer> consumer)
      : Follower(context), consumer_(std::move(consumer)) {}

 private:
  std::optional<Event> next() override {
    std::lock_guard lock(mutex_);
    if (failed_) give_up();
    if (!waiting_.empty()) {
      Event event{"", "message", std::move(waiting_.front()), false};
      waiting_.pop_front();
      return event;
    }
    if (!taking_ && !failed_) {
      taking_ = true;
      // Not under the lock: the answer may come inside the call.
      const auto self = std::static_pointer_cast<QueueTail>(shared_from_this());
      if (!context_.transfers.post([self] { self->take(); })) {
        taking_ = false;
        failed_ = true;
        give_up();
      }
    }
    return std::nullopt;
  }

  void take() {
    std::shared_ptr<queue::EmbeddedConsumer> consumer;
    {
      std::lock_guard lock(mutex_);
      consumer = consumer_;
    }
    if (consumer == nullptr) return;
    consumer->take(kAtOnce, kBytesAtOnce, kWait,
                   [weak = weak_from_this()](const Result<std::vector<queue::Delivery>>& got) {
                     const auto self = std::static_pointer_cast<QueueTail>(weak.lock());
                     if (self != nullptr) self->took(got);
                   });
  }

  void took(const Result<std::vector<queue::Delivery>>& got) {
    std::shared_ptr<queue::EmbeddedConsumer> consumer;
    std::vector<queue::DeliveryTag> tags;
    {
      std::lock_guard lock(mutex_);
      taking_ = false;
      failed_ = failed_ || !got.ok();
      for (std::size_t i = 0; got.ok() && i < got->size(); ++i) {
        waiting_.push_back(to_json(message_view((*got)[i])));
        tags.push_back((*got)[i].tag);
      }
      consumer = consumer_;
    }
    if (consumer != nullptr && !tags.empty())
      consumer->ack(std::move(tags), [](const std::vector<Status>&) {});
    wake();
  }

  // Closing waits for the log, which the render thread must not.
  void ended() override {
    std::shared_ptr<queue::EmbeddedConsumer> consumer;
    {
      std::lock_guard lock(mutex_);
      consumer = std::move(consumer_);
    }
    static_cast<void>(
        context_.transfers.post([consumer = std::move(consumer)]() mutable { consumer.reset(); }));
  }

  std::mutex mutex_;
  std::shared_ptr<queue::EmbeddedConsumer> consumer_;  // shared: a call under way keeps it
  std::deque<std::string> waiting_;
  bool taking_ = false;
  bool failed_ = false;
};

Status tail(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_TRY(request.query.only({"namespace", "last_event_id"}));
  EZ_ASSIGN(queue::EmbeddedBus* const bus, queue_of(context));
  EZ_ASSIGN(const std::string pattern, pattern_of(request, request.parameter("topic")));
  if (context.followers.load() >= kMaxTails) return overloaded("too many event streams are open");
  transfer(context, answer, [&context, answer, bus, pattern] {
    auto consumer = bus->subscribe_embedded({pattern, "", 1000, 60'000}, std::chrono::milliseconds(10'000));
    if (!consumer.ok()) {
      answer->problem(consumer.error());
      return;
    }
    answer->responder().header("Cache-Control", "no-store");
    std::make_shared<QueueTail>(context, std::move(*consumer))->open(std::move(answer->responder()));
  });
  return {};
}

}  // namespace

void add_queue_tail_routes(Router& router, Context& context) {
  add_route(router, context, Method::kGet, "/v1/queues/{topic}/events", Permission::kRunRead,
            "Follow what is published", tail);
}

}  // namespace ez::http::api
