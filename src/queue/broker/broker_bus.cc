#include "queue/broker/broker_bus.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "base/clock.h"
#include "base/random.h"
#include "queue/broker/control.h"
#include "queue/broker/group_reader.h"
#include "queue/broker/publisher.h"
#include "queue/topic.h"
#include "telemetry/log.h"

namespace ez::queue::broker {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMakeAtOnce = 50;  // queues, in one job of the control thread

class BrokerBus final : public Bus, public Inventory {
 public:
  BrokerBus(std::unique_ptr<Driver> driver, BrokerOptions options)
      : driver_(std::move(driver)),
        options_(std::move(options)),
        control_(std::make_unique<Control>(*driver_, [this] { registry_changed(); })),
        publisher_(std::make_unique<Publisher>(*driver_, *control_, options_)) {
    control_->start();
  }

  ~BrokerBus() override {
    publisher_.reset();
    // Its jobs look at the registry through control_, and readers submit some.
    control_->stop();
    readers_.clear();
    control_.reset();
  }

  void publish(std::vector<Message> messages, PublishCallback done) override {
    publisher_->publish(std::move(messages), std::move(done));
  }
  Result<std::unique_ptr<Consumer>> subscribe(SubscribeOptions options, milliseconds wait) override;
  void set_reader_rules(std::vector<ReaderRule> rules) override;
  void drop_group(std::string pattern, std::string group, Callback<bool> done) override;
  void peek(std::string topic, std::size_t max, Callback<std::vector<Delivery>> done) override;
  void purge(std::string topic, Callback<std::uint64_t> done) override;
  void counts(std::string pattern, Callback<std::vector<TopicCounts>> done) override;
  void check_health(milliseconds wait, Callback<std::int64_t> done) override;
  Capabilities capabilities() const override { return driver_->capabilities(); }
  Inventory* inventory() override { return this; }

  // Inventory
  Result<std::vector<std::string>> known_topics() override;
  Status look(const std::string& topic, bool removing, const Each& each) override;

  void closed(const GroupName& group);

 private:
  using Readers = std::map<GroupName, std::shared_ptr<GroupReader>>;

  [[nodiscard]] milliseconds patience() const { return milliseconds(options_.request_timeout_ms); }
  [[nodiscard]] std::vector<std::shared_ptr<GroupReader>> readers() const {
    std::lock_guard lock(mutex_);
    std::vector<std::shared_ptr<GroupReader>> out;
    for (const auto& [name, reader] : readers_) out.push_back(reader);
    return out;
  }
  void registry_changed();
  // Those that the registry still gives to the group.
  void make_lacking(const GroupName& group, std::vector<TopicQueue> queues);
  // What the registry says of its group.
  void tell(GroupReader& reader) const;
  [[nodiscard]] Status keep_rules(ControlSession& session, const std::optional<GroupName>& group) {
    std::optional<std::string> rules;
    std::vector<std::string> topics;
    {
      std::lock_guard lock(mutex_);
      rules = rules_;
      topics = left_to_others_;
    }
    if (!rules) return {};
    EZ_TRY(control_->keep_rules(session, *rules, group));
    return control_->make_topics(session, topics);
  }
  // The queues of a topic after a look at the registry as it is now.
  Result<std::vector<TopicQueue>> find_queues(ControlSession& session, const std::string& topic);
  Result<TopicCounts> count(ControlSession& session, const std::string& topic);

  const std::unique_ptr<Driver> driver_;
  const BrokerOptions options_;
  mutable std::mutex mutex_;
  Readers readers_;
  std::optional<std::string> rules_;  // none: this handle has nothing to say about them
  std::vector<std::string> left_to_others_;
  std::set<GroupName> making_;  // of which a job makes queues that their readers lack
  std::unique_ptr<Control> control_;
  std::unique_ptr<Publisher> publisher_;
};

class BrokerConsumer final : public Consumer {
 public:
  BrokerConsumer(BrokerBus& bus, std::shared_ptr<GroupReader> reader, ConsumerId id)
      : bus_(bus), reader_(std::move(reader)), id_(id) {}
  ~BrokerConsumer() override {
    reader_->remove_consumer(id_);
    const GroupName group = reader_->group();
    reader_.reset();
    bus_.closed(group);
  }
  void take(std::size_t max, std::size_t max_bytes, milliseconds wait,
            Callback<std::vector<Delivery>> done) override {
    reader_->take(id_, max, max_bytes, wait, std::move(done));
  }
  void ack(std::vector<DeliveryTag> tags, SettleCallback done) override {
    reader_->acknowledge(id_, std::move(tags), std::move(done));
  }
  void nack(std::vector<DeliveryTag> tags, milliseconds delay, SettleCallback done) override {
    reader_->give_back(id_, tags, delay, std::move(done));
  }
  void extend(std::vector<DeliveryTag> tags, milliseconds lease, SettleCallback done) override {
    reader_->extend(id_, tags, lease, std::move(done));
  }

 private:
  BrokerBus& bus_;
  std::shared_ptr<GroupReader> reader_;
  const ConsumerId id_;
};

Status check_subscription(const SubscribeOptions& options) {
  EZ_TRY(check_pattern(options.pattern));
  if (!options.group.empty()) EZ_TRY(check_group(options.group));
  if (options.max_in_flight < 1 || options.max_in_flight > 100'000) {
    return Error(Code::InvalidArgument, "max_in_flight is 1 to 100,000");
  }
  if (options.lease_ms < 100 || options.lease_ms > 12LL * 3600 * 1000) {
    return Error(Code::InvalidArgument, "a lease lasts 100 ms to 12 h");
  }
  return {};
}

Result<std::unique_ptr<Consumer>> BrokerBus::subscribe(SubscribeOptions options, milliseconds wait) {
  EZ_TRY(check_subscription(options));
  GroupName group{options.pattern, options.group};
  const bool broadcast = options.group.empty();
  if (broadcast) {
    std::array<char, 24> text{};
    std::snprintf(text.data(), text.size(), "~%016llx",
                  static_cast<unsigned long long>(system_random().next()));
    group.group = text.data();
    control_->own_broadcast(group);
  }
  const Status made = control_->run(
      [&](ControlSession& session) -> Status {
        if (broadcast) {
          auto alive = session.keep_alive({group}, {});
          if (!alive.ok()) return alive.error();
        }
        if (!broadcast) EZ_TRY(keep_rules(session, group));
        EZ_TRY(control_->make_group(session, group));
        if (options.make_topic && !is_wild(group.pattern)) {
          EZ_TRY(control_->make_topics(session, {group.pattern}));
        }
        return {};
      },
      wait);
  if (!made.ok()) {
    if (broadcast) control_->disown_broadcast(group);
    return made.error();
  }
  std::shared_ptr<GroupReader> former;  // its thread may want the lock while it ends
  std::lock_guard lock(mutex_);
  std::shared_ptr<GroupReader>& reader = readers_[group];
  // One whose group was dropped lives on with its consumers, for nobody else.
  if (!reader || reader->dropped()) {
    former = std::move(reader);
    reader = std::make_shared<GroupReader>(
        *driver_, group, options_,
        [this, group](std::vector<TopicQueue> queues) { make_lacking(group, std::move(queues)); });
    // As of now: a change since the job went by without this reader.
    tell(*reader);
  }
  const ConsumerId id = reader->add_consumer(options);
  return std::unique_ptr<Consumer>(std::make_unique<BrokerConsumer>(*this, reader, id));
}

void BrokerBus::closed(const GroupName& group) {
  std::shared_ptr<GroupReader> last;
  {
    std::lock_guard lock(mutex_);
    const auto found = readers_.find(group);
    if (found == readers_.end() || found->second->consumers() > 0) return;
    last = std::move(found->second);
    readers_.erase(found);
  }
  last.reset();
  if (!is_broadcast(group)) return;
  control_->disown_broadcast(group);
  control_->submit(
      [this, group](ControlSession& session) -> Status {
        auto dropped = control_->drop_group(session, group);
        return dropped.ok() ? Status{} : Status(dropped.error());
      },
      patience(), [](const Status&) {});
}

void BrokerBus::make_lacking(const GroupName& group, std::vector<TopicQueue> queues) {
  {
    std::lock_guard lock(mutex_);
    if (!making_.insert(group).second) return;  // its reader asks again
  }
  // Checks of the broker's health wait behind it; and one that cannot be made must not keep others from it.
  std::ranges::rotate(queues,
                      queues.begin() + static_cast<std::ptrdiff_t>(system_random().next() % queues.size()));
  if (queues.size() > kMakeAtOnce) queues.resize(kMakeAtOnce);
  control_->submit(
      [this, group, queues = std::move(queues)](ControlSession& session) -> Status {
        EZ_TRY(control_->sync(session));
        for (const TopicQueue& queue : queues) {
          const auto reader = control_->with_registry(
              [&](const Registry& registry) { return registry.reader_of(queue.topic, queue.queue); });
          if (reader != group) continue;
          session.forget_made(queue);
          EZ_TRY(session.make_queue(queue, group));
        }
        return {};
      },
      milliseconds(0),
      [this, group](const Status& status) {
        if (!status.ok()) {
          EZ_LOG(kWarning, "queue", "a queue cannot be made", {"group", group.group},
                 {"error", status.error().to_string()});
        }
        std::lock_guard lock(mutex_);
        making_.erase(group);
      });
}

void BrokerBus::tell(GroupReader& reader) const {
  const GroupName& group = reader.group();
  std::optional<std::vector<TopicQueue>> queues;
  control_->with_registry([&](const Registry& registry) {
    if (registry.has_group(group)) queues = registry.queues_of(group);
  });
  queues ? reader.set_queues(*queues) : reader.mark_dropped();
}

void BrokerBus::registry_changed() {
  for (const auto& reader : readers()) tell(*reader);
}

void BrokerBus::set_reader_rules(std::vector<ReaderRule> rules) {
  {
    std::lock_guard lock(mutex_);
    rules_ = rules_text(rules);
    left_to_others_.clear();
    for (const ReaderRule& rule : rules) {
      if (rule.who == ReaderRule::Who::kNobody && !is_wild(rule.pattern))
        left_to_others_.push_back(rule.pattern);
    }
  }
  // A broker that is away hears of them with the next subscription.
  control_->submit([this](ControlSession& session) { return keep_rules(session, std::nullopt); }, patience(),
                   [](const Status&) {});
}

void BrokerBus::drop_group(std::string pattern, std::string group, Callback<bool> done) {
  const GroupName name{std::move(pattern), std::move(group)};
  auto there = std::make_shared<bool>(false);
  control_->submit(
      [this, name, there](ControlSession& session) -> Status {
        EZ_ASSIGN(const bool dropped, control_->drop_group(session, name));
        *there = *there || dropped;
        return {};
      },
      patience(),
      [there, done = std::move(done)](const Status& status) {
        status.ok() ? done(*there) : done(status.error());
      });
}

Result<std::vector<TopicQueue>> BrokerBus::find_queues(ControlSession& session, const std::string& topic) {
  EZ_TRY(check_topic(topic));
  EZ_TRY(control_->sync(session));
  std::vector<TopicQueue> out;
  control_->with_registry([&](const Registry& registry) {
    for (const QueueNumber number : registry.queues_of(topic)) out.push_back(registry.queue(topic, number));
  });
  if (out.empty()) return Error(Code::TopicNotFound, "there is no topic " + topic);
  return out;
}

void BrokerBus::peek(std::string topic, std::size_t max, Callback<std::vector<Delivery>> done) {
  auto found = std::make_shared<std::vector<Delivery>>();
  const std::size_t most = std::min<std::size_t>(max, 1000);
  control_->submit(
      [this, topic, most, found](ControlSession& session) -> Status {
        EZ_ASSIGN(const std::vector<TopicQueue> queues, find_queues(session, topic));
        // Of the oldest group: what its readers here hold, then what lies at the broker.
        const auto name = queues.front().reader;
        std::set<std::string> held;
        found->clear();
        for (const auto& reader : readers()) {
          if (!name || reader->group() != *name) continue;
          reader->absorb();
          *found = reader->idle(topic, most);
          if (session.counts_fetched()) held = reader->ids(topic);
        }
        // A broker that shows what is fetched too shows what is held here once more.
        EZ_ASSIGN(std::vector<Entry> entries,
                  session.peek(queues.front(), most - found->size() + held.size()));
        std::ranges::stable_sort(entries, {}, [](const Entry& entry) { return entry.published_ms; });
        for (Entry& entry : entries) {
          if (found->size() >= most || held.contains(entry.message.id)) continue;
          found->push_back({std::move(entry.message), {}, 1, entry.published_ms});
        }
        return {};
      },
      patience(),
      [found, done = std::move(done)](const Status& status) {
        status.ok() ? done(std::move(*found)) : done(status.error());
      });
}

void BrokerBus::purge(std::string topic, Callback<std::uint64_t> done) {
  auto removed = std::make_shared<std::uint64_t>(0);
  control_->submit(
      [this, topic, removed](ControlSession& session) -> Status {
        EZ_ASSIGN(const std::vector<TopicQueue> queues, find_queues(session, topic));
        EZ_ASSIGN(const std::uint64_t at_broker, session.purge(topic, queues));
        *removed += at_broker;
        for (const auto& reader : readers()) {
          if (!reader->reads(topic)) continue;
          // What the broker had sent before its queues were purged.
          if (!session.counts_fetched()) reader->absorb();
          const Held held = reader->held(topic);
          const std::uint64_t here = reader->purge(topic);
          *removed += session.counts_fetched() ? 0 : here;
          if (session.counts_fetched()) *removed -= std::min<std::uint64_t>(*removed, held.out);
        }
        return {};
      },
      patience(),
      [removed, done = std::move(done)](const Status& status) {
        status.ok() ? done(*removed) : done(status.error());
      });
}

Result<TopicCounts> BrokerBus::count(ControlSession& session, const std::string& topic) {
  TopicCounts out;
  out.topic = topic;
  std::vector<TopicQueue> queues;
  control_->with_registry([&](const Registry& registry) {
    for (const QueueNumber number : registry.queues_of(topic)) {
      queues.push_back(registry.queue(topic, number));
    }
  });
  EZ_ASSIGN(std::vector<QueueCounts> all, session.counts(topic, queues));
  for (std::size_t i = 0; i < all.size(); ++i) {
    Held held;
    for (const auto& reader : readers()) {
      if (queues[i].reader && reader->group() == *queues[i].reader) held = reader->held(topic);
    }
    if (session.counts_fetched()) all[i].waiting -= std::min(all[i].waiting, held.ready + held.out);
    // Fetched by a reader and not given to a consumer is still waiting, as far as anybody cares.
    const std::uint64_t fetched = all[i].fetched_known ? all[i].fetched : held.ready + held.out;
    const std::uint64_t idle = std::min<std::uint64_t>(held.ready, fetched);
    out.ready = std::max(out.ready, all[i].waiting + idle);
    out.in_flight += fetched - idle;
    out.delayed = std::max(out.delayed, all[i].delayed);
    out.bytes = std::max(out.bytes, all[i].bytes);
    out.published = std::max(out.published, all[i].published);
  }
  return out;
}

void BrokerBus::counts(std::string pattern, Callback<std::vector<TopicCounts>> done) {
  auto found = std::make_shared<std::vector<TopicCounts>>();
  control_->submit(
      [this, pattern, found](ControlSession& session) -> Status {
        EZ_TRY(check_pattern(pattern));
        EZ_TRY(control_->sync(session));
        found->clear();
        const auto topics =
            control_->with_registry([&](const Registry& registry) { return registry.topics(pattern); });
        for (const std::string& topic : topics) {
          EZ_ASSIGN(TopicCounts one, count(session, topic));
          found->push_back(std::move(one));
        }
        return {};
      },
      patience(),
      [found, done = std::move(done)](const Status& status) {
        status.ok() ? done(std::move(*found)) : done(status.error());
      });
}

void BrokerBus::check_health(milliseconds wait, Callback<std::int64_t> done) {
  auto taken = std::make_shared<std::int64_t>(0);
  control_->submit(
      [taken](ControlSession& session) -> Status {
        const std::int64_t began = system_clock().monotonic_us();
        EZ_TRY(session.round_trip());
        *taken = std::max<std::int64_t>(1, system_clock().monotonic_us() - began);
        return {};
      },
      wait,
      [taken, done = std::move(done)](const Status& status) {
        status.ok() ? done(*taken) : done(status.error());
      });
}

// ---- the inventory ----

Result<std::vector<std::string>> BrokerBus::known_topics() {
  EZ_TRY(control_->run([&](ControlSession& session) { return control_->sync(session); }, patience()));
  return control_->with_registry([](const Registry& registry) { return registry.topics(); });
}

Status BrokerBus::look(const std::string& topic, bool removing, const Each& each) {
  std::vector<TopicQueue> queues;
  const Status found = control_->run(
      [&](ControlSession& session) -> Status {
        EZ_ASSIGN(queues, find_queues(session, topic));
        return {};
      },
      patience());
  if (!found.ok()) return found.error().code() == Code::TopicNotFound ? Status{} : found;
  // A connection of its own: the control session has to stay free for checks of health.
  EZ_ASSIGN(const auto scan, driver_->open_scan());
  return scan->look(topic, queues, removing, each);
}

}  // namespace

std::unique_ptr<Bus> make_broker_bus(std::unique_ptr<Driver> driver, BrokerOptions options) {
  return std::make_unique<BrokerBus>(std::move(driver), std::move(options));
}

}  // namespace ez::queue::broker
