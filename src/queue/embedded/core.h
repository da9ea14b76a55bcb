// The embedded bus from inside. Internal to embedded_bus.h; five files implement it: core.cc (the log and
// its loop), core_publish.cc (what callers ask of the bus), core_consume.cc (taking and settling),
// core_way.cc (messages that travel through a broker), core_inventory.cc (what lies in it).
//
// Locks. mutex_ guards the state, the lines and the consumers; inbox_mutex_ guards what waits for the loop.
// mutex_ may be held when inbox_mutex_ is taken, not the other way round. No callback runs under either.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>

#include "queue/embedded/embedded_bus.h"
#include "queue/embedded/lines.h"
#include "queue/embedded/record_cache.h"
#include "queue/embedded/state.h"
#include "queue/inventory.h"

namespace ez::queue {

struct Lease {
  std::uint64_t topic = 0;
  std::uint64_t group = 0;
  std::uint64_t sequence = 0;
  std::int64_t deadline_us = 0;  // monotonic
};

struct PendingTake {
  std::size_t max = 0;
  std::size_t max_bytes = 0;
  std::int64_t deadline_us = 0;
  Callback<std::vector<Delivery>> done;
};

struct ConsumerState : Member {
  std::uint64_t id = 0;
  SubscribeOptions options;
  bool broadcast = false;
  std::unordered_map<std::uint64_t, Lease> leases;  // by tag
  std::optional<PendingTake> take;
  std::size_t outstanding = 0;  // callbacks that have still to come or are running
};

// A message that goes out: enough to read it and to name it.
struct Picked {
  DeliveryTag tag;
  std::uint32_t attempt = 1;
  const std::string* topic = nullptr;
  Ref ref;
};

class Core final : public EmbeddedBus, public Inventory, private log::LogListener {
 public:
  using Done = std::function<void(Result<Applied>)>;
  enum class Settlement { kAck, kNack, kBury };

  Core(std::unique_ptr<log::Log> log, EmbeddedOptions options);
  ~Core() override;
  [[nodiscard]] Status start();

  // Bus
  void publish(std::vector<Message> messages, PublishCallback done) override;
  Result<std::unique_ptr<Consumer>> subscribe(SubscribeOptions options,
                                              std::chrono::milliseconds wait) override;
  void drop_group(std::string pattern, std::string group, Callback<bool> done) override;
  void peek(std::string topic, std::size_t max, Callback<std::vector<Delivery>> done) override;
  void purge(std::string topic, Callback<std::uint64_t> done) override;
  void counts(std::string pattern, Callback<std::vector<TopicCounts>> done) override;
  void check_health(std::chrono::milliseconds wait, Callback<std::int64_t> done) override;
  [[nodiscard]] Capabilities capabilities() const override;
  Inventory* inventory() override { return this; }

  // Inventory
  Result<std::vector<std::string>> known_topics() override;
  Status look(const std::string& topic, bool removing, const Each& each) override;

  // EmbeddedBus
  Result<std::unique_ptr<EmbeddedConsumer>> subscribe_embedded(SubscribeOptions options,
                                                               std::chrono::milliseconds wait) override;
  void pause(std::string topic, bool on, Callback<bool> done) override;
  std::vector<EmbeddedTopic> topics(const std::string& pattern) override;
  Result<std::vector<DeadLetterView>> dead_letters(const DeadLetterFilter& filter) override;
  std::vector<std::uint64_t> dead_numbers(const DeadLetterFilter& filter) override;
  void redrive(std::vector<std::uint64_t> numbers, Callback<std::uint64_t> done) override;
  void discard(std::vector<std::uint64_t> numbers, Callback<std::uint64_t> done) override;
  void set(std::string key, std::string value, Callback<bool> done) override;
  std::vector<std::pair<std::string, std::string>> settings(const std::string& prefix) override;
  void publish_on_the_way(std::vector<Message> messages, PlacedCallback done) override;
  void gate(const std::string& pattern, const std::string& group, bool on) override;
  void arrived(const std::string& group, const std::vector<Place>& places) override;
  void arrived_older(const std::string& pattern, const std::string& group,
                     std::chrono::milliseconds age) override;
  void all_arrived() override;
  std::size_t on_the_way() override;
  bool has_subscription(const std::string& pattern, const std::string& group) override;
  std::uint64_t unsettled(const std::string& pattern, const std::string& group) override;
  EmbeddedFigures figures() override;
  std::optional<Error> failure() override;
  void on_failure(std::function<void(const Error&)> callback) override;
  Status snapshot_now() override;
  std::string state_bytes() override;

  // For consumers
  void take(ConsumerState& consumer, std::size_t max, std::size_t max_bytes, std::chrono::milliseconds wait,
            Callback<std::vector<Delivery>> done);
  void settle(ConsumerState& consumer, const std::vector<DeliveryTag>& tags, Settlement kind,
              std::chrono::milliseconds delay, std::string reason, SettleCallback done);
  void extend(ConsumerState& consumer, const std::vector<DeliveryTag>& tags, std::chrono::milliseconds lease,
              SettleCallback done);
  void close(ConsumerState& consumer);

 private:
  struct Proposal {
    std::string record;
    Done done;
    std::size_t bytes = 0;
  };
  struct Deadline {
    std::uint64_t consumer = 0;
    std::uint64_t first = 0;  // tags; 0: the consumer's take
    std::uint64_t last = 0;
  };
  struct Answer {
    ConsumerState* consumer;
    PendingTake take;
    std::vector<Picked> picked;
    std::optional<Error> error = {};
  };

  // log::LogListener
  void committed(const log::Record& record) override;
  void append_ended(log::Ticket ticket, log::AppendOutcome outcome) override;
  void leadership(Epoch epoch, bool leading) override;
  void failed(const Error& error) override;

  // Calls done with where the messages stand; they are on their way when that is said.
  void publish(std::vector<Message> messages, bool on_the_way, PlacedCallback done);
  void set_out(const std::vector<Place>& places);
  // Calls done exactly once. `bounded`: refused with OVERLOADED when too much waits already.
  void propose(std::string record, bool bounded, Done done);
  [[nodiscard]] Result<Applied> propose_and_wait(std::string record, std::chrono::milliseconds wait);
  void loop();
  void append_inbox();
  void answer(Proposal proposal, Result<Applied> result);
  void answer_all(const Error& error);
  void tend();  // what is due: timers, leases, expiries, waiting takes
  void run_deadlines(std::vector<Answer>& answers);
  void write_nack(RecordWriter& writer, std::uint64_t topic, std::uint64_t group, std::int64_t not_before_ms,
                  const std::string& reason, const std::vector<std::uint64_t>& sequences) const;
  void give_up(ConsumerState& consumer, const Deadline& range, std::int64_t now_us);
  void log_expired();
  void serve(std::vector<Answer>& answers);
  void finish(Answer answer);
  void look_after_log();
  void begin_snapshot();
  void end_snapshot();
  void move_forward();
  [[nodiscard]] std::chrono::microseconds until_next();

  void collect(ConsumerState& consumer, std::size_t max, std::size_t max_bytes, std::vector<Picked>& out);
  [[nodiscard]] std::vector<DeadLetter> find_dead(const DeadLetterFilter& filter);
  [[nodiscard]] Result<RecordCache::Record> record(std::uint64_t index);
  [[nodiscard]] Result<Delivery> load(const Ref& ref, const std::string& topic);
  [[nodiscard]] Result<std::vector<Delivery>> load(const std::vector<Picked>& picked);
  void one_less(ConsumerState& consumer);
  [[nodiscard]] Status room_for(const std::string& topic, std::uint64_t messages, std::uint64_t bytes);
  [[nodiscard]] std::vector<std::uint64_t> out_of(std::uint64_t topic) const;
  [[nodiscard]] TopicCounts counts_of(const Topic& topic) const;
  [[nodiscard]] std::string own_id();

  const std::unique_ptr<log::Log> log_;
  const EmbeddedOptions options_;
  Clock& clock_;
  Random& random_;
  RecordCache cache_;
  const std::string id_prefix_;
  std::atomic<std::uint64_t> ids_given_{0};

  mutable std::mutex mutex_;
  std::condition_variable quiet_;  // a consumer's last callback has ended
  std::unique_ptr<State> state_;
  Lines lines_;
  std::map<std::uint64_t, std::unique_ptr<ConsumerState>> consumers_;
  std::multimap<std::int64_t, Deadline> deadlines_;
  std::vector<std::pair<std::string, Done>> later_;  // proposed when the lock is free; the loop's
  std::uint64_t next_consumer_ = 1;
  std::uint64_t next_tag_ = 1;
  std::uint64_t duplicates_ = 0, delivered_ = 0, acknowledged_ = 0, given_back_ = 0;

  std::mutex inbox_mutex_;
  std::deque<Proposal> inbox_;
  std::uint64_t waiting_bytes_ = 0;  // in the inbox and in the log's hands
  bool stopping_ = false;
  std::optional<Error> failure_;
  std::function<void(const Error&)> on_failure_;

  // The loop's thread only:
  std::unordered_map<std::uint64_t, Proposal> pending_;  // by ticket
  std::uint64_t next_ticket_ = 1;
  Epoch epoch_;
  Epoch applied_epoch_;
  bool leading_ = false;
  bool moving_ = false;
  std::uint64_t log_bytes_ = 0;                                // seen since the bus was opened
  std::deque<std::pair<std::uint64_t, std::uint64_t>> marks_;  // record, log_bytes_ before it
  std::uint64_t snapshot_size_ = 0;
  std::thread snapshot_thread_;
  std::atomic<int> snapshot_result_{0};  // 0: none, 1: written, 2: failed
  std::uint64_t snapshot_index_ = 0;
  std::thread loop_thread_;
};

}  // namespace ez::queue
