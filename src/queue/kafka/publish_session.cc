#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <deque>
#include <map>

#include "base/clock.h"
#include "queue/kafka/client.h"
#include "queue/kafka/names.h"
#include "queue/kafka/sessions.h"
#include "queue/kafka/wire.h"

namespace ez::queue::kafka {
namespace {

using broker::Outgoing;

// Messages without a key go into one partition for so long, so that they stay about in order.
constexpr std::int64_t kTurnUs = 50'000;
constexpr std::size_t kTicketBits = 16;  // of the place in a batch, which has at most 1,000 messages

class KafkaPublish final : public broker::PublishSession, private Told {
 public:
  KafkaPublish(const KafkaOptions& options, Shared& shared)
      : options_(options), shared_(shared), names_{options.broker.prefix} {}

  [[nodiscard]] Status open();
  Status send(const std::vector<Outgoing>& batch) override;
  Result<std::vector<Result<Receipt>>> receive() override;
  std::size_t max_batches() const override { return 8; }

 private:
  struct Sent {
    std::uint64_t number = 0;
    std::vector<Outgoing> batch;
    std::vector<Result<Receipt>> answers;
    std::size_t open = 0;
  };
  struct Place {
    std::string name;  // at Kafka
    int count = 0;
  };
  [[nodiscard]] Result<const Place*> place(const std::string& topic);
  [[nodiscard]] Result<const std::string*> delayed(const std::string& topic);
  [[nodiscard]] Result<int> hand_over(const Outgoing& one, std::uintptr_t ticket);
  void delivered(const rd_kafka_message_s& record) override;

  const KafkaOptions options_;
  Shared& shared_;
  const Names names_;
  std::deque<Sent> sent_;
  std::uint64_t next_ = 0;
  std::uint64_t turn_ = 0;
  std::int64_t turn_end_us_ = 0;
  std::map<std::string, Place> places_;  // bounded by the topics that are published to
  std::map<std::string, std::string> delays_;
  std::optional<Error> missing_;    // a topic that has to be there is not
  std::unique_ptr<Client> client_;  // ends first: it still reports
};

Status KafkaPublish::open() {
  const std::int64_t most = std::max<std::int64_t>(options_.broker.publish_timeout_ms, 100);
  EZ_ASSIGN(client_, Client::open(options_, Client::Kind::kProducer,
                                  {{"enable.idempotence", "true"},
                                   {"acks", "all"},
                                   {"linger.ms", "1"},
                                   {"message.timeout.ms", std::to_string(most)},
                                   {"message.max.bytes", std::to_string(options_.max_message_bytes)},
                                   {"queue.buffering.max.messages", "200000"},
                                   {"queue.buffering.max.kbytes", "1048576"}},
                                  this));
  return client_->connect();
}

Result<const KafkaPublish::Place*> KafkaPublish::place(const std::string& topic) {
  if (const auto known = places_.find(topic); known != places_.end()) return &known->second;
  Place out{names_.topic(topic), 0};
  EZ_ASSIGN(out.count, client_->partitions(out.name));
  if (out.count == 0) return Error(Code::QueueUnreachable, "Kafka has no topic " + out.name);
  return &places_.emplace(topic, std::move(out)).first->second;
}

Result<const std::string*> KafkaPublish::delayed(const std::string& topic) {
  if (const auto known = delays_.find(topic); known != delays_.end()) return &known->second;
  std::string name = names_.delay(topic);
  EZ_TRY(client_->make_topics({{name, kLevels, -1}}));
  // So that others find it.
  const int code = produce_text(*client_, names_.registry(), delay_event(topic), 0);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return to_error(code, names_.registry());
  shared_.delayed(topic);
  return &delays_.emplace(topic, std::move(name)).first->second;
}

Result<int> KafkaPublish::hand_over(const Outgoing& one, std::uintptr_t ticket) {
  const Message& message = *one.message;
  if (message.delay_ms > 0) {
    EZ_ASSIGN(const std::string* name, delayed(message.topic));
    const std::int64_t due = one.published_ms + message.delay_ms;
    return produce(*client_, *name, level_of(due - system_clock().now_ms()), message, {one.published_ms, due},
                   ticket);
  }
  EZ_ASSIGN(const Place* where, place(message.topic));
  return produce(*client_, where->name, place_of(message, where->count, turn_), message,
                 {one.published_ms, 0}, ticket);
}

Status KafkaPublish::send(const std::vector<Outgoing>& batch) {
  EZ_TRY(client_->check());
  const std::int64_t now = system_clock().monotonic_us();
  if (now > turn_end_us_) {
    ++turn_;
    turn_end_us_ = now + kTurnUs;
  }
  Sent& sent = sent_.emplace_back();
  sent.number = ++next_;
  sent.batch = batch;
  sent.answers.assign(batch.size(), Result<Receipt>(Receipt{}));
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const std::uintptr_t ticket = sent.number << kTicketBits | i;
    EZ_ASSIGN(const int code, hand_over(batch[i], ticket));
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
      ++sent.open;
      continue;
    }
    if (is_missing(code))
      return Error(Code::QueueUnreachable, "Kafka lost the topic " + batch[i].message->topic);
    sent.answers[i] = to_error(code, "message " + batch[i].message->id);
  }
  return {};
}

void KafkaPublish::delivered(const rd_kafka_message_s& record) {
  const auto ticket = reinterpret_cast<std::uintptr_t>(record._private);
  if (ticket == 0) return;  // an event of the registry
  const std::uint64_t number = ticket >> kTicketBits;
  if (sent_.empty() || number < sent_.front().number) return;
  Sent& sent = sent_[static_cast<std::size_t>(number - sent_.front().number)];
  const std::size_t place = ticket & ((1U << kTicketBits) - 1);
  --sent.open;
  const std::string& id = sent.batch[place].message->id;
  if (record.err == RD_KAFKA_RESP_ERR_NO_ERROR) {
    sent.answers[place] = Receipt{id, false};
    return;
  }
  Error error = to_error(record.err, "message " + id);
  const bool never = ::rd_kafka_message_status(&record) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
  if (is_missing(record.err)) missing_ = error;
  if (error.code() == Code::QueueUnreachable && !never) error = Error(Code::OutcomeUnknown, error.message());
  sent.answers[place] = error;
}

Result<std::vector<Result<Receipt>>> KafkaPublish::receive() {
  // librdkafka reports every message, at the latest after its own timeout.
  const std::int64_t end =
      system_clock().monotonic_us() +
      (options_.broker.publish_timeout_ms + 2 * options_.broker.request_timeout_ms) * 1000;
  while (sent_.front().open > 0) {
    client_->serve(100);
    EZ_TRY(client_->check());
    if (missing_) return *missing_;
    if (system_clock().monotonic_us() > end) {
      return Error(Code::QueueUnreachable, "librdkafka does not report what became of messages");
    }
  }
  std::vector<Result<Receipt>> out = std::move(sent_.front().answers);
  sent_.pop_front();
  return out;
}

}  // namespace

Result<std::unique_ptr<broker::PublishSession>> open_publish(const KafkaOptions& options, Shared& shared) {
  auto session = std::make_unique<KafkaPublish>(options, shared);
  EZ_TRY(session->open());
  return std::unique_ptr<broker::PublishSession>(std::move(session));
}

}  // namespace ez::queue::kafka
