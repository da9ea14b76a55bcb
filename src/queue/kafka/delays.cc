#include "queue/kafka/delays.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <deque>
#include <map>

#include "base/clock.h"
#include "base/thread_name.h"
#include "queue/kafka/client.h"
#include "queue/kafka/names.h"
#include "queue/kafka/wire.h"
#include "telemetry/log.h"

namespace ez::queue::kafka {
namespace {

constexpr std::chrono::milliseconds kLook{100};  // for new topics, and for the end of this handle
constexpr std::chrono::milliseconds kAgain{500};
constexpr std::size_t kMoveMost = 500;  // messages that are moved together

// One connection of the thread; thrown away after its first failure.
class Mover final : private Told {
 public:
  Mover(const KafkaOptions& options, Shared& shared)
      : options_(options), shared_(shared), names_{options.broker.prefix} {}
  ~Mover() override {
    producer_.reset();  // before the messages that it sends without copying them
    commits_.reset();
    consumer_.reset();  // may still call revoked()
  }
  [[nodiscard]] Status open();
  [[nodiscard]] Status subscribe(const std::vector<std::string>& topics);
  // Moves what is due; waits about so long when nothing is.
  [[nodiscard]] Status step(std::chrono::milliseconds wait);

 private:
  using PartKey = std::pair<std::string, int>;
  struct Head {
    std::string topic;
    PartKey key;
    std::int64_t offset = 0;
    Read read;
    std::int64_t ready_ms = 0;
  };
  void revoked(rd_kafka_topic_partition_list_s* list) override;
  void delivered(const rd_kafka_message_s& record) override {
    --open_;
    if (record.err != RD_KAFKA_RESP_ERR_NO_ERROR) failed_ = to_error(record.err, "a message that is due");
  }
  void take_record(const rd_kafka_message_s& record);
  void set_paused(const PartKey& key, bool paused);
  [[nodiscard]] Status move(Head& head);
  [[nodiscard]] Status finish();  // all that is on its way has arrived: commit
  [[nodiscard]] Result<int> count_of(const std::string& name);

  const KafkaOptions& options_;
  Shared& shared_;
  const Names names_;
  std::unique_ptr<Client> producer_;
  std::unique_ptr<Client> consumer_;
  Queue commits_;
  std::map<std::string, std::string> topics_;  // by the name at Kafka
  std::map<std::string, int> counts_;
  std::map<PartKey, Head> heads_;         // of paused partitions: the next one, which is not ready yet
  std::deque<Head> due_;                  // are ready, in the order of each partition
  std::deque<Head> moving_;               // on their way
  std::map<PartKey, std::int64_t> done_;  // offsets to be committed
  std::size_t open_ = 0;
  std::optional<Error> failed_;
};

Status Mover::open() {
  const std::string patience =
      std::to_string(std::max<std::int64_t>(100, options_.broker.publish_timeout_ms));
  EZ_ASSIGN(producer_, Client::open(options_, Client::Kind::kProducer,
                                    {{"enable.idempotence", "true"},
                                     {"acks", "all"},
                                     {"linger.ms", "1"},
                                     {"message.timeout.ms", patience},
                                     {"message.max.bytes", std::to_string(options_.max_message_bytes)}},
                                    this));
  EZ_TRY(producer_->connect());
  EZ_ASSIGN(consumer_, Client::open(options_, Client::Kind::kConsumer,
                                    {{"group.id", names_.movers()},
                                     {"partition.assignment.strategy", "cooperative-sticky"},
                                     {"enable.auto.commit", "false"},
                                     {"enable.auto.offset.store", "false"},
                                     {"auto.offset.reset", "earliest"},
                                     {"session.timeout.ms", std::to_string(options_.alive_ms)},
                                     {"heartbeat.interval.ms", std::to_string(options_.alive_ms / 20)},
                                     {"max.poll.interval.ms", "86400000"},
                                     {"fetch.wait.max.ms", "200"},
                                     {"fetch.error.backoff.ms", "50"},
                                     {"queued.min.messages", "500"},
                                     {"queued.max.messages.kbytes", "2048"}},
                                    this));
  commits_.reset(::rd_kafka_queue_new(consumer_->get()));
  return {};
}

Status Mover::subscribe(const std::vector<std::string>& topics) {
  if (topics.size() == topics_.size()) return {};
  bool more = false;
  for (const std::string& topic : topics) {
    const std::string name = names_.delay(topic);
    if (topics_.contains(name)) continue;
    // One that the broker does not show yet comes with the next step (see Client::make_topic()).
    EZ_ASSIGN(const int count, consumer_->partitions(name));
    if (count == 0) continue;
    topics_[name] = topic;
    more = true;
  }
  if (!more) return {};
  std::vector<std::string> names;
  for (const auto& [name, topic] : topics_) names.push_back(name);
  return consumer_->subscribe(names);
}

void Mover::revoked(rd_kafka_topic_partition_list_s* list) {
  for (int i = 0; i < list->cnt; ++i) {
    const PartKey key{list->elems[i].topic, list->elems[i].partition};
    heads_.erase(key);
    std::erase_if(due_, [&](const Head& head) { return head.key == key; });
  }
}

Result<int> Mover::count_of(const std::string& name) {
  if (const auto known = counts_.find(name); known != counts_.end()) return known->second;
  EZ_ASSIGN(const int count, producer_->partitions(name));
  if (count == 0) return Error(Code::QueueUnreachable, "Kafka has no topic " + name);
  return counts_[name] = count;
}

void Mover::set_paused(const PartKey& key, bool paused) {
  const Partitions list(::rd_kafka_topic_partition_list_new(1));
  ::rd_kafka_topic_partition_list_add(list.get(), key.first.c_str(), key.second);
  const auto code = paused ? ::rd_kafka_pause_partitions(consumer_->get(), list.get())
                           : ::rd_kafka_resume_partitions(consumer_->get(), list.get());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) failed_ = to_error(code, "pausing a partition of delays");
}

void Mover::take_record(const rd_kafka_message_s& record) {
  const std::string name = ::rd_kafka_topic_name(record.rkt);
  const auto topic = topics_.find(name);
  if (topic == topics_.end()) return;
  const PartKey key{name, record.partition};
  Head head{topic->second, key, record.offset, read_record(record, topic->second), 0};
  // The first level waits for the very time, the others for what each message waits there.
  head.ready_ms = record.partition == 0
                      ? head.read.due_ms
                      : std::min(head.read.due_ms, head.read.written_ms + level_wait_ms(record.partition));
  if (head.ready_ms <= system_clock().now_ms()) {
    due_.push_back(std::move(head));
    return;
  }
  set_paused(key, true);
  heads_.insert_or_assign(key, std::move(head));
}

Status Mover::move(Head& head) {
  Message& message = head.read.entry.message;
  const std::int64_t left_ms = head.read.due_ms - system_clock().now_ms();
  std::string target;
  int partition = 0;
  Times times{head.read.entry.published_ms, head.read.due_ms};
  if (left_ms > 0) {
    target = names_.delay(head.topic);
    partition = level_of(left_ms);
  } else {
    target = names_.topic(head.topic);
    EZ_ASSIGN(const int count, count_of(target));
    partition = place_of(message, count, static_cast<std::uint64_t>(head.offset));
  }
  const int code = produce(*producer_, target, partition, message, times, 1);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, "a message that is due");
  ++open_;
  return {};
}

Status Mover::finish() {
  while (open_ > 0) {
    // librdkafka reports every message, at the latest after its own timeout.
    producer_->serve(100);
    EZ_TRY(producer_->check());
  }
  moving_.clear();
  if (failed_) return *failed_;
  if (done_.empty()) return {};
  const Partitions list(::rd_kafka_topic_partition_list_new(static_cast<int>(done_.size())));
  for (const auto& [key, offset] : done_) {
    ::rd_kafka_topic_partition_list_add(list.get(), key.first.c_str(), key.second)->offset = offset;
  }
  done_.clear();
  const auto code = ::rd_kafka_commit_queue(consumer_->get(), list.get(), commits_.get(), nullptr, nullptr);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, "offsets of delays");
  const Event event(::rd_kafka_queue_poll(commits_.get(), 2 * consumer_->patience_ms()));
  if (!event) return Error(Code::QueueUnreachable, "Kafka did not take offsets in time");
  const auto answer = ::rd_kafka_event_error(event.get());
  // After a rebalance another one may have moved them too: that is at least once.
  if (answer == RD_KAFKA_RESP_ERR_NO_ERROR || is_passing(answer)) return {};
  return to_error(answer, "offsets of delays");
}

Status Mover::step(std::chrono::milliseconds wait) {
  std::int64_t next_ms = system_clock().now_ms() + wait.count();
  for (const auto& [key, head] : heads_) next_ms = std::min(next_ms, head.ready_ms);
  const std::int64_t patience = std::clamp<std::int64_t>(next_ms - system_clock().now_ms(), 0, wait.count());
  for (int budget = static_cast<int>(patience), i = 0; static_cast<std::size_t>(i) < kMoveMost; ++i) {
    const Fetched record(::rd_kafka_consumer_poll(consumer_->get(), budget));
    if (!record) break;
    budget = 0;
    if (record->err == RD_KAFKA_RESP_ERR_NO_ERROR) take_record(*record);
  }
  EZ_TRY(consumer_->check());
  if (failed_) return *failed_;
  const std::int64_t now_ms = system_clock().now_ms();
  std::vector<PartKey> over;
  for (auto& [key, head] : heads_) {
    if (head.ready_ms > now_ms) continue;
    due_.push_back(std::move(head));
    over.push_back(key);
  }
  for (const PartKey& key : over) {
    heads_.erase(key);
    set_paused(key, false);
  }
  if (due_.empty()) return failed_ ? Status(*failed_) : Status();
  for (; !due_.empty(); due_.pop_front()) {
    Head& head = due_.front();
    done_[head.key] = head.offset + 1;
    // What was purged meanwhile is only passed over.
    if (head.offset < shared_.purged("/" + head.topic, head.key.second)) continue;
    moving_.push_back(std::move(head));
    EZ_TRY(move(moving_.back()));
  }
  return finish();
}

}  // namespace

Delays::Delays(const KafkaOptions& options, Shared& shared) : options_(options), shared_(shared) {}

Delays::~Delays() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Delays::start() {
  std::lock_guard lock(mutex_);
  if (!stop_ && !thread_.joinable()) thread_ = std::thread([this] { loop(); });
}

void Delays::pause(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [&] { return stop_; });
}

bool Delays::stopped() {
  std::lock_guard lock(mutex_);
  return stop_;
}

void Delays::loop() {
  name_thread("queue-delays");
  std::unique_ptr<Mover> mover;
  while (!stopped()) {
    const std::vector<std::string> topics = shared_.delayed();
    if (topics.empty()) {
      pause(kLook);
      continue;
    }
    Status status;
    if (!mover) {
      mover = std::make_unique<Mover>(options_, shared_);
      status = mover->open();
    }
    if (status.ok()) status = mover->subscribe(topics);
    if (status.ok()) status = mover->step(kLook);
    if (status.ok()) continue;
    EZ_LOG(kDebug, "queue", "messages that are due cannot be moved", {"error", status.error().to_string()});
    mover.reset();
    pause(kAgain);
  }
}

}  // namespace ez::queue::kafka
