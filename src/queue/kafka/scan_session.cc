#include <librdkafka/rdkafka.h>

#include <algorithm>

#include "queue/kafka/client.h"
#include "queue/kafka/names.h"
#include "queue/kafka/sessions.h"
#include "queue/kafka/tail.h"
#include "queue/kafka/window.h"
#include "queue/kafka/wire.h"

namespace ez::queue::kafka {
namespace {

using broker::TopicQueue;

// Kafka removes from the front of a partition only, so what lies behind something that stays, stays too.
class KafkaScan final : public broker::ScanSession {
 public:
  KafkaScan(const KafkaOptions& options, Shared& shared)
      : options_(options), shared_(shared), names_{options.broker.prefix} {}
  [[nodiscard]] Status open();
  Status look(const std::string& topic, const std::vector<TopicQueue>& queues, bool removing,
              const Inventory::Each& each) override;

 private:
  // What some group of `groups` has still to do in the topic `name` of Kafka.
  [[nodiscard]] Status look_log(const std::string& name, const std::string& topic,
                                const std::vector<std::string>& groups, bool removing,
                                const Inventory::Each& each);
  [[nodiscard]] Result<std::vector<Client::Committed>> committed(const std::string& group,
                                                                 const std::string& name, int count);

  const KafkaOptions options_;
  Shared& shared_;
  const Names names_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Client> reader_;
};

Status KafkaScan::open() {
  EZ_ASSIGN(client_, Client::open(options_, Client::Kind::kProducer, {}));
  EZ_TRY(client_->connect());
  EZ_ASSIGN(reader_, Client::open(options_, Client::Kind::kConsumer,
                                  {{"enable.partition.eof", "true"},
                                   {"auto.offset.reset", "error"},
                                   {"fetch.wait.max.ms", "200"},
                                   {"fetch.error.backoff.ms", "50"},
                                   {"queued.min.messages", "2000"},
                                   {"queued.max.messages.kbytes", "8192"}}));
  return {};
}

Status KafkaScan::look(const std::string& topic, const std::vector<TopicQueue>& queues, bool removing,
                       const Inventory::Each& each) {
  // Delayed ones first: what becomes due meanwhile is found in the topic.
  EZ_TRY(look_log(names_.delay(topic), topic, {names_.movers()}, removing, each));
  std::vector<std::string> groups;
  for (const TopicQueue& queue : queues) groups.push_back(names_.group(queue));
  return look_log(names_.topic(topic), topic, groups, removing, each);
}

Result<std::vector<Client::Committed>> KafkaScan::committed(const std::string& group, const std::string& name,
                                                            int count) {
  EZ_ASSIGN(const auto place, Client::open(options_, Client::Kind::kConsumer,
                                           {{"group.id", group}, {"enable.auto.commit", "false"}}));
  return place->committed(name, count);
}

Status KafkaScan::look_log(const std::string& name, const std::string& topic,
                           const std::vector<std::string>& groups, bool removing,
                           const Inventory::Each& each) {
  EZ_ASSIGN(const int count, client_->partitions(name));
  if (count == 0) return {};
  const bool delays = name == names_.delay(topic);
  EZ_ASSIGN(const std::vector<std::int64_t> begins, client_->begins(name, count));
  EZ_ASSIGN(const std::vector<std::int64_t> ends, client_->ends(name, count));
  std::vector<std::vector<Client::Committed>> stands;
  for (const std::string& group : groups) {
    EZ_ASSIGN(std::vector<Client::Committed> one, committed(group, name, count));
    stands.push_back(std::move(one));
  }
  std::vector<std::int64_t> cuts = begins;  // before these everything may go
  for (std::size_t i = 0; i < begins.size(); ++i) {
    std::vector<Window> windows;
    std::int64_t from = ends[i];
    for (const auto& stand : stands) {
      const std::int64_t base = stand[i].offset < 0 ? begins[i] : stand[i].offset;
      windows.emplace_back(base, stand[i].text);
      from = std::min(from, std::max(base, begins[i]));
    }
    from = std::max({from, begins[i], shared_.purged(delays ? "/" + topic : topic, static_cast<int>(i))});
    cuts[i] = from;
    if (from >= ends[i]) continue;
    EZ_ASSIGN(const auto tail, Tail::open(*reader_, name, static_cast<int>(i), from));
    Status status;
    bool all = true;
    EZ_TRY(tail->read(ends[i], SIZE_MAX, [&](const rd_kafka_message_s& record) {
      if (!status.ok()) return;
      bool open = false;
      for (Window& window : windows) open = window.fetched(record.offset) || open;
      if (open) {
        Read read = read_record(record, topic);
        Lying shown;
        shown.message = std::move(read.entry.message);
        shown.published_ms = read.entry.published_ms;
        if (delays) shown.due_ms = std::max<std::int64_t>(1, read.due_ms);
        auto remove = each(shown);
        if (!remove.ok()) {
          status = remove.error();
          return;
        }
        all = all && *remove;
      }
      if (all) cuts[i] = record.offset + 1;
    }));
    EZ_TRY(status);
    if (all) cuts[i] = ends[i];
  }
  if (!removing || cuts == begins) return {};
  // Readers of this process have fetched ahead, and drop it.
  shared_.purged(delays ? "/" + topic : topic, cuts);
  return client_->delete_records(name, cuts);
}

}  // namespace

Result<std::unique_ptr<broker::ScanSession>> open_scan(const KafkaOptions& options, Shared& shared) {
  auto session = std::make_unique<KafkaScan>(options, shared);
  EZ_TRY(session->open());
  return std::unique_ptr<broker::ScanSession>(std::move(session));
}

}  // namespace ez::queue::kafka
