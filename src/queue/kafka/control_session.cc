#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "base/clock.h"
#include "base/random.h"
#include "queue/kafka/client.h"
#include "queue/kafka/names.h"
#include "queue/kafka/sessions.h"
#include "queue/kafka/tail.h"
#include "queue/kafka/window.h"
#include "queue/kafka/wire.h"

namespace ez::queue::kafka {
namespace {

using broker::GroupName;
using broker::QueueCounts;
using broker::TopicQueue;

constexpr std::int64_t kSilentUs = 20'000'000;  // an owner of a broadcast group says every 5 s that it lives
constexpr std::size_t kGroupsMost = 16;
constexpr std::int64_t kHourMs = 3'600'000;

std::int64_t control_now_us() { return system_clock().monotonic_us(); }

class KafkaControl final : public broker::ControlSession, private Told {
 public:
  KafkaControl(const KafkaOptions& options, Shared& shared)
      : options_(options), shared_(shared), names_{options.broker.prefix} {}

  [[nodiscard]] Status open();
  Result<std::vector<std::string>> read_registry() override;
  Status append_registry(const std::string& event) override;
  Status make_queue(const TopicQueue& queue, const std::optional<GroupName>& reader) override;
  Status drop_queue(const TopicQueue& queue, const GroupName& reader) override;
  Result<std::vector<broker::Entry>> peek(const TopicQueue& queue, std::size_t max) override;
  Result<std::uint64_t> purge(const std::string& topic, const std::vector<TopicQueue>& queues) override;
  Result<std::vector<QueueCounts>> counts(const std::string& topic,
                                          const std::vector<TopicQueue>& queues) override;
  Status round_trip() override;
  Result<std::vector<GroupName>> keep_alive(const std::vector<GroupName>& mine,
                                            const std::vector<GroupName>& known) override;
  bool counts_fetched() const override { return true; }

 private:
  // Where a group stands in a partition, and where the partition begins and ends.
  struct Stand {
    std::int64_t begin = 0;
    std::int64_t end = 0;
    Window window;
    [[nodiscard]] std::uint64_t waiting() const {
      const std::int64_t from = std::max(begin, window.base());
      const std::int64_t left = end - from - (from == window.base() ? window.settled_ahead() : 0);
      return static_cast<std::uint64_t>(std::max<std::int64_t>(0, left));
    }
  };
  [[nodiscard]] Result<int> count_of(const std::string& name);
  // A client that asks for the offsets of a group.
  [[nodiscard]] Result<Client*> offsets_of(const std::string& group);
  [[nodiscard]] Result<std::vector<Client::Committed>> committed(const std::string& group,
                                                                 const std::string& name, int count);
  [[nodiscard]] Result<std::vector<Stand>> stands(const std::string& group, const std::string& name);
  // Writes one text, and waits until it is there.
  [[nodiscard]] Status write(const std::string& name, const std::string& text);
  [[nodiscard]] Result<std::uint64_t> purge_delayed(const std::string& topic);
  void note(std::string_view text);
  void delivered(const rd_kafka_message_s& record) override {
    if (reinterpret_cast<std::uintptr_t>(record._private) == written_) report_ = record.err;
  }

  const KafkaOptions options_;
  Shared& shared_;
  const Names names_;
  std::unique_ptr<Client> client_;  // asks and writes
  std::unique_ptr<Client> reader_;  // reads single partitions, without a group
  std::uintptr_t written_ = 0;
  std::optional<int> report_;  // of the last text that was written
  std::unique_ptr<Tail> registry_;
  std::unique_ptr<Tail> alive_;
  std::map<std::string, std::unique_ptr<Client>> groups_;  // at most kGroupsMost
  std::map<std::string, int> counts_;             // partitions of a topic at Kafka; bounded by the topics
  std::set<std::string> begun_;                   // "group topic" whose beginning is set
  std::map<std::string, std::int64_t> heard_us_;  // of broadcast groups
};

Status KafkaControl::open() {
  shared_.forget();
  EZ_ASSIGN(client_, Client::open(options_, Client::Kind::kProducer,
                                  {{"enable.idempotence", "true"},
                                   {"acks", "all"},
                                   {"linger.ms", "0"},
                                   {"message.timeout.ms", std::to_string(std::max<std::int64_t>(
                                                              100, options_.broker.request_timeout_ms))}},
                                  this));
  EZ_TRY(client_->connect());
  EZ_ASSIGN(reader_, Client::open(options_, Client::Kind::kConsumer,
                                  {{"enable.partition.eof", "true"},
                                   {"auto.offset.reset", "error"},
                                   {"fetch.wait.max.ms", "200"},
                                   {"fetch.error.backoff.ms", "50"},
                                   {"queued.min.messages", "2000"},
                                   {"queued.max.messages.kbytes", "8192"}}));
  EZ_TRY(client_->make_topics({{names_.registry(), 1, -1}}));
  EZ_ASSIGN(registry_, Tail::open(*reader_, names_.registry(), 0, 0));
  return {};
}

Status KafkaControl::write(const std::string& name, const std::string& text) {
  const std::uintptr_t ticket = ++written_;
  report_.reset();
  const int code = produce_text(*client_, name, text, ticket);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, name);
  const std::int64_t end = control_now_us() + 2 * options_.broker.request_timeout_ms * 1000;
  while (!report_ && control_now_us() < end) {
    client_->serve(100);
    EZ_TRY(client_->check());
  }
  if (report_) return *report_ == RD_KAFKA_RESP_ERR_NO_ERROR ? Status() : Status(to_error(*report_, name));
  return Error(Code::QueueUnreachable, name + ": Kafka did not confirm in time");
}

// ---- the registry ----

void KafkaControl::note(std::string_view text) {
  const auto event = broker::read_event(text);
  if (!event) return;
  const std::string topic(event->first);
  if (event->kind == "delay") shared_.delayed(topic);
  if (event->kind != "purge") return;
  std::vector<std::int64_t> ends;
  const char* at = event->second.data();
  const char* end = at + event->second.size();
  while (at < end && ends.size() <= 256) {
    std::int64_t number = 0;
    const auto read = std::from_chars(at, end, number);
    if (read.ec != std::errc()) break;
    ends.push_back(number);
    at = read.ptr + 1;
  }
  shared_.purged(topic, ends);
}

Result<std::vector<std::string>> KafkaControl::read_registry() {
  EZ_TRY(client_->check());
  EZ_ASSIGN(const std::vector<std::int64_t> end, client_->ends(names_.registry(), 1));
  // Shorter than what was read: Kafka came back without its memory. A new session reads what there is.
  if (end.front() < registry_->next())
    return Error(Code::QueueUnreachable, "Kafka's registry is another one");
  std::vector<std::string> out;
  EZ_TRY(registry_->read(end.front(), SIZE_MAX, [&](const rd_kafka_message_s& record) {
    out.emplace_back(static_cast<const char*>(record.payload), record.len);
    note(out.back());
  }));
  return out;
}

Status KafkaControl::append_registry(const std::string& event) { return write(names_.registry(), event); }

// ---- topics and groups ----

Result<int> KafkaControl::count_of(const std::string& name) {
  if (const auto known = counts_.find(name); known != counts_.end()) return known->second;
  EZ_ASSIGN(const int count, client_->partitions(name));
  if (count > 0) counts_[name] = count;
  return count;
}

Status KafkaControl::make_queue(const TopicQueue& queue, const std::optional<GroupName>& reader) {
  const std::string name = names_.topic(queue.topic);
  const std::string group = names_.group(queue);
  if (begun_.contains(group + "\n" + name)) return {};
  EZ_ASSIGN(int count, count_of(name));
  bool fresh = false;
  if (count == 0) {
    EZ_ASSIGN(fresh, client_->make_topic({name, partitions_of(options_.partitions), options_.retention_ms}));
    EZ_ASSIGN(count, count_of(name));
    if (count == 0) return Error(Code::QueueUnreachable, "Kafka has lost the topic " + name);
  }
  // A group that was there before the topic gets all of it; so does one that takes over what was kept, from
  // where keeping began; any other begins with what comes from now on.
  if (reader && !queue.older && !fresh) {
    EZ_ASSIGN(const auto there, committed(group, name, count));
    if (std::ranges::all_of(there, [](const auto& one) { return one.offset < 0; })) {
      std::vector<std::int64_t> from;
      if (queue.queue == 0) {
        EZ_ASSIGN(const auto kept, committed(names_.kept(), name, count));
        for (const auto& one : kept) from.push_back(std::max<std::int64_t>(0, one.offset));
      } else {
        EZ_ASSIGN(from, client_->ends(name, count));
      }
      EZ_ASSIGN(Client* const place, offsets_of(group));
      EZ_TRY(place->commit(name, from));
    }
  }
  begun_.insert(group + "\n" + name);
  return {};
}

Status KafkaControl::drop_queue(const TopicQueue& queue, const GroupName& reader) {
  const std::string name = names_.topic(queue.topic);
  const std::string group = names_.group(queue);
  begun_.erase(group + "\n" + name);
  groups_.erase(group);  // Kafka forgets the group by itself when nobody has read it for some days
  if (is_broadcast(reader)) return {};
  EZ_ASSIGN(const int count, count_of(name));
  if (count == 0) return {};
  // What the next first group gets begins here.
  EZ_ASSIGN(const auto ends, client_->ends(name, count));
  EZ_ASSIGN(Client* const place, offsets_of(names_.kept()));
  return place->commit(name, ends);
}

// ---- looking ----

Result<Client*> KafkaControl::offsets_of(const std::string& group) {
  if (const auto known = groups_.find(group); known != groups_.end()) return known->second.get();
  if (groups_.size() >= kGroupsMost) groups_.clear();
  EZ_ASSIGN(auto fresh, Client::open(options_, Client::Kind::kConsumer,
                                     {{"group.id", group}, {"enable.auto.commit", "false"}}));
  return (groups_[group] = std::move(fresh)).get();
}

Result<std::vector<Client::Committed>> KafkaControl::committed(const std::string& group,
                                                               const std::string& name, int count) {
  EZ_ASSIGN(Client* const place, offsets_of(group));
  return place->committed(name, count);
}

Result<std::vector<KafkaControl::Stand>> KafkaControl::stands(const std::string& group,
                                                              const std::string& name) {
  EZ_ASSIGN(const int count, count_of(name));
  if (count == 0) return Error(Code::QueueUnreachable, "Kafka has lost the topic " + name);
  EZ_ASSIGN(const auto committed, committed(group, name, count));
  EZ_ASSIGN(const auto begins, client_->begins(name, count));
  EZ_ASSIGN(const auto ends, client_->ends(name, count));
  std::vector<Stand> out;
  for (std::size_t i = 0; i < committed.size(); ++i) {
    const std::int64_t from = committed[i].offset < 0 ? begins[i] : committed[i].offset;
    out.push_back({begins[i], ends[i], Window(from, committed[i].text)});
  }
  return out;
}

Result<std::vector<broker::Entry>> KafkaControl::peek(const TopicQueue& queue, std::size_t max) {
  const std::string name = names_.topic(queue.topic);
  EZ_ASSIGN(std::vector<Stand> all, stands(names_.group(queue), name));
  std::vector<broker::Entry> out;
  for (std::size_t i = 0; i < all.size(); ++i) {
    Stand& stand = all[i];
    const std::int64_t from = std::max(stand.begin, stand.window.base());
    if (stand.end <= from) continue;
    EZ_ASSIGN(const auto tail, Tail::open(*reader_, name, static_cast<int>(i), from));
    std::size_t shown = 0;
    EZ_TRY(tail->read(stand.end, max + static_cast<std::size_t>(kWindow), [&](const rd_kafka_message_s& one) {
      if (shown >= max || !stand.window.fetched(one.offset)) return;
      ++shown;
      out.push_back(read_record(one, queue.topic).entry);
    }));
  }
  return out;
}

Result<std::uint64_t> KafkaControl::purge_delayed(const std::string& topic) {
  const std::string name = names_.delay(topic);
  EZ_ASSIGN(const int count, count_of(name));
  if (count == 0) return std::uint64_t{0};
  EZ_ASSIGN(const auto all, stands(names_.movers(), name));
  std::uint64_t removed = 0;
  std::vector<std::int64_t> ends;
  for (const Stand& stand : all) {
    removed += stand.waiting();
    ends.push_back(stand.end);
  }
  if (removed == 0) return removed;
  // Those who move what is due hold the next one of each partition.
  EZ_TRY(append_registry(purge_event("/" + topic, ends)));
  shared_.purged("/" + topic, ends);
  EZ_TRY(client_->delete_records(name, ends));
  return removed;
}

Result<std::uint64_t> KafkaControl::purge(const std::string& topic, const std::vector<TopicQueue>& queues) {
  const std::string name = names_.topic(topic);
  std::uint64_t most = 0;
  std::vector<std::int64_t> ends;
  for (const TopicQueue& queue : queues) {
    EZ_ASSIGN(const auto all, stands(names_.group(queue), name));
    std::uint64_t waiting = 0;
    ends.clear();
    for (const Stand& stand : all) {
      waiting += stand.waiting();
      ends.push_back(stand.end);
    }
    most = std::max(most, waiting);
  }
  // Readers everywhere have fetched ahead; they hear of it and drop it.
  EZ_TRY(append_registry(purge_event(topic, ends)));
  shared_.purged(topic, ends);
  EZ_TRY(client_->delete_records(name, ends));
  EZ_ASSIGN(const std::uint64_t delayed, purge_delayed(topic));
  return most + delayed;
}

Result<std::vector<QueueCounts>> KafkaControl::counts(const std::string& topic,
                                                      const std::vector<TopicQueue>& queues) {
  std::uint64_t delayed = 0;
  if (shared_.has_delayed(topic)) {
    EZ_ASSIGN(const auto all, stands(names_.movers(), names_.delay(topic)));
    for (const Stand& stand : all) delayed += stand.waiting();
  }
  std::vector<QueueCounts> out;
  for (const TopicQueue& queue : queues) {
    EZ_ASSIGN(const auto all, stands(names_.group(queue), names_.topic(topic)));
    QueueCounts counts;
    for (const Stand& stand : all) {
      counts.waiting += stand.waiting();
      counts.published += static_cast<std::uint64_t>(stand.end);
    }
    counts.delayed = delayed;
    counts.fetched_known = false;
    out.push_back(counts);
  }
  return out;
}

Status KafkaControl::round_trip() {
  if (!counts_.contains(names_.health())) {
    EZ_TRY(client_->make_topics({{names_.health(), 1, kHourMs}}));
    counts_[names_.health()] = 1;
  }
  EZ_ASSIGN(const auto before, client_->ends(names_.health(), 1));
  EZ_TRY(write(names_.health(), "health"));
  EZ_ASSIGN(const auto after, client_->ends(names_.health(), 1));
  if (after.front() > before.front()) return {};
  return Error(Code::QueueUnreachable, "Kafka lost what it had just confirmed");
}

Result<std::vector<GroupName>> KafkaControl::keep_alive(const std::vector<GroupName>& mine,
                                                        const std::vector<GroupName>& known) {
  if (!alive_) {
    EZ_TRY(client_->make_topics({{names_.alive(), 1, kHourMs}}));
    EZ_ASSIGN(const auto end, client_->ends(names_.alive(), 1));
    EZ_ASSIGN(alive_, Tail::open(*reader_, names_.alive(), 0, end.front()));
  }
  for (const GroupName& group : mine) EZ_TRY(write(names_.alive(), group.group));
  EZ_ASSIGN(const auto end, client_->ends(names_.alive(), 1));
  const std::int64_t now = control_now_us();
  EZ_TRY(alive_->read(end.front(), SIZE_MAX, [&](const rd_kafka_message_s& record) {
    heard_us_[std::string(static_cast<const char*>(record.payload), record.len)] = now;
  }));
  std::vector<GroupName> gone;
  std::map<std::string, std::int64_t> heard;
  for (const GroupName& group : known) {
    const auto [when, unheard] = heard_us_.emplace(group.group, now);  // one that is new to us has its time
    heard.emplace(*when);
    if (now - when->second > kSilentUs) gone.push_back(group);
  }
  heard_us_ = std::move(heard);
  return gone;
}

}  // namespace

Result<std::unique_ptr<broker::ControlSession>> open_control(const KafkaOptions& options, Shared& shared) {
  auto session = std::make_unique<KafkaControl>(options, shared);
  EZ_TRY(session->open());
  return std::unique_ptr<broker::ControlSession>(std::move(session));
}

}  // namespace ez::queue::kafka
