// Queues: take and settle deliveries.
#include "http/api/queue_consumers.h"

#include <algorithm>
#include <charconv>

#include "http/api/queue_view.h"
#include "queue/topic.h"

namespace ez::http::api {
namespace {

using security::Permission;

constexpr std::chrono::milliseconds kSubscribeWait{10'000};
constexpr std::size_t kMaxTake = 1'000;
constexpr std::size_t kTakeBytes = 8 * 1024 * 1024;
constexpr std::int64_t kMaxLeaseMs = 12LL * 3600 * 1000;
constexpr std::size_t kMaxReason = 300;

struct Tag {
  std::uint64_t consumer = 0;
  queue::DeliveryTag tag;
};

std::string tag_text(std::uint64_t consumer, queue::DeliveryTag tag) {
  return std::to_string(consumer) + "-" + std::to_string(tag.value);
}

std::optional<Tag> parse_tag(const std::string& text) {
  Tag out;
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, out.consumer);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != '-') return std::nullopt;
  const auto second = std::from_chars(first.ptr + 1, end, out.tag.value);
  if (second.ec != std::errc() || second.ptr != end) return std::nullopt;
  return out;
}

}  // namespace

Result<QueueConsumers::HeldPtr> QueueConsumers::borrow(const std::string& pattern, const std::string& group,
                                                       std::int64_t lease_ms, const std::string& name_space) {
  std::vector<HeldPtr> closed;  // ended without the lock
  {
    std::lock_guard lock(mutex_);
    close_idle(closed);
    const auto found = free_.find({pattern, group, lease_ms});
    if (found != free_.end() && !found->second.empty()) {
      HeldPtr held = found->second.back();
      found->second.pop_back();
      held->taking = true;
      return held;
    }
    if (held_.size() >= kMaxHeldConsumers) return overloaded("too many consumers are open");
  }
  EZ_ASSIGN(auto consumer, bus_.subscribe_embedded({pattern, group, 100'000, lease_ms}, kSubscribeWait));
  std::lock_guard lock(mutex_);
  auto held = std::make_shared<Held>();
  held->id = next_++;
  held->name_space = name_space;
  held->consumer = std::move(consumer);
  held->taking = true;
  held->used_ms = clock_.now_ms();
  held->key = {pattern, group, lease_ms};
  held_.emplace(held->id, held);
  return held;
}

void QueueConsumers::give_back(const HeldPtr& held, std::size_t taken) {
  std::lock_guard lock(mutex_);
  held->taking = false;
  held->out += taken;
  held->used_ms = clock_.now_ms();
  free_[held->key].push_back(held);
}

QueueConsumers::HeldPtr QueueConsumers::find(std::uint64_t id, std::string_view name_space) {
  std::lock_guard lock(mutex_);
  const auto found = held_.find(id);
  if (found == held_.end() || found->second->name_space != name_space) return nullptr;
  return found->second;
}

void QueueConsumers::stop() {
  std::map<std::uint64_t, HeldPtr> all;
  {
    std::lock_guard lock(mutex_);
    all = std::exchange(held_, {});
  }
  for (const auto& [id, held] : all) {
    std::unique_ptr<queue::EmbeddedConsumer> consumer;
    {
      std::lock_guard lock(held->mutex);
      consumer = std::move(held->consumer);
    }
    consumer.reset();  // without the locks: it waits for its last callbacks
  }
  std::lock_guard lock(mutex_);
  free_.clear();
}

void QueueConsumers::settled(const HeldPtr& held, std::size_t count) {
  std::lock_guard lock(mutex_);
  held->out -= std::min(held->out, count);
  held->used_ms = clock_.now_ms();
}

void QueueConsumers::close_idle(std::vector<HeldPtr>& closed) {
  const std::int64_t now_ms = clock_.now_ms();
  for (auto at = held_.begin(); at != held_.end();) {
    const HeldPtr held = at->second;
    // With deliveries out it stays for as long as a lease of them may.
    const std::int64_t patience = held->out == 0 ? kIdleMs : std::max(kIdleMs, std::get<2>(held->key) * 2);
    if (held->taking || now_ms - held->used_ms < patience) {
      ++at;
      continue;
    }
    std::erase(free_[held->key], held);
    if (free_[held->key].empty()) free_.erase(held->key);
    closed.push_back(held);
    at = held_.erase(at);
  }
}

namespace {

void answer_deliveries(Context& context, const DeferredPtr& answer, const QueueConsumers::HeldPtr& held,
                       const std::vector<queue::Delivery>& deliveries) {
  Value::List items;
  std::vector<queue::DeliveryTag> tags;
  for (const queue::Delivery& delivery : deliveries) {
    Value view = message_view(delivery);
    view.set("tag", Value(tag_text(held->id, delivery.tag)));
    view.set("attempt", Value(static_cast<std::int64_t>(delivery.attempt)));
    items.push_back(std::move(view));
    tags.push_back(delivery.tag);
  }
  context.queue_consumers->give_back(held, deliveries.size());
  if (answer->json(200, Value(Value::Map{{"deliveries", Value(std::move(items))}})) || tags.empty()) return;
  std::lock_guard lock(held->mutex);
  if (held->consumer == nullptr) return;
  held->consumer->nack_because(tags, std::chrono::milliseconds(0), "the caller left before the answer",
                               [](const std::vector<Status>&) {});
}

Status take(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN([[maybe_unused]] queue::EmbeddedBus* const bus, queue_of(context));
  EZ_ASSIGN(const std::string pattern, pattern_of(request, request.parameter("topic")));
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  std::string group = fields.line("group", 64);
  const auto max = static_cast<std::size_t>(fields.number("max", 1, 1, kMaxTake));
  const std::int64_t wait_ms = fields.number("wait_ms", 0, 0, kMaxWaitMs);
  const std::int64_t lease_ms = fields.number("lease_ms", 30'000, 100, kMaxLeaseMs);
  EZ_TRY(fields.done());
  if (group.empty()) group = "default";
  EZ_TRY(queue::check_group(group));
  transfer(context, answer,
           [&context, answer, pattern, group, max, wait_ms, lease_ms,
            name_space = std::string(request.name_space())] {
             auto held = context.queue_consumers->borrow(pattern, group, lease_ms, name_space);
             if (!held.ok()) {
               answer->problem(held.error());
               return;
             }
             // Not under its lock, because the answer may come inside the call; nothing is closed while
             // this thread works.
             (*held)->consumer->take(
                 max, kTakeBytes, std::chrono::milliseconds(wait_ms),
                 [&context, answer, held = *held](const Result<std::vector<queue::Delivery>>& got) {
                   if (got.ok()) {
                     answer_deliveries(context, answer, held, *got);
                     return;
                   }
                   context.queue_consumers->give_back(held, 0);
                   answer->problem(got.error());
                 });
           });
  return {};
}

// What a request settles, in its order; the last callback answers.
class Settling : public std::enable_shared_from_this<Settling> {
 public:
  struct One {
    std::string text;
    std::optional<Tag> tag;
    enum Kind { kAck, kNack, kBury, kExtend } kind = kAck;
    std::int64_t ms = 0;
    std::string reason;
    std::optional<Error> error;
  };

  Settling(Context& context, DeferredPtr answer, std::string name_space, std::vector<One> all)
      : context_(context),
        answer_(std::move(answer)),
        name_space_(std::move(name_space)),
        all_(std::move(all)) {}

  void start() {
    // One call for what is alike, so that a thousand acknowledgements are one record.
    std::map<std::tuple<std::uint64_t, int, std::int64_t, std::string>, std::vector<std::size_t>> calls;
    for (std::size_t i = 0; i < all_.size(); ++i) {
      One& one = all_[i];
      if (one.tag) calls[{one.tag->consumer, one.kind, one.ms, one.reason}].push_back(i);
      if (!one.tag) one.error = stale(one.text);
    }
    left_ = calls.size() + 1;
    for (auto& [call, positions] : calls) {
      const auto held = context_.queue_consumers->find(std::get<0>(call), name_space_);
      if (held == nullptr) {
        for (const std::size_t i : positions) all_[i].error = stale(all_[i].text);
        done();
        continue;
      }
      std::vector<queue::DeliveryTag> tags;
      for (const std::size_t i : positions) tags.push_back(all_[i].tag->tag);
      settle(held, all_[positions.front()], std::move(tags), positions);
    }
    done();
  }

 private:
  static Error stale(const std::string& text) {
    return Error(Code::LeaseStale, "the delivery '" + text.substr(0, 64) + "' is not out");
  }

  void settle(const QueueConsumers::HeldPtr& held, const One& like, std::vector<queue::DeliveryTag> tags,
              std::vector<std::size_t> positions) {
    auto finished = [self = shared_from_this(), held, positions = std::move(positions),
                     extend = like.kind == One::kExtend](const std::vector<Status>& statuses) {
      for (std::size_t n = 0; n < positions.size(); ++n) {
        if (!statuses[n].ok()) self->all_[positions[n]].error = statuses[n].error();
      }
      if (!extend) self->context_.queue_consumers->settled(held, positions.size());
      self->done();
    };
    const std::chrono::milliseconds ms{like.ms};
    std::lock_guard lock(held->mutex);
    if (held->consumer == nullptr) {
      finished(std::vector<Status>(tags.size(), Error(Code::ShuttingDown, "the server stops")));
      return;
    }
    switch (like.kind) {
      case One::kAck:
        held->consumer->ack(std::move(tags), std::move(finished));
        break;
      case One::kNack:
        held->consumer->nack_because(std::move(tags), ms, like.reason, std::move(finished));
        break;
      case One::kBury:
        held->consumer->bury(std::move(tags), like.reason, std::move(finished));
        break;
      case One::kExtend:
        held->consumer->extend(std::move(tags), ms, std::move(finished));
        break;
    }
  }

  void done() {
    if (--left_ > 0) return;
    Value::List results;
    for (const One& one : all_) {
      Value view(Value::Map{{"tag", Value(one.text)}, {"ok", Value(!one.error.has_value())}});
      if (one.error) {
        view.set("error", Value(Value::Map{{"code", Value(one.error->name())},
                                           {"message", Value(one.error->message())}}));
      }
      results.push_back(std::move(view));
    }
    answer_->json(200, Value(Value::Map{{"results", Value(std::move(results))}}));
  }

  Context& context_;
  const DeferredPtr answer_;
  const std::string name_space_;
  std::vector<One> all_;
  std::atomic<std::size_t> left_{0};
};

Status settle(Context& context, Request& request, const DeferredPtr& answer) {
  EZ_ASSIGN([[maybe_unused]] queue::EmbeddedBus* const bus, queue_of(context));
  EZ_ASSIGN(const Value body, request.json_object());
  Fields fields(body);
  std::vector<Settling::One> all;
  const auto add = [&](std::string text, Settling::One::Kind kind, std::int64_t ms, std::string reason) {
    Settling::One one;
    one.tag = parse_tag(text);
    one.text = std::move(text);
    one.kind = kind;
    one.ms = ms;
    one.reason = std::move(reason);
    all.push_back(std::move(one));
  };
  for (std::string& tag : fields.lines("ack", kMaxTake, 64)) add(std::move(tag), Settling::One::kAck, 0, "");
  for (const char* list : {"nack", "bury", "extend"}) {
    const Value::List& items = fields.list(list, kMaxTake);
    for (std::size_t i = 0; i < items.size(); ++i) {
      Fields one(items[i], std::string(list) + "[" + std::to_string(i) + "]");
      std::string tag = one.need_line("tag", 64);
      std::int64_t ms = 0;
      std::string reason;
      auto kind = Settling::One::kNack;
      if (std::string_view(list) == "nack") ms = one.number("delay_ms", 0, 0, queue::kMaxDelayMs);
      if (std::string_view(list) == "bury") kind = Settling::One::kBury;
      if (std::string_view(list) == "extend") {
        kind = Settling::One::kExtend;
        ms = one.need_number("lease_ms", 100, kMaxLeaseMs);
      } else {
        reason = one.text("reason", kMaxReason);
        if (reason.empty()) reason = "given back by the consumer";
      }
      EZ_TRY(one.done());
      add(std::move(tag), kind, ms, std::move(reason));
    }
  }
  if (all.empty()) fields.fail("ack", "or nack, bury or extend must name a delivery");
  EZ_TRY(fields.done());
  std::make_shared<Settling>(context, answer, std::string(request.name_space()), std::move(all))->start();
  return {};
}

}  // namespace

void add_queue_consumer_routes(Router& router, Context& context) {
  if (context.services.queue != nullptr) {
    context.queue_consumers =
        std::make_shared<QueueConsumers>(*context.services.queue, context.services.clock);
  }
  add_route(router, context, Method::kPost, "/v1/queues/{topic}/take", Permission::kRunControl,
            "Take deliveries", take);
  add_route(router, context, Method::kPost, "/v1/deliveries/settle", Permission::kRunControl,
            "Acknowledge, give back, bury or extend deliveries", settle, 1024 * 1024);
}

}  // namespace ez::http::api
