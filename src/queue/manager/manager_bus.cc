// The manager: what callers ask of the bus.
#include "queue/manager/manager_core.h"
#include "queue/topic.h"

namespace ez::queue {
namespace {

using std::chrono::milliseconds;

class ManagedConsumer final : public EmbeddedConsumer {
 public:
  ManagedConsumer(ManagerCore& manager, std::unique_ptr<EmbeddedConsumer> inner, std::string pattern,
                  std::string group, std::uint64_t broadcast)
      : manager_(manager),
        inner_(std::move(inner)),
        pattern_(std::move(pattern)),
        group_(std::move(group)),
        broadcast_(broadcast) {}
  ~ManagedConsumer() override {
    inner_.reset();
    manager_.left(pattern_, group_, broadcast_);
  }
  void take(std::size_t max, std::size_t max_bytes, milliseconds wait,
            Callback<std::vector<Delivery>> done) override {
    inner_->take(max, max_bytes, wait, std::move(done));
  }
  void ack(std::vector<DeliveryTag> tags, SettleCallback done) override {
    inner_->ack(std::move(tags), std::move(done));
  }
  void nack(std::vector<DeliveryTag> tags, milliseconds delay, SettleCallback done) override {
    inner_->nack(std::move(tags), delay, std::move(done));
  }
  void extend(std::vector<DeliveryTag> tags, milliseconds lease, SettleCallback done) override {
    inner_->extend(std::move(tags), lease, std::move(done));
  }
  void nack_because(std::vector<DeliveryTag> tags, milliseconds delay, std::string reason,
                    SettleCallback done) override {
    inner_->nack_because(std::move(tags), delay, std::move(reason), std::move(done));
  }
  void bury(std::vector<DeliveryTag> tags, std::string reason, SettleCallback done) override {
    inner_->bury(std::move(tags), std::move(reason), std::move(done));
  }

 private:
  ManagerCore& manager_;
  std::unique_ptr<EmbeddedConsumer> inner_;
  const std::string pattern_;
  const std::string group_;
  const std::uint64_t broadcast_;
};

}  // namespace

// ---- publishing ----

void ManagerCore::publish(std::vector<Message> messages, PublishCallback done) {
  // Which broker each message goes to, as of now.
  std::vector<Backend*> targets(messages.size(), nullptr);
  bool any = false;
  std::uint64_t epoch = 0;
  if (!backends_.empty()) {
    std::shared_ptr<const Table> all;
    {
      std::lock_guard lock(mutex_);
      all = table_;
      epoch = epoch_;
    }
    std::vector<Route*> routes;
    routes.reserve(messages.size());
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const bool same = i > 0 && messages[i].topic == messages[i - 1].topic;
      routes.push_back(same ? routes.back() : &route_of(*all, messages[i].topic));
    }
    std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < messages.size(); ++i) {
      if (!routes[i]->rule.config.direct && !is_reply_topic(messages[i].topic))
        targets[i] = routes[i]->active;
      any = any || targets[i] != nullptr;
    }
    if (any) ++publishing_;
  }
  if (!any) {
    log_.publish(std::move(messages), std::move(done));
    return;
  }
  std::vector<Message> copies = messages;
  log_.publish_on_the_way(
      std::move(messages),
      [this, epoch, copies = std::move(copies), targets = std::move(targets), done = std::move(done)](
          std::vector<Result<Receipt>> receipts, const std::vector<Place>& places) mutable {
        bool current = false;
        {
          std::lock_guard lock(mutex_);
          current = epoch == epoch_ && !stop_;
        }
        std::vector<Place> home;  // go no further
        std::map<Backend*, std::pair<std::vector<Message>, std::vector<Place>>> batches;
        for (std::size_t i = 0; i < places.size(); ++i) {
          if (places[i].sequence == 0) continue;
          if (!current || targets[i] == nullptr) {
            home.push_back(places[i]);
            continue;
          }
          auto& [batch, at] = batches[targets[i]];
          copies[i].id = receipts[i]->id;
          std::erase_if(copies[i].headers, [](const auto& one) { return one.first == kJournalHeader; });
          copies[i].headers.emplace_back(kJournalHeader, journal_mark(journal_, places[i]));
          batch.push_back(std::move(copies[i]));
          at.push_back(places[i]);
        }
        if (!home.empty()) log_.arrived("", home);
        for (auto& [backend, batch] : batches)
          send(*backend, std::move(batch.first), std::move(batch.second));
        {
          std::lock_guard lock(mutex_);
          if (--publishing_ == 0 && stop_) wake_.notify_all();
        }
        done(std::move(receipts));
      });
}

void ManagerCore::send(Backend& backend, std::vector<Message> copies, std::vector<Place> places) {
  {
    std::lock_guard lock(mutex_);
    ++sending_;
  }
  backend.bus->publish(std::move(copies), [this, &backend, places = std::move(places)](
                                              const std::vector<Result<Receipt>>& receipts) {
    // What the broker has not taken, or says that it had taken before, does not come back from it.
    std::vector<Place> home;
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (!receipts[i].ok() || receipts[i]->duplicate) home.push_back(places[i]);
    }
    backend.sent += places.size() - home.size();
    backend.not_sent += home.size();
    if (!home.empty()) log_.arrived("", home);
    std::lock_guard lock(mutex_);
    if (--sending_ == 0 && stop_) wake_.notify_all();
  });
}

// ---- consumers ----

Result<std::unique_ptr<Consumer>> ManagerCore::subscribe(SubscribeOptions options, milliseconds wait) {
  EZ_ASSIGN(auto made, subscribe_embedded(std::move(options), wait));
  return std::unique_ptr<Consumer>(std::move(made));
}

Result<std::unique_ptr<EmbeddedConsumer>> ManagerCore::subscribe_embedded(SubscribeOptions options,
                                                                          milliseconds wait) {
  const std::string pattern = options.pattern;
  const std::string group = options.group;
  EZ_ASSIGN(auto inner, log_.subscribe_embedded(std::move(options), wait));
  const std::uint64_t broadcast = group.empty() ? next_broadcast_++ : 0;
  if (!group.empty()) farewells_->pass();
  for (const auto& backend : backends_) backend->inlet->want(pattern, group, broadcast);
  return std::unique_ptr<EmbeddedConsumer>(
      std::make_unique<ManagedConsumer>(*this, std::move(inner), pattern, group, broadcast));
}

void ManagerCore::left(const std::string& pattern, const std::string& group, std::uint64_t broadcast) {
  for (const auto& backend : backends_) backend->inlet->unwant(pattern, group, broadcast);
}

void ManagerCore::drop_group(std::string pattern, std::string group, Callback<bool> done) {
  {
    std::lock_guard lock(mutex_);
    ++publishing_;
  }
  farewells_->add(pattern, group);
  log_.drop_group(pattern, group, [this, pattern, group, done = std::move(done)](Result<bool> dropped) {
    // At once where that is possible: who subscribes next finds nothing of before.
    for (Backend* backend : up()) farewells_->attempt(backend->config.name, *backend->bus, pattern, group);
    done(std::move(dropped));
    std::lock_guard lock(mutex_);
    if (--publishing_ == 0 && stop_) wake_.notify_all();
  });
}

// ---- looking and clearing ----

// What is in the log, then what others published and nobody has taken in yet.
void ManagerCore::peek(std::string topic, std::size_t max, Callback<std::vector<Delivery>> done) {
  Backend* source = nullptr;
  if (!backends_.empty()) {
    std::lock_guard lock(mutex_);
    source = route_of(*table_, topic).active;
  }
  if (source == nullptr) {
    log_.peek(std::move(topic), max, std::move(done));
    return;
  }
  log_.peek(topic, max,
            [this, source, topic, max, done = std::move(done)](Result<std::vector<Delivery>> here) {
              if (here.ok() && here->size() >= max) {
                done(std::move(here));
                return;
              }
              source->bus->peek(
                  topic, max, [this, max, done, here = std::move(here)](Result<std::vector<Delivery>> there) {
                    if (!there.ok() && !here.ok()) return done(here.error());
                    std::vector<Delivery> all = here.ok() ? *here : std::vector<Delivery>{};
                    for (std::size_t i = 0; there.ok() && i < there->size() && all.size() < max; ++i) {
                      Place place;
                      bool stranger = false;
                      if (!read_journal_mark((*there)[i].message, journal_, place, stranger))
                        all.push_back((*there)[i]);
                    }
                    done(std::move(all));
                  });
            });
}

void ManagerCore::purge(std::string topic, Callback<std::uint64_t> done) {
  std::vector<Backend*> brokers = up();
  if (brokers.empty()) {
    log_.purge(std::move(topic), std::move(done));
    return;
  }
  // All that answer count; what the log does not know may lie at a broker.
  struct Purge {
    std::mutex mutex;
    std::size_t left = 0;
    std::uint64_t removed = 0;
    std::optional<std::uint64_t> in_log;
    bool known = false;
    std::optional<Error> error;
    Callback<std::uint64_t> done;
  };
  auto purge = std::make_shared<Purge>();
  purge->left = brokers.size() + 1;
  purge->done = std::move(done);
  const auto answer = [purge](const Result<std::uint64_t>& removed, bool of_log) {
    {
      std::lock_guard lock(purge->mutex);
      if (removed.ok()) {
        // A broker has copies of what the log holds, and of what it held: they are not counted.
        if (of_log) purge->in_log = *removed;
        purge->removed = std::max(purge->removed, *removed);
        purge->known = true;
      } else if (removed.error().code() != Code::TopicNotFound || (of_log && !purge->error)) {
        purge->error = removed.error();
      }
      if (--purge->left > 0) return;
    }
    const bool failed = purge->error && (!purge->known || purge->error->code() != Code::TopicNotFound);
    failed ? purge->done(*purge->error) : purge->done(purge->in_log.value_or(purge->removed));
  };
  log_.purge(topic, [answer](const Result<std::uint64_t>& removed) { answer(removed, true); });
  for (Backend* backend : brokers) {
    backend->bus->purge(topic, [answer](const Result<std::uint64_t>& removed) { answer(removed, false); });
  }
}

// ---- what only the log knows ----

void ManagerCore::counts(std::string pattern, Callback<std::vector<TopicCounts>> done) {
  log_.counts(std::move(pattern), std::move(done));
}
void ManagerCore::check_health(milliseconds wait, Callback<std::int64_t> done) {
  log_.check_health(wait, std::move(done));
}
void ManagerCore::publish_on_the_way(std::vector<Message> messages, PlacedCallback done) {
  log_.publish_on_the_way(std::move(messages), std::move(done));
}
void ManagerCore::gate(const std::string& pattern, const std::string& group, bool on) {
  log_.gate(pattern, group, on);
}
void ManagerCore::arrived(const std::string& group, const std::vector<Place>& places) {
  log_.arrived(group, places);
}
void ManagerCore::arrived_older(const std::string& pattern, const std::string& group, milliseconds age) {
  log_.arrived_older(pattern, group, age);
}
void ManagerCore::all_arrived() { log_.all_arrived(); }
std::size_t ManagerCore::on_the_way() { return log_.on_the_way(); }
bool ManagerCore::has_subscription(const std::string& pattern, const std::string& group) {
  return log_.has_subscription(pattern, group);
}
std::uint64_t ManagerCore::unsettled(const std::string& pattern, const std::string& group) {
  return log_.unsettled(pattern, group);
}
void ManagerCore::pause(std::string topic, bool on, Callback<bool> done) {
  log_.pause(std::move(topic), on, std::move(done));
}
std::vector<EmbeddedTopic> ManagerCore::topics(const std::string& pattern) { return log_.topics(pattern); }
Result<std::vector<DeadLetterView>> ManagerCore::dead_letters(const DeadLetterFilter& filter) {
  return log_.dead_letters(filter);
}
std::vector<std::uint64_t> ManagerCore::dead_numbers(const DeadLetterFilter& filter) {
  return log_.dead_numbers(filter);
}
void ManagerCore::redrive(std::vector<std::uint64_t> numbers, Callback<std::uint64_t> done) {
  log_.redrive(std::move(numbers), std::move(done));
}
void ManagerCore::discard(std::vector<std::uint64_t> numbers, Callback<std::uint64_t> done) {
  log_.discard(std::move(numbers), std::move(done));
}
void ManagerCore::set(std::string key, std::string value, Callback<bool> done) {
  log_.set(std::move(key), std::move(value), std::move(done));
}
std::vector<std::pair<std::string, std::string>> ManagerCore::settings(const std::string& prefix) {
  return log_.settings(prefix);
}
EmbeddedFigures ManagerCore::figures() { return log_.figures(); }
std::optional<Error> ManagerCore::failure() { return log_.failure(); }
void ManagerCore::on_failure(std::function<void(const Error&)> callback) {
  log_.on_failure(std::move(callback));
}
Status ManagerCore::snapshot_now() { return log_.snapshot_now(); }
std::string ManagerCore::state_bytes() { return log_.state_bytes(); }

}  // namespace ez::queue
