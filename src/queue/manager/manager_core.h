// The manager from inside. Internal to manager/: manager.cc (brokers, routes, health), manager_bus.cc (what
// callers ask of the bus), manager_moves.cc (routes that change, and what a migration needs).
//
// Locks. mutex_ guards breakers, routes, the epoch and the switches; it is held for moments only, and nothing
// of the log or of a broker is called under it.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "queue/manager/breaker.h"
#include "queue/manager/farewells.h"
#include "queue/manager/inlet.h"
#include "queue/manager/manager.h"
#include "queue/manager/migration.h"
#include "queue/manager/moves.h"
#include "queue/manager/relay.h"

namespace ez::queue {

class ManagerCore final : public Manager, public MigrationHost {
 public:
  ManagerCore(EmbeddedBus& log, ManagerConfig config);
  ~ManagerCore() override;
  [[nodiscard]] Status begin(const OpenBus& open);

  // Manager
  std::vector<BackendStatus> backends() override;
  std::vector<RouteStatus> routes() override;
  std::vector<QueueSwitch> switches() override;
  std::uint64_t switches_total() override;
  std::string active(const std::string& topic) override;
  std::vector<AtBroker> at_brokers(const std::string& pattern, std::chrono::milliseconds wait) override;
  void on_switch(std::function<void(const QueueSwitch&)> callback) override;
  Migration& migration() override { return *migration_; }

  // Bus
  void publish(std::vector<Message> messages, PublishCallback done) override;
  Result<std::unique_ptr<Consumer>> subscribe(SubscribeOptions options,
                                              std::chrono::milliseconds wait) override;
  void drop_group(std::string pattern, std::string group, Callback<bool> done) override;
  void peek(std::string topic, std::size_t max, Callback<std::vector<Delivery>> done) override;
  void purge(std::string topic, Callback<std::uint64_t> done) override;
  void counts(std::string pattern, Callback<std::vector<TopicCounts>> done) override;
  void check_health(std::chrono::milliseconds wait, Callback<std::int64_t> done) override;
  [[nodiscard]] Capabilities capabilities() const override { return log_.capabilities(); }

  // EmbeddedBus
  Result<std::unique_ptr<EmbeddedConsumer>> subscribe_embedded(SubscribeOptions options,
                                                               std::chrono::milliseconds wait) override;
  void publish_on_the_way(std::vector<Message> messages, PlacedCallback done) override;
  void gate(const std::string& pattern, const std::string& group, bool on) override;
  void arrived(const std::string& group, const std::vector<Place>& places) override;
  void arrived_older(const std::string& pattern, const std::string& group,
                     std::chrono::milliseconds age) override;
  void all_arrived() override;
  std::size_t on_the_way() override;
  bool has_subscription(const std::string& pattern, const std::string& group) override;
  std::uint64_t unsettled(const std::string& pattern, const std::string& group) override;
  void pause(std::string topic, bool on, Callback<bool> done) override;
  std::vector<EmbeddedTopic> topics(const std::string& pattern) override;
  Result<std::vector<DeadLetterView>> dead_letters(const DeadLetterFilter& filter) override;
  std::vector<std::uint64_t> dead_numbers(const DeadLetterFilter& filter) override;
  void redrive(std::vector<std::uint64_t> numbers, Callback<std::uint64_t> done) override;
  void discard(std::vector<std::uint64_t> numbers, Callback<std::uint64_t> done) override;
  void set(std::string key, std::string value, Callback<bool> done) override;
  std::vector<std::pair<std::string, std::string>> settings(const std::string& prefix) override;
  EmbeddedFigures figures() override;
  std::optional<Error> failure() override;
  void on_failure(std::function<void(const Error&)> callback) override;
  Status snapshot_now() override;
  std::string state_bytes() override;

  // For consumers: the last one of a subscription ends what is taken for it from the brokers.
  void left(const std::string& pattern, const std::string& group, std::uint64_t broadcast);

 private:
  // The answer of a check, which may come after everything else has gone.
  struct Probe {
    std::mutex mutex;
    std::optional<Result<std::int64_t>> answer;
    std::int64_t began_us = 0;
    std::int64_t blamed_us = 0;  // up to here its silence has been counted as failures
  };
  struct Backend {
    Backend(BackendConfig given, BreakerOptions options) : config(std::move(given)), breaker(options) {}
    BackendConfig config;
    std::unique_ptr<Bus> bus;
    Breaker breaker;                // under mutex_, as the next three
    std::int64_t changed_wall = 0;  // 0: never up yet
    std::int64_t round_trip_us = 0;
    std::shared_ptr<Probe> probe;  // of the health thread
    std::int64_t next_check_us = 0;
    std::atomic<std::uint64_t> sent{0}, not_sent{0};
    std::unique_ptr<Inlet> inlet;
  };
  struct Route {
    RouteRule rule;
    Backend* primary = nullptr;  // nullptr: embedded
    Backend* fallback = nullptr;
    Backend* active = nullptr;  // under mutex_, as since_ms
    std::int64_t since_ms = 0;
  };
  // Made anew when a rule changes; who holds an old one finds the epoch changed.
  using Table = std::vector<std::shared_ptr<Route>>;

  // MigrationHost
  Bus* bus_named(const std::string& name) override;
  const std::string& journal() const override { return journal_; }
  MoveRecord moves() const override;
  Status adopt(MoveRecord record) override;
  std::vector<RouteRule> changed_by(const Move& move) const override;
  bool travels_to(const std::string& topic, const std::string& target) const override;

  [[nodiscard]] std::shared_ptr<const Table> table() const;
  [[nodiscard]] static Route& route_of(const Table& table, std::string_view topic);
  void load_moves();
  void rebuild();         // the table, by the moves; under mutex_
  void hold_or_let_go();  // inlets, by the moves
  void start_relays();
  [[nodiscard]] std::vector<ReaderRule> reader_rules() const;  // for brokers
  // Its messages go from others to us: what is published through ez stays in the log, where the groups are.
  [[nodiscard]] bool is_reply_topic(const std::string& topic) const;
  [[nodiscard]] Backend* backend_named(std::string_view name) const;
  [[nodiscard]] static std::string name_of(const Backend* backend);
  [[nodiscard]] std::vector<Backend*> up() const;
  void watch();                                // the health thread
  [[nodiscard]] bool check(Backend& backend);  // whether its breaker changed
  void reconsider();                           // routes, after a breaker changed
  void record(const std::vector<QueueSwitch>& made);
  void served(const std::string& pattern, const std::string& group, bool on);
  void send(Backend& backend, std::vector<Message> copies, std::vector<Place> places);
  [[nodiscard]] std::string load_journal();
  void load_switches();

  EmbeddedBus& log_;
  const ManagerConfig config_;
  std::string journal_;  // names this log at the brokers
  std::vector<std::unique_ptr<Backend>> backends_;
  std::vector<std::unique_ptr<Relay>> relays_;  // by route of the configuration; nullptr: not direct
  std::unique_ptr<Migration> migration_;
  std::unique_ptr<Farewells> farewells_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::size_t publishing_ = 0;  // publications and drops that the log has still to answer
  std::size_t sending_ = 0;     // batches of copies that a broker has still to answer
  std::uint64_t epoch_ = 0;     // grows with every switch and every new table
  std::shared_ptr<const Table> table_ = std::make_shared<Table>();
  MoveRecord moves_;
  std::deque<QueueSwitch> switches_;
  std::uint64_t switches_total_ = 0;
  std::mutex switching_;   // held while routes are considered; before mutex_
  std::mutex tell_mutex_;  // held while the callback runs
  std::function<void(const QueueSwitch&)> on_switch_;
  std::map<std::pair<std::string, std::string>, int> gates_;  // brokers that serve a subscription
  std::mutex gates_mutex_;                                    // held while the log is told
  std::atomic<std::uint64_t> next_broadcast_{1};
  std::thread thread_;
};

}  // namespace ez::queue
