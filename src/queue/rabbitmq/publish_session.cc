#include <deque>
#include <set>

#include "base/clock.h"
#include "queue/rabbitmq/names.h"
#include "queue/rabbitmq/registry_log.h"

namespace ez::queue::rabbitmq {
namespace {

using broker::Outgoing;

// A connection that was idle for longer may have died unseen: a round trip before the first message tells,
// while nothing has an unknown outcome yet.
constexpr std::int64_t kFreshUs = 1'000'000;

class RabbitPublish final : public broker::PublishSession {
 public:
  explicit RabbitPublish(const RabbitOptions& options) : options_(options), names_{options.broker.prefix} {}

  [[nodiscard]] Status open() {
    EZ_ASSIGN(link_, Link::open(options_, 0));
    EZ_TRY(link_->declare_exchange(names_.exchange(), "direct"));
    EZ_TRY(link_->confirms());
    used_us_ = system_clock().monotonic_us();
    return {};
  }
  Status send(const std::vector<Outgoing>& batch) override;
  Result<std::vector<Result<Receipt>>> receive() override;
  std::size_t max_batches() const override { return 3; }

 private:
  struct Sent {
    std::vector<std::string> ids;
    std::uint64_t first = 0;  // tag of the first message
    std::vector<char> state;  // 0: open, 1: confirmed, 2: refused
    std::size_t open = 0;
  };
  [[nodiscard]] Status publish(const Outgoing& one);
  [[nodiscard]] Status make_delay(const std::string& topic, std::int64_t ms);
  void confirm(const Event& event);

  const RabbitOptions options_;
  const Names names_;
  std::unique_ptr<Link> link_;
  std::int64_t used_us_ = 0;
  std::uint64_t last_tag_ = 0;
  std::deque<Sent> sent_;
  std::set<std::string> delays_;
};

Status RabbitPublish::make_delay(const std::string& topic, std::int64_t ms) {
  const std::string name = names_.delay(topic, ms);
  if (delays_.contains(name)) return {};
  EZ_TRY(link_->declare_exchange(name, "fanout"));
  Table arguments{{"x-message-ttl", ms}, {"x-dead-letter-exchange", names_.exchange()}};
  if (options_.quorum) {
    arguments.emplace_back("x-queue-type", std::string("quorum"));
    // Moved only when the next queue has it.
    arguments.emplace_back("x-dead-letter-strategy", std::string("at-least-once"));
    arguments.emplace_back("x-overflow", std::string("reject-publish"));
  }
  EZ_TRY(link_->declare_queue(name, {}, arguments));
  EZ_TRY(link_->bind(name, name, ""));
  // So that others find it for counts and purges.
  EZ_TRY(RegistryLog::append(options_, delay_event(topic, ms)));
  delays_.insert(name);
  return {};
}

Status RabbitPublish::publish(const Outgoing& one) {
  const Message& message = *one.message;
  const int lane = message.key.empty() ? static_cast<int>(message.priority) : int{broker::kKeyedLane};
  const std::string key = Names::key(message.topic, lane);
  if (message.delay_ms > 0) {
    const std::int64_t ms = round_delay(message.delay_ms);
    return link_->publish(names_.delay(message.topic, ms), key, message, one.published_ms, false);
  }
  return link_->publish(names_.exchange(), key, message, one.published_ms, true);
}

Status RabbitPublish::send(const std::vector<Outgoing>& batch) {
  const std::int64_t now = system_clock().monotonic_us();
  if (sent_.empty() && now - used_us_ > kFreshUs) EZ_TRY(link_->prefetch(0));
  used_us_ = now;
  for (const Outgoing& one : batch) {
    if (one.message->delay_ms > 0) EZ_TRY(make_delay(one.message->topic, round_delay(one.message->delay_ms)));
  }
  Sent& sent = sent_.emplace_back();
  sent.first = last_tag_ + 1;
  sent.state.resize(batch.size(), 0);
  sent.open = batch.size();
  for (const Outgoing& one : batch) {
    sent.ids.push_back(one.message->id);
    EZ_TRY(publish(one));
    ++last_tag_;
  }
  return {};
}

void RabbitPublish::confirm(const Event& event) {
  for (Sent& sent : sent_) {
    if (sent.first > event.tag) break;
    const std::uint64_t end = sent.first + sent.state.size();
    const std::uint64_t from = event.multiple ? sent.first : event.tag;
    for (std::uint64_t tag = from; tag < end && tag <= event.tag; ++tag) {
      char& state = sent.state[tag - sent.first];
      if (state != 0) continue;
      state = event.refused ? 2 : 1;
      --sent.open;
    }
  }
}

Result<std::vector<Result<Receipt>>> RabbitPublish::receive() {
  std::int64_t deadline = system_clock().monotonic_us() + options_.broker.request_timeout_ms * 1000;
  while (sent_.front().open > 0) {
    EZ_ASSIGN(const Event event, link_->next(deadline - system_clock().monotonic_us()));
    switch (event.kind) {
      case Event::Kind::kConfirm:
        confirm(event);
        // As long as something comes, it is not dead.
        deadline = system_clock().monotonic_us() + options_.broker.request_timeout_ms * 1000;
        break;
      case Event::Kind::kReturned:
        // The queues have gone, for example because the broker came back empty: everything anew.
        return Error(Code::QueueUnreachable, "RabbitMQ has no queue for message " + event.content.id);
      case Event::Kind::kNone:
        return Error(Code::QueueUnreachable, "RabbitMQ did not confirm in time");
      default:
        break;
    }
  }
  used_us_ = system_clock().monotonic_us();
  const Sent sent = std::move(sent_.front());
  sent_.pop_front();
  std::vector<Result<Receipt>> out;
  for (std::size_t i = 0; i < sent.ids.size(); ++i) {
    if (sent.state[i] == 1) {
      out.push_back(Receipt{sent.ids[i], false});
    } else {
      out.push_back(Error(Code::QueueFull, "RabbitMQ refused the message " + sent.ids[i]));
    }
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<broker::PublishSession>> open_publish(const RabbitOptions& options) {
  auto session = std::make_unique<RabbitPublish>(options);
  EZ_TRY(session->open());
  return std::unique_ptr<broker::PublishSession>(std::move(session));
}

}  // namespace ez::queue::rabbitmq
