#include <librdkafka/rdkafka.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <set>

#include "base/clock.h"
#include "queue/broker/wake.h"
#include "queue/kafka/client.h"
#include "queue/kafka/names.h"
#include "queue/kafka/sessions.h"
#include "queue/kafka/window.h"
#include "queue/kafka/wire.h"
#include "telemetry/log.h"

namespace ez::queue::kafka {
namespace {

using broker::TopicQueue;

// So long after an assignment the first fetch waits until every partition has said something: otherwise what
// is less urgent could come first.
constexpr std::int64_t kGatherUs = 3'000'000;
constexpr std::int64_t kExpectUs = 50'000;
constexpr int kServeMs = 100;  // how late a rebalance is noticed
constexpr std::size_t kPiece = 256;

std::int64_t read_now_us() { return system_clock().monotonic_us(); }

class KafkaRead final : public broker::ReadSession, private Told {
 public:
  KafkaRead(const KafkaOptions& options, Shared& shared)
      : options_(options), shared_(shared), names_{options.broker.prefix} {}
  ~KafkaRead() override {
    parts_.clear();
    consumer_queue_.reset();
    commits_.reset();
    client_.reset();  // leaves the group; may still call revoked()
  }

  [[nodiscard]] Status open();
  Status set_sources(const std::vector<TopicQueue>& sources) override;
  Result<Fetched> fetch(std::size_t want) override;
  Result<std::vector<bool>> settle(const std::vector<Settled>& done) override;
  Status wait(int wake_fd, std::chrono::milliseconds time) override;
  void leave() override {
    parts_.clear();
    consumer_queue_.reset();
    commits_.reset();
    client_.reset();
  }
  std::vector<LostLane> take_lost() override { return std::exchange(lost_, {}); }
  bool expect_more() override {
    expect_until_us_ = read_now_us() + kExpectUs;
    return true;
  }
  bool hot() const override;

 private:
  struct Part {
    std::uint32_t source = 0;
    std::string name;  // at Kafka
    std::string topic;
    int partition = 0;
    int urgency = 0;
    Queue queue;
    Window window;
    std::deque<queue::kafka::Fetched> early;  // came by the queue of the consumer before this one was apart
    bool apart = false;                       // its own queue has given something
    bool spoken = false;                      // since it was assigned: a message, or that there is none
    std::int64_t purged = 0;                  // what was before is not given out any more
  };
  using PartKey = std::pair<std::uint32_t, int>;  // source, partition

  void assigned(rd_kafka_topic_partition_list_s* list) override;
  void revoked(rd_kafka_topic_partition_list_s* list) override;
  void add_part(const rd_kafka_topic_partition_s& one, int count);
  [[nodiscard]] Status serve();  // rebalances, errors
  void take_record(Part& part, const rd_kafka_message_s& record, Fetched& out);
  void drain(Part& part, std::size_t want, Fetched& out);
  [[nodiscard]] bool gathering() const;
  [[nodiscard]] static bool waiting(const Part& part) {
    return !part.early.empty() || ::rd_kafka_queue_length(part.queue.get()) > 0;
  }
  [[nodiscard]] Part* find(PartKey key) {
    const auto found = parts_.find(key);
    return found == parts_.end() ? nullptr : &found->second;
  }
  [[nodiscard]] static PartKey key_of(const broker::Place& place) { return {place.source, place.lane}; }
  // By the name of its topic at Kafka.
  [[nodiscard]] Part* find(const char* name, int partition) {
    const auto source = by_name_.find(name);
    return source == by_name_.end() ? nullptr : find({source->second, partition});
  }
  [[nodiscard]] Result<bool> commit(const std::vector<Part*>& parts);
  [[nodiscard]] Status open_client(const TopicQueue& queue);

  const KafkaOptions options_;
  Shared& shared_;
  const Names names_;
  std::unique_ptr<Client> client_;
  Queue consumer_queue_;
  Queue commits_;
  broker::Wake news_;  // librdkafka writes into it when a queue has something
  std::vector<TopicQueue> sources_;
  std::map<std::string, std::uint32_t> by_name_;  // at Kafka: the source; also of those that are gone
  std::uint64_t purges_seen_ = 0;
  std::map<PartKey, Part> parts_;
  std::vector<LostLane> lost_;
  std::optional<Error> failed_;
  std::int64_t assigned_us_ = 0;
  std::int64_t expect_until_us_ = 0;
  std::size_t turn_ = 0;
};

Status KafkaRead::open() {
  // The group's name comes with its queues; whether Kafka can be reached is told by others until then.
  return {};
}

Status KafkaRead::open_client(const TopicQueue& queue) {
  EZ_ASSIGN(client_, Client::open(options_, Client::Kind::kConsumer,
                                  {{"group.id", names_.group(queue)},
                                   {"partition.assignment.strategy", "cooperative-sticky"},
                                   {"enable.auto.commit", "false"},
                                   {"enable.auto.offset.store", "false"},
                                   {"auto.offset.reset", "earliest"},
                                   {"enable.partition.eof", "true"},
                                   {"session.timeout.ms", std::to_string(options_.alive_ms)},
                                   {"heartbeat.interval.ms", std::to_string(options_.alive_ms / 20)},
                                   {"max.poll.interval.ms", "86400000"},
                                   {"fetch.wait.max.ms", "500"},
                                   {"fetch.error.backoff.ms", "50"},
                                   {"queued.min.messages", "20000"},
                                   {"queued.max.messages.kbytes", "8192"}},
                                  this));
  consumer_queue_.reset(::rd_kafka_queue_get_consumer(client_->get()));
  commits_.reset(::rd_kafka_queue_new(client_->get()));
  const std::uint64_t one = 1;
  ::rd_kafka_queue_io_event_enable(consumer_queue_.get(), news_.descriptor(), &one, sizeof one);
  return client_->connect();
}

Status KafkaRead::set_sources(const std::vector<TopicQueue>& sources) {
  std::vector<TopicSettings> wanted;
  std::vector<std::string> names;
  const TopicQueue* any = nullptr;
  for (std::uint32_t i = 0; i < sources.size(); ++i) {
    if (sources[i].topic.empty()) continue;
    any = &sources[i];
    const std::string name = names_.topic(sources[i].topic);
    const auto [before, fresh] = by_name_.emplace(name, i);
    // Its partitions may still be those of its former number, without a rebalance that says so.
    if (!fresh && before->second != i) {
      return Error(Code::QueueUnreachable, "the topic " + sources[i].topic + " has come back");
    }
    names.push_back(name);
    const bool known = i < sources_.size() && !sources_[i].topic.empty();
    if (!known) wanted.push_back({name, partitions_of(options_.partitions), options_.retention_ms});
  }
  sources_ = sources;
  if (any == nullptr && !client_) return {};
  if (!client_) EZ_TRY(open_client(*any));
  // It may hear of a topic before its publisher has made it.
  EZ_TRY(client_->make_topics(wanted));
  return client_->subscribe(names);
}

// ---- rebalances ----

void KafkaRead::assigned(rd_kafka_topic_partition_list_s* list) {
  if (list->cnt > 0) {
    const auto code = ::rd_kafka_committed(client_->get(), list, client_->patience_ms());
    // Without knowing where to begin it must not begin.
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) failed_ = to_error(code, "offsets of an assignment");
  }
  std::map<std::string, int> counts;
  for (int i = 0; i < list->cnt && !failed_; ++i) {
    rd_kafka_topic_partition_t& one = list->elems[i];
    if (!counts.contains(one.topic)) {
      auto count = client_->partitions(one.topic);
      counts[one.topic] = count.ok() ? *count : 0;
      // Without their number it is not known which partition is more urgent.
      if (counts[one.topic] == 0) {
        failed_ = count.ok() ? Error(Code::QueueUnreachable, std::string("Kafka does not show ") + one.topic)
                             : count.error();
      }
    }
    if (one.err != RD_KAFKA_RESP_ERR_NO_ERROR) failed_ = to_error(one.err, "offsets of an assignment");
    add_part(one, counts[one.topic]);
    if (one.offset < 0) one.offset = RD_KAFKA_OFFSET_BEGINNING;
  }
  assigned_us_ = read_now_us();
}

void KafkaRead::add_part(const rd_kafka_topic_partition_s& one, int count) {
  const auto source = by_name_.find(one.topic);
  if (source == by_name_.end() || sources_[source->second].topic.empty()) return;
  Part part;
  part.source = source->second;
  part.name = one.topic;
  part.topic = sources_[source->second].topic;
  part.purged = shared_.purged(part.topic, one.partition);
  part.partition = one.partition;
  part.urgency = urgency(one.partition, count);
  std::string_view text;
  if (one.metadata != nullptr) text = {static_cast<const char*>(one.metadata), one.metadata_size};
  part.window = Window(one.offset, text);
  part.queue.reset(::rd_kafka_queue_get_partition(client_->get(), one.topic, one.partition));
  if (!part.queue) {
    failed_ = Error(Code::QueueUnreachable, std::string("no queue for a partition of ") + one.topic);
    return;
  }
  const std::uint64_t news = 1;
  ::rd_kafka_queue_io_event_enable(part.queue.get(), news_.descriptor(), &news, sizeof news);
  parts_.insert_or_assign(PartKey{source->second, one.partition}, std::move(part));
}

void KafkaRead::revoked(rd_kafka_topic_partition_list_s* list) {
  for (int i = 0; i < list->cnt; ++i) {
    const Part* part = find(list->elems[i].topic, list->elems[i].partition);
    if (part == nullptr) continue;
    lost_.push_back({part->source, static_cast<std::uint8_t>(part->partition)});
    parts_.erase({part->source, part->partition});
  }
}

Status KafkaRead::serve() {
  if (!client_) return {};
  // The queue of a partition is given to the consumer's anew when fetching begins.
  for (auto& [key, part] : parts_) {
    if (!part.apart) ::rd_kafka_queue_forward(part.queue.get(), nullptr);
  }
  while (true) {
    queue::kafka::Fetched record(::rd_kafka_consumer_poll(client_->get(), 0));
    if (!record) break;
    const char* name = record->rkt != nullptr ? ::rd_kafka_topic_name(record->rkt) : "";
    Part* part = find(name, record->partition);
    if (record->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      if (part != nullptr) part->spoken = true;
    } else if (record->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      const Error error = to_error(record->err, std::string("reading ") + name);
      if (error.code() == Code::QueueRefused) return error;
      EZ_LOG(kDebug, "queue", "Kafka's consumer says", {"error", error.to_string()});
    } else if (part != nullptr) {
      part->early.push_back(std::move(record));
    }
  }
  EZ_TRY(client_->check());
  return failed_ ? Status(*failed_) : Status();
}

// ---- fetching ----

bool KafkaRead::gathering() const {
  if (parts_.empty() || read_now_us() - assigned_us_ > kGatherUs) return false;
  return std::ranges::any_of(parts_,
                             [](const auto& one) { return !one.second.spoken && !waiting(one.second); });
}

bool KafkaRead::hot() const {
  if (!client_) return false;
  if (::rd_kafka_queue_length(consumer_queue_.get()) > 0 || read_now_us() < expect_until_us_) return true;
  if (gathering()) return false;
  return std::ranges::any_of(
      parts_, [](const auto& one) { return waiting(one.second) && one.second.window.span() < kWindow; });
}

void KafkaRead::take_record(Part& part, const rd_kafka_message_s& record, Fetched& out) {
  part.spoken = true;
  if (record.err != RD_KAFKA_RESP_ERR_NO_ERROR) return;  // the end of the partition, for now
  if (!part.window.fetched(record.offset)) return;
  if (record.offset < part.purged) {
    part.window.settled(record.offset);
    return;
  }
  Read read = read_record(record, part.topic);
  read.entry.place = {part.source, static_cast<std::uint8_t>(part.partition),
                      static_cast<std::uint64_t>(record.offset), 0};
  out.entries.push_back(std::move(read.entry));
}

void KafkaRead::drain(Part& part, std::size_t want, Fetched& out) {
  while (out.entries.size() < want && part.window.span() < kWindow) {
    if (!part.early.empty()) {
      const queue::kafka::Fetched record = std::move(part.early.front());
      part.early.pop_front();
      take_record(part, *record, out);
      continue;
    }
    const auto room = static_cast<std::size_t>(kWindow - part.window.span());
    rd_kafka_message_t* records[kPiece];
    const std::size_t most = std::min({want - out.entries.size(), room, kPiece});
    const ssize_t got = ::rd_kafka_consume_batch_queue(part.queue.get(), 0, records, most);
    if (got <= 0) return;
    part.apart = true;
    for (ssize_t i = 0; i < got; ++i) {
      take_record(part, *records[i], out);
      ::rd_kafka_message_destroy(records[i]);
    }
  }
}

Result<broker::ReadSession::Fetched> KafkaRead::fetch(std::size_t want) {
  Fetched out;
  if (!client_) return out;
  if (const std::uint64_t purges = shared_.changes(); purges != purges_seen_) {
    purges_seen_ = purges;
    for (auto& [key, part] : parts_) part.purged = shared_.purged(part.topic, part.partition);
  }
  while (true) {
    EZ_TRY(serve());
    if (!gathering()) {
      std::vector<Part*> order;
      for (auto& [key, part] : parts_) order.push_back(&part);
      // All of one urgency have their turn.
      if (!order.empty()) std::rotate(order.begin(), order.begin() + turn_++ % order.size(), order.end());
      std::ranges::stable_sort(order, {}, [](const Part* part) { return part->urgency; });
      for (Part* part : order) drain(*part, want, out);
    }
    const std::int64_t left_us = expect_until_us_ - read_now_us();
    if (!out.entries.empty() || left_us <= 0) return out;
    pollfd news{news_.descriptor(), POLLIN, 0};
    ::poll(&news, 1, static_cast<int>((left_us + 999) / 1000));
    news_.drain();
  }
}

Status KafkaRead::wait(int wake_fd, std::chrono::milliseconds time) {
  const bool before = hot();
  EZ_TRY(serve());
  // What was moved here meanwhile gives no sign any more.
  if (!before && hot()) return {};
  pollfd wanted[] = {{wake_fd, POLLIN, 0}, {news_.descriptor(), POLLIN, 0}};
  ::poll(wanted, 2, static_cast<int>(std::clamp<std::int64_t>(time.count(), 0, kServeMs)));
  news_.drain();
  return serve();
}

// ---- settling ----

Result<std::vector<bool>> KafkaRead::settle(const std::vector<Settled>& done) {
  std::vector<bool> out;
  std::set<PartKey> touched;
  for (const Settled& one : done) {
    Part* part = find(key_of(one.place));
    const bool good = part != nullptr && part->window.settled(static_cast<std::int64_t>(one.place.a));
    out.push_back(good);
    if (good) touched.insert(key_of(one.place));
  }
  const std::int64_t end = read_now_us() + options_.broker.request_timeout_ms * 1000;
  while (!touched.empty()) {
    std::vector<Part*> parts;
    for (const PartKey& key : touched) {
      if (Part* part = find(key)) parts.push_back(part);
    }
    if (parts.empty()) break;
    EZ_ASSIGN(const bool committed, commit(parts));
    if (committed) break;
    if (read_now_us() > end) return Error(Code::QueueUnreachable, "Kafka did not take offsets in time");
    EZ_TRY(serve());
  }
  // What was taken away meanwhile is not known to be settled.
  for (std::size_t i = 0; i < done.size(); ++i) {
    if (out[i] && find(key_of(done[i].place)) == nullptr) out[i] = false;
  }
  return out;
}

Result<bool> KafkaRead::commit(const std::vector<Part*>& parts) {
  const Partitions list(::rd_kafka_topic_partition_list_new(static_cast<int>(parts.size())));
  for (const Part* part : parts) {
    rd_kafka_topic_partition_t* one =
        ::rd_kafka_topic_partition_list_add(list.get(), part->name.c_str(), part->partition);
    one->offset = part->window.base();
    const std::string text = part->window.text();
    if (text.empty()) continue;
    one->metadata = ::strdup(text.c_str());  // librdkafka frees it
    one->metadata_size = text.size();
  }
  const auto code = ::rd_kafka_commit_queue(client_->get(), list.get(), commits_.get(), nullptr, nullptr);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, "offsets");
  const std::int64_t end = read_now_us() + options_.broker.request_timeout_ms * 1000;
  Event event;
  while (!event) {
    event.reset(::rd_kafka_queue_poll(commits_.get(), kServeMs));
    if (event) break;
    EZ_TRY(client_->check());
    if (read_now_us() > end) return Error(Code::QueueUnreachable, "Kafka did not take offsets in time");
  }
  int worst = ::rd_kafka_event_error(event.get());
  if (const auto* answers = ::rd_kafka_event_topic_partition_list(event.get())) {
    for (int i = 0; i < answers->cnt; ++i) {
      if (answers->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR) worst = answers->elems[i].err;
    }
  }
  if (worst == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
  // Again after the rebalance that comes with it, where the partition is still ours.
  if (is_passing(worst) || worst == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION ||
      worst == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID) {
    ::rd_kafka_poll(client_->get(), 10);
    return false;
  }
  return to_error(worst, "offsets");
}

}  // namespace

Result<std::unique_ptr<broker::ReadSession>> open_read(const KafkaOptions& options, Shared& shared) {
  auto session = std::make_unique<KafkaRead>(options, shared);
  EZ_TRY(session->open());
  return std::unique_ptr<broker::ReadSession>(std::move(session));
}

}  // namespace ez::queue::kafka
