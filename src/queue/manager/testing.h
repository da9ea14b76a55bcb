// What the tests of the manager share: a manager over a log in a folder, with brokers that are embedded buses
// of their own and can be cut off.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "log/disk_posix.h"
#include "log/testing.h"
#include "queue/embedded/testing.h"
#include "queue/manager/manager.h"

namespace ez::queue {

// A network between a caller and a broker. Cut: every request fails. Hung: requests are answered when it
// ends.
class Network {
 public:
  enum class State { kGood, kCut, kHung };

  void set(State state) {
    std::vector<std::function<void()>> late;
    {
      std::lock_guard lock(mutex_);
      state_ = state;
      if (state != State::kHung) late = std::exchange(waiting_, {});
    }
    for (auto& one : late) one();
  }
  // request() sends it, refuse() answers that it cannot be sent.
  void pass(std::function<void()> request, const std::function<void()>& refuse) {
    {
      std::lock_guard lock(mutex_);
      if (state_ == State::kHung) {
        waiting_.push_back(std::move(request));
        return;
      }
    }
    good() ? request() : refuse();
  }
  [[nodiscard]] bool good() {
    std::lock_guard lock(mutex_);
    return state_ == State::kGood;
  }

 private:
  std::mutex mutex_;
  State state_ = State::kGood;
  std::vector<std::function<void()>> waiting_;
};

inline Error cut_off() { return Error(Code::QueueUnreachable, "the network is cut"); }

class FarConsumer final : public Consumer {
 public:
  FarConsumer(Network& network, std::unique_ptr<Consumer> inner)
      : network_(network), inner_(std::move(inner)) {}
  void take(std::size_t max, std::size_t max_bytes, std::chrono::milliseconds wait,
            Callback<std::vector<Delivery>> done) override {
    if (!network_.good()) return done(cut_off());
    inner_->take(max, max_bytes, wait, [this, done = std::move(done)](Result<std::vector<Delivery>> got) {
      network_.good() ? done(std::move(got)) : done(cut_off());
    });
  }
  void ack(std::vector<DeliveryTag> tags, SettleCallback done) override {
    if (!network_.good()) return done(std::vector<Status>(tags.size(), cut_off()));
    inner_->ack(std::move(tags), std::move(done));
  }
  void nack(std::vector<DeliveryTag> tags, std::chrono::milliseconds delay, SettleCallback done) override {
    if (!network_.good()) return done(std::vector<Status>(tags.size(), cut_off()));
    inner_->nack(std::move(tags), delay, std::move(done));
  }
  void extend(std::vector<DeliveryTag> tags, std::chrono::milliseconds lease, SettleCallback done) override {
    if (!network_.good()) return done(std::vector<Status>(tags.size(), cut_off()));
    inner_->extend(std::move(tags), lease, std::move(done));
  }

 private:
  Network& network_;
  std::unique_ptr<Consumer> inner_;
};

// A broker at the other end of a network: a real bus, which may be exchanged while nobody is connected.
class FarBus final : public Bus {
 public:
  FarBus(Network& network, const std::unique_ptr<EmbeddedBus>& inner) : network_(network), inner_(inner) {}
  ~FarBus() override { network_.set(Network::State::kCut); }

  void publish(std::vector<Message> messages, PublishCallback done) override {
    auto shared = std::make_shared<std::vector<Message>>(std::move(messages));
    network_.pass([this, shared, done] { inner_->publish(*shared, done); },
                  [shared, done] { done(std::vector<Result<Receipt>>(shared->size(), cut_off())); });
  }
  Result<std::unique_ptr<Consumer>> subscribe(SubscribeOptions options,
                                              std::chrono::milliseconds wait) override {
    if (!network_.good()) return cut_off();
    EZ_ASSIGN(auto inner, inner_->subscribe(std::move(options), wait));
    return std::unique_ptr<Consumer>(std::make_unique<FarConsumer>(network_, std::move(inner)));
  }
  void drop_group(std::string pattern, std::string group, Callback<bool> done) override {
    network_.pass([this, pattern, group, done] { inner_->drop_group(pattern, group, done); },
                  [done] { done(cut_off()); });
  }
  void peek(std::string topic, std::size_t max, Callback<std::vector<Delivery>> done) override {
    network_.pass([this, topic, max, done] { inner_->peek(topic, max, done); }, [done] { done(cut_off()); });
  }
  void purge(std::string topic, Callback<std::uint64_t> done) override {
    network_.pass([this, topic, done] { inner_->purge(topic, done); }, [done] { done(cut_off()); });
  }
  void counts(std::string pattern, Callback<std::vector<TopicCounts>> done) override {
    network_.pass([this, pattern, done] { inner_->counts(pattern, done); }, [done] { done(cut_off()); });
  }
  void check_health(std::chrono::milliseconds wait, Callback<std::int64_t> done) override {
    network_.pass([this, wait, done] { inner_->check_health(wait, done); }, [done] { done(cut_off()); });
  }
  [[nodiscard]] Capabilities capabilities() const override { return inner_->capabilities(); }

 private:
  Network& network_;
  const std::unique_ptr<EmbeddedBus>& inner_;
};

// A log, brokers of those names, and a manager over them that checks often.
class ManagerWorld {
 public:
  explicit ManagerWorld(ManagerConfig config) : config_(std::move(config)) {
    config_.check_every_ms = 50;
    config_.check_timeout_ms = 2'000;  // a check is synced to a disk that others use too
    for (const BackendConfig& backend : config_.backends) {
      networks_[backend.name] = std::make_unique<Network>();
      empty(backend.name);
    }
    restart();
  }
  ~ManagerWorld() { manager_.reset(); }

  // A new life of the server, as after a crash (nothing is given back in good order but what closing does).
  void restart() {
    manager_.reset();
    log_.reset();
    auto opened = open_on(log::posix_disk(), directory_.path() + "/queue");
    EZ_CHECK(opened.ok(), "the log cannot be opened");
    log_ = std::move(*opened);
    for (const auto& [name, network] : networks_) network->set(Network::State::kGood);
    auto started = Manager::start(*log_, config_, [this](const BackendConfig& backend) {
      return Result<std::unique_ptr<Bus>>(
          std::make_unique<FarBus>(*networks_.at(backend.name), brokers_.at(backend.name)));
    });
    EZ_CHECK(started.ok(), "the manager cannot be started");
    manager_ = std::move(*started);
  }
  // The broker of that name with an empty disk. Nobody is connected (cut, or before the start).
  void empty(const std::string& name) {
    auto made = open_on(log::posix_disk(), directory_.path() + "/" + name + std::to_string(++brokers_made_));
    EZ_CHECK(made.ok(), "a broker cannot be made");
    old_.push_back(std::move(brokers_[name]));  // handles may still know it
    brokers_[name] = std::move(*made);
  }

  Manager& manager() { return *manager_; }
  EmbeddedBus& log() { return *log_; }
  EmbeddedBus& broker(const std::string& name) { return *brokers_.at(name); }
  Network& network(const std::string& name) { return *networks_.at(name); }

  // Until the topic's messages go that way.
  [[nodiscard]] bool goes_to(const std::string& topic, const std::string& backend) {
    const std::int64_t end = system_clock().monotonic_us() + 10'000'000;
    while (system_clock().monotonic_us() < end) {
      if (manager_->active(topic) == backend) return true;
      std::this_thread::yield();
    }
    return false;
  }

 private:
  ManagerConfig config_;
  log::TemporaryDirectory directory_;
  std::map<std::string, std::unique_ptr<Network>> networks_;
  std::map<std::string, std::unique_ptr<EmbeddedBus>> brokers_;
  std::vector<std::unique_ptr<EmbeddedBus>> old_;
  int brokers_made_ = 0;
  std::unique_ptr<EmbeddedBus> log_;
  std::unique_ptr<Manager> manager_;
};

// redis, then rabbit, for every topic; direct.# for consumers that speak the broker.
inline ManagerConfig two_brokers() {
  ManagerConfig config;
  config.backends = {{"redis", "redis://"}, {"rabbit", "amqp://"}};
  config.routes.push_back({"here.#", std::string(kEmbedded), std::string(kEmbedded), false});
  config.routes.push_back({"direct.#", "redis", "rabbit", true});
  config.routes.push_back({"", "redis", "rabbit", false});
  return config;
}

}  // namespace ez::queue
