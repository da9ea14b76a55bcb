#include <algorithm>
#include <map>
#include <set>

#include "base/clock.h"
#include "base/random.h"
#include "queue/rabbitmq/names.h"
#include "queue/rabbitmq/registry_log.h"

namespace ez::queue::rabbitmq {
namespace {

using broker::GroupName;
using broker::kKeyedLane;
using broker::kLanes;
using broker::QueueCounts;
using broker::TopicQueue;

constexpr int kMissedToBeGone = 2;
constexpr std::int64_t kMadeUs = 5'000'000;  // others may delete it meanwhile

std::int64_t now_us() { return system_clock().monotonic_us(); }

class RabbitControl final : public broker::ControlSession {
 public:
  explicit RabbitControl(const RabbitOptions& options) : options_(options), names_{options.broker.prefix} {}

  [[nodiscard]] Status open();
  Result<std::vector<std::string>> read_registry() override;
  Status append_registry(const std::string& event) override;
  Status make_queue(const TopicQueue& queue, const std::optional<GroupName>& reader) override;
  void forget_made(const TopicQueue& queue) override { made_us_.erase(names_.lane(queue, 0)); }
  Status drop_queue(const TopicQueue& queue, const GroupName& reader) override;
  Result<std::vector<broker::Entry>> peek(const TopicQueue& queue, std::size_t max) override;
  Result<std::uint64_t> purge(const std::string& topic, const std::vector<TopicQueue>& queues) override;
  Result<std::vector<QueueCounts>> counts(const std::string& topic,
                                          const std::vector<TopicQueue>& queues) override;
  Status round_trip() override;
  Result<std::vector<GroupName>> keep_alive(const std::vector<GroupName>& mine,
                                            const std::vector<GroupName>& known) override;

 private:
  // The number of messages; none when there is no such queue.
  [[nodiscard]] Result<std::uint64_t> count(const std::string& queue);
  // A queue that has to be there is not: the broker came back without its memory. A new session makes it.
  [[nodiscard]] static Error lost(const Error& error) {
    return Error(Code::QueueUnreachable, error.message());
  }
  [[nodiscard]] Status confirmed();
  void note(const std::string& text);

  const RabbitOptions options_;
  const Names names_;
  std::unique_ptr<Link> link_;    // asks
  std::unique_ptr<Link> writer_;  // for what has to be confirmed
  std::unique_ptr<RegistryLog> registry_;
  std::uint64_t written_ = 0;
  std::map<std::string, std::int64_t> made_us_;           // queues, by the name of their first lane
  std::map<std::string, std::set<std::int64_t>> delays_;  // by topic
  std::map<GroupName, int> missed_;
  std::string health_;
};

Status RabbitControl::open() {
  EZ_ASSIGN(link_, Link::open(options_, 0));
  EZ_ASSIGN(writer_, Link::open(options_, 0));
  EZ_TRY(link_->declare_exchange(names_.exchange(), "direct"));
  EZ_TRY(writer_->confirms());
  EZ_ASSIGN(registry_, RegistryLog::open(options_));
  return {};
}

Status RabbitControl::confirmed() {
  const std::int64_t deadline = now_us() + options_.broker.request_timeout_ms * 1000;
  while (true) {
    EZ_ASSIGN(const Event event, writer_->next(deadline - now_us()));
    if (event.kind == Event::Kind::kConfirm && event.tag >= written_ && !event.refused) return {};
    if (event.kind == Event::Kind::kNone || event.refused) {
      return Error(Code::QueueUnreachable, "RabbitMQ did not confirm in time");
    }
  }
}

Status RabbitControl::append_registry(const std::string& event) {
  return RegistryLog::append(options_, event);
}

void RabbitControl::note(const std::string& text) {
  // "delay TOPIC MS", written by publish sessions.
  const auto event = broker::read_event(text);
  if (!event || event->kind != "delay") return;
  const std::int64_t ms = std::atoll(event->second.data());  // ends with the text
  if (ms > 0) delays_[std::string(event->first)].insert(ms);
}

Result<std::vector<std::string>> RabbitControl::read_registry() {
  EZ_ASSIGN(std::vector<std::string> out, registry_->read());
  for (const std::string& event : out) note(event);
  return out;
}

Status RabbitControl::make_queue(const TopicQueue& queue, const std::optional<GroupName>& reader) {
  std::int64_t& made_us = made_us_[names_.lane(queue, 0)];
  if (made_us != 0 && now_us() - made_us < kMadeUs) return {};
  EZ_TRY(declare_lanes(*link_, options_, queue, reader && is_broadcast(*reader)));
  made_us = now_us();
  return {};
}

Status RabbitControl::drop_queue(const TopicQueue& queue, const GroupName&) {
  forget_made(queue);
  for (int lane = 0; lane < kLanes; ++lane) EZ_TRY(link_->delete_queue(names_.lane(queue, lane)));
  return {};
}

Result<std::vector<broker::Entry>> RabbitControl::peek(const TopicQueue& queue, std::size_t max) {
  std::vector<broker::Entry> out;
  // Not the messages with keys: their queue lets nobody look who is not its reader.
  for (int lane = 0; lane < kKeyedLane; ++lane) {
    std::uint64_t last = 0;
    while (out.size() < max) {
      auto event = link_->get(names_.lane(queue, lane));
      if (!event.ok())
        return event.error().code() == Code::TopicNotFound ? lost(event.error()) : event.error();
      if (!*event) break;
      last = (*event)->tag;
      out.push_back(read_message(std::move((*event)->content), queue.topic));
    }
    if (last > 0) EZ_TRY(link_->give_back(last, true));
  }
  return out;
}

Result<std::uint64_t> RabbitControl::purge(const std::string& topic, const std::vector<TopicQueue>& queues) {
  std::uint64_t most = 0;
  for (const TopicQueue& queue : queues) {
    std::uint64_t removed = 0;
    for (int lane = 0; lane < kLanes; ++lane) {
      auto some = link_->purge(names_.lane(queue, lane));
      if (!some.ok()) return some.error().code() == Code::TopicNotFound ? lost(some.error()) : some.error();
      removed += *some;
    }
    most = std::max(most, removed);
  }
  for (const std::int64_t ms : delays_[topic]) {
    auto some = link_->purge(names_.delay(topic, ms));
    if (!some.ok()) return some.error().code() == Code::TopicNotFound ? lost(some.error()) : some.error();
    most += *some;
  }
  return most;
}

Result<std::uint64_t> RabbitControl::count(const std::string& queue) {
  auto count = link_->count(queue);
  if (count.ok() || count.error().code() != Code::TopicNotFound) return count;
  EZ_TRY(link_->reopen_channel());
  return std::uint64_t{0};
}

Result<std::vector<QueueCounts>> RabbitControl::counts(const std::string& topic,
                                                       const std::vector<TopicQueue>& queues) {
  std::uint64_t delayed = 0;
  for (const std::int64_t ms : delays_[topic]) {
    EZ_ASSIGN(const std::uint64_t some, count(names_.delay(topic, ms)));
    delayed += some;
  }
  std::vector<QueueCounts> out;
  for (const TopicQueue& queue : queues) {
    QueueCounts counts;
    for (int lane = 0; lane < kLanes; ++lane) {
      EZ_ASSIGN(const std::uint64_t some, count(names_.lane(queue, lane)));
      counts.waiting += some;
    }
    counts.delayed = delayed;
    counts.fetched_known = false;
    out.push_back(counts);
  }
  return out;
}

Status RabbitControl::round_trip() {
  if (health_.empty()) {
    const std::string name = names_.prefix + ".health." + std::to_string(system_random().next());
    EZ_TRY(link_->declare_queue(name, {true, true}, {}));
    health_ = name;
  }
  // Persistent, confirmed, and read back.
  EZ_TRY(writer_->publish_text("", health_, "health", "health"));
  ++written_;
  EZ_TRY(confirmed());
  EZ_ASSIGN(const auto event, link_->get(health_));
  if (!event) return Error(Code::QueueUnreachable, "RabbitMQ lost what it had just confirmed");
  return link_->ack(event->tag, false);
}

Result<std::vector<GroupName>> RabbitControl::keep_alive(const std::vector<GroupName>& mine,
                                                         const std::vector<GroupName>& known) {
  for (const GroupName& group : mine) EZ_TRY(link_->declare_queue(names_.alive(group), {false, true}, {}));
  std::vector<GroupName> gone;
  std::map<GroupName, int> missed;
  for (const GroupName& group : known) {
    if (std::ranges::find(mine, group) != mine.end()) continue;
    EZ_ASSIGN(const bool there, link_->exists(names_.alive(group)));
    if (there) continue;
    // Once may be a connection that broke and is coming back.
    missed[group] = missed_[group] + 1;
    if (missed[group] >= kMissedToBeGone) gone.push_back(group);
  }
  missed_ = std::move(missed);
  return gone;
}

}  // namespace

Result<std::unique_ptr<broker::ControlSession>> open_control(const RabbitOptions& options) {
  auto session = std::make_unique<RabbitControl>(options);
  EZ_TRY(session->open());
  return std::unique_ptr<broker::ControlSession>(std::move(session));
}

}  // namespace ez::queue::rabbitmq
