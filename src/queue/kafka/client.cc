#include "queue/kafka/client.h"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "base/clock.h"
#include "queue/broker/stream.h"
#include "telemetry/log.h"

namespace ez::queue::kafka {
namespace {

constexpr int kProbeMs = 200;
constexpr int kStrictScram = 0x02060100;     // librdkafka 2.6.1
constexpr std::int64_t kJoinUs = 1'000'000;  // at the end, for what was only begun

std::int64_t client_now_us() { return system_clock().monotonic_us(); }

std::string joined(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : ",") + part;
  return out;
}

void on_log(const rd_kafka_t*, int, const char* facility, const char* text) {
  EZ_LOG(kDebug, "queue", "librdkafka", {"facility", facility}, {"text", text});
}

}  // namespace

void FreePartitions::operator()(rd_kafka_topic_partition_list_s* list) const {
  ::rd_kafka_topic_partition_list_destroy(list);
}
void FreeQueue::operator()(rd_kafka_queue_s* queue) const { ::rd_kafka_queue_destroy(queue); }
void FreeEvent::operator()(rd_kafka_op_s* event) const { ::rd_kafka_event_destroy(event); }
void FreeMessage::operator()(rd_kafka_message_s* message) const { ::rd_kafka_message_destroy(message); }

bool is_missing(int code) {
  return code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
         code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
}

bool is_passing(int code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR__WAIT_COORD:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR__WAIT_CACHE:
      return true;
    default:
      return false;
  }
}

Error to_error(int code, const std::string& what, std::string_view detail) {
  const auto number = static_cast<rd_kafka_resp_err_t>(code);
  std::string message = what + ": " + ::rd_kafka_err2name(number);
  message += " (" + (detail.empty() ? std::string(::rd_kafka_err2str(number)) : std::string(detail)) + ")";
  switch (number) {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
      return Error(Code::QueueRefused, message);
    case RD_KAFKA_RESP_ERR__SSL:
      return Error(Code::QueueTlsFailed, message);
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
      return Error(Code::PayloadTooLarge, message,
                   "The topic at the broker takes less than ez does: raise its max.message.bytes.");
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
      return Error(Code::QueueProtocol, message);
    default:
      return Error(Code::QueueUnreachable, message);
  }
}

struct Client::Impl {
  KafkaOptions options;
  std::string where;
  rd_kafka_t* handle = nullptr;
  Told* told = nullptr;
  std::optional<Error> failed;
  std::string last;       // what librdkafka said last
  bool nonsense = false;  // what answers does not speak Kafka

  // A member that changes its mind or leaves before the group's coordinator has answered its first request
  // does not know what the coordinator calls it. Nobody says goodbye for that name, and the coordinator waits
  // for it at every rebalance until its session is over. So the first join always ends.
  bool joining = false;
  bool has_joined = false;
  bool closing = false;
  std::int64_t join_end_us = 0;
  std::optional<std::vector<std::string>> next_topics;
  // Of every partition that was ever assigned. librdkafka before 2.6.1 waits for ever for the end of a client
  // when messages lie in the queue of a partition that the cluster has lost: each holds its partition.
  std::map<std::pair<std::string, int>, Queue> queues;
  void remember_queues(const rd_kafka_topic_partition_list_t& list);
  void empty_queues();
  [[nodiscard]] Status subscribe(const std::vector<std::string>& topics);
  void finish_join();

  static void on_error(rd_kafka_t* handle, int code, const char* reason, void* self) {
    auto& impl = *static_cast<Impl*>(self);
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
      std::array<char, 512> text{};
      const auto original = ::rd_kafka_fatal_error(handle, text.data(), text.size());
      // A new client has a new identity.
      impl.failed = Error(Code::QueueUnreachable, to_error(original, impl.where, text.data()).message());
      return;
    }
    if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) impl.last = reason;
    if (code == RD_KAFKA_RESP_ERR__BAD_MSG) impl.nonsense = true;
    if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION) impl.failed = impl.login_error(reason);
    if (code == RD_KAFKA_RESP_ERR__SSL) impl.failed = impl.tls_error(reason);
  }
  static void on_report(rd_kafka_t*, const rd_kafka_message_t* record, void* self) {
    static_cast<Impl*>(self)->told->delivered(*record);
  }
  static void on_rebalance(rd_kafka_t* handle, rd_kafka_resp_err_t code,
                           rd_kafka_topic_partition_list_t* list, void* self) {
    auto& impl = *static_cast<Impl*>(self);
    rd_kafka_error_t* error = nullptr;
    impl.has_joined = true;
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
      impl.remember_queues(*list);
      if (!impl.closing) impl.told->assigned(list);
      error = ::rd_kafka_incremental_assign(handle, list);
    } else {
      impl.told->revoked(list);
      error = ::rd_kafka_incremental_unassign(handle, list);
    }
    if (error == nullptr) return;
    impl.failed = Error(Code::QueueUnreachable, ::rd_kafka_error_string(error));
    ::rd_kafka_error_destroy(error);
  }
  // librdkafka says little of what is wrong with a certificate; a handshake of our own does.
  [[nodiscard]] std::optional<Error> handshake() const {
    if (!options.broker.tls) return std::nullopt;
    const auto address = broker::parse_address(options.broker.addresses.front());
    if (!address.ok()) return address.error();
    auto tried = broker::Stream::connect(options.broker, *address);
    if (tried.ok()) return std::nullopt;
    return tried.error();
  }
  // What was wrong when no broker answered at all.
  [[nodiscard]] Error unreachable(int code) const {
    if (auto error = handshake()) return *error;
    if (nonsense) return Error(Code::QueueProtocol, where + ": what answers there does not speak Kafka");
    if (!options.broker.tls && last.find("security.protocol") != std::string::npos) {
      // It hangs up on us: perhaps because it wants TLS.
      broker::BrokerOptions with_tls = options.broker;
      with_tls.tls = true;
      const auto address = broker::parse_address(with_tls.addresses.front());
      auto tried = broker::Stream::connect(with_tls, *address);
      if (tried.ok() || tried.error().code() == Code::QueueTlsFailed) {
        return Error(Code::QueueProtocol, where + ": speaks TLS, which is off here");
      }
    }
    return to_error(code, where, last);
  }
  [[nodiscard]] Error login_error(const char* reason) const {
    Error error = to_error(RD_KAFKA_RESP_ERR__AUTHENTICATION, where, reason);
    if (!options.sasl.starts_with("SCRAM") || ::rd_kafka_version() >= kStrictScram) return error;
    return Error(
        error.code(), error.message(),
        std::string("Look at name and password. When they are right: librdkafka ") +
            ::rd_kafka_version_str() +
            " repeats its nonce in SCRAM, which Kafka 4 does not take; log in with PLAIN over TLS, or "
            "use librdkafka 2.6.1 or newer.");
  }
  [[nodiscard]] Error tls_error(const std::string& reason) const {
    if (auto better = handshake(); better && better->code() != Code::QueueUnreachable) return *better;
    // Broken while it shook hands, for example by a bad network: a new connection may be better.
    return Error(Code::QueueUnreachable, where + ": " + reason);
  }
  [[nodiscard]] Status configure(rd_kafka_conf_t* conf, Kind kind, const Settings& more);
};

Status Client::Impl::configure(rd_kafka_conf_t* conf, Kind kind, const Settings& more) {
  const broker::BrokerOptions& common = options.broker;
  const auto clamped = [](std::int64_t ms, std::int64_t least) {
    return std::to_string(std::clamp<std::int64_t>(ms, least, 300'000));
  };
  const bool login = !common.user.empty();
  Settings all{{"bootstrap.servers", joined(common.addresses)},
               {"client.id", "ez"},
               {"security.protocol",
                login ? (common.tls ? "sasl_ssl" : "sasl_plaintext") : (common.tls ? "ssl" : "plaintext")},
               {"socket.timeout.ms", clamped(common.request_timeout_ms, 100)},
               {"socket.connection.setup.timeout.ms", clamped(common.connect_timeout_ms, 1'000)},
               {"socket.nagle.disable", "true"},
               {"socket.keepalive.enable", "true"},
               {"reconnect.backoff.ms", "50"},
               {"reconnect.backoff.max.ms", "500"},
               // How long a consumer may overlook a topic or partition that a broker did not know yet.
               {"topic.metadata.refresh.interval.ms", "5000"},
               {"topic.metadata.refresh.fast.interval.ms", "100"},
               {"topic.metadata.propagation.max.ms", "3000"},
               {"allow.auto.create.topics", "false"}};
  if (kind == Kind::kProducer) all.erase(all.end() - 1);
  if (login) {
    all.emplace_back("sasl.mechanism", options.sasl.empty() ? "PLAIN" : options.sasl);
    all.emplace_back("sasl.username", common.user);
    all.emplace_back("sasl.password", common.password);
  }
  if (common.tls) {
    if (!common.ca_file.empty()) all.emplace_back("ssl.ca.location", common.ca_file);
    if (!common.cert_file.empty()) {
      all.emplace_back("ssl.certificate.location", common.cert_file);
      all.emplace_back("ssl.key.location", common.key_file);
    }
  }
  all.insert(all.end(), more.begin(), more.end());
  std::array<char, 512> text{};
  for (const auto& [name, value] : all) {
    if (::rd_kafka_conf_set(conf, name.c_str(), value.c_str(), text.data(), text.size()) !=
        RD_KAFKA_CONF_OK) {
      return Error(Code::Internal, "librdkafka does not take " + name + ": " + text.data());
    }
  }
  ::rd_kafka_conf_set_opaque(conf, this);
  ::rd_kafka_conf_set_error_cb(conf, on_error);
  ::rd_kafka_conf_set_log_cb(conf, on_log);
  if (told != nullptr && kind == Kind::kConsumer) ::rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
  if (told != nullptr && kind == Kind::kProducer) ::rd_kafka_conf_set_dr_msg_cb(conf, on_report);
  ::rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_OFFSET_COMMIT);
  return {};
}

Status Client::Impl::subscribe(const std::vector<std::string>& topics) {
  next_topics.reset();
  rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
  if (topics.empty()) {
    code = ::rd_kafka_unsubscribe(handle);
  } else {
    const Partitions list(::rd_kafka_topic_partition_list_new(static_cast<int>(topics.size())));
    for (const std::string& topic : topics) {
      ::rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
    }
    code = ::rd_kafka_subscribe(handle, list.get());
    if (!joining) join_end_us = client_now_us() + options.alive_ms * 1000;
    joining = true;
  }
  return code == RD_KAFKA_RESP_ERR_NO_ERROR ? Status() : Status(to_error(code, "subscription"));
}

void Client::Impl::finish_join() {
  closing = true;
  const std::int64_t end = client_now_us() + kJoinUs;
  while (joining && !has_joined && !failed && client_now_us() < end) {
    const Fetched dropped(::rd_kafka_consumer_poll(handle, 20));
  }
}

void Client::Impl::remember_queues(const rd_kafka_topic_partition_list_t& list) {
  for (int i = 0; i < list.cnt; ++i) {
    const rd_kafka_topic_partition_t& one = list.elems[i];
    Queue& queue = queues[{one.topic, one.partition}];
    if (!queue) queue.reset(::rd_kafka_queue_get_partition(handle, one.topic, one.partition));
  }
}

void Client::Impl::empty_queues() {
  constexpr std::size_t kPiece = 256;
  for (const auto& [partition, queue] : queues) {
    std::array<rd_kafka_message_t*, kPiece> records{};
    while (queue) {
      const ssize_t got = ::rd_kafka_consume_batch_queue(queue.get(), 0, records.data(), records.size());
      for (ssize_t i = 0; i < got; ++i) ::rd_kafka_message_destroy(records[static_cast<std::size_t>(i)]);
      if (got <= 0) break;
    }
  }
  queues.clear();
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Client::~Client() {
  rd_kafka_t* handle = impl_->handle;
  if (handle == nullptr) return;
  if (impl_->told != nullptr && ::rd_kafka_type(handle) == RD_KAFKA_CONSUMER) {
    // Leaves the group, so that others need not wait for the end of its session.
    impl_->finish_join();
    ::rd_kafka_consumer_close(handle);
    impl_->empty_queues();
  } else if (::rd_kafka_type(handle) == RD_KAFKA_PRODUCER) {
    ::rd_kafka_purge(handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
  }
  ::rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

Result<std::unique_ptr<Client>> Client::open(const KafkaOptions& options, Kind kind, const Settings& more,
                                             Told* told) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->where = options.broker.addresses.front();
  impl->told = told;
  rd_kafka_conf_t* conf = ::rd_kafka_conf_new();
  const Status good = impl->configure(conf, kind, more);
  if (!good.ok()) {
    ::rd_kafka_conf_destroy(conf);
    return good.error();
  }
  std::array<char, 512> text{};
  impl->handle = ::rd_kafka_new(kind == Kind::kProducer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf,
                                text.data(), text.size());
  if (impl->handle == nullptr) {
    ::rd_kafka_conf_destroy(conf);
    // Nearly always a file of certificates.
    return Error(options.broker.tls ? Code::QueueTlsFailed : Code::Internal,
                 std::string("librdkafka cannot be started: ") + text.data());
  }
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

rd_kafka_s* Client::get() const { return impl_->handle; }
const KafkaOptions& Client::options() const { return impl_->options; }

int Client::patience_ms() const {
  return static_cast<int>(std::clamp<std::int64_t>(impl_->options.broker.request_timeout_ms, 1, 300'000));
}

void Client::serve(int wait_ms) { ::rd_kafka_poll(impl_->handle, wait_ms); }

Status Client::check() {
  serve(0);
  if (impl_->failed) return *impl_->failed;
  if (!impl_->next_topics || (!impl_->has_joined && client_now_us() < impl_->join_end_us)) return {};
  return impl_->subscribe(std::vector<std::string>(*impl_->next_topics));
}

Status Client::subscribe(const std::vector<std::string>& topics) {
  if (!impl_->joining || impl_->has_joined) return impl_->subscribe(topics);
  impl_->next_topics = topics;
  return {};
}

Status Client::connect() {
  const std::int64_t end = client_now_us() + impl_->options.broker.connect_timeout_ms * 1000;
  std::optional<Error> refused;
  while (true) {
    const struct rd_kafka_metadata* metadata = nullptr;
    const auto code = ::rd_kafka_metadata(impl_->handle, 0, nullptr, &metadata, kProbeMs);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
      ::rd_kafka_metadata_destroy(metadata);
      return {};
    }
    const Status status = check();
    if (client_now_us() < end) {
      // A broker that has just started may not know its users yet.
      if (status.ok()) continue;
      if (status.error().code() != Code::QueueRefused) return status.error();
      refused = status.error();
      impl_->failed.reset();
      continue;
    }
    if (!status.ok()) return status.error();
    return refused ? *refused : impl_->unreachable(code);
  }
}

}  // namespace ez::queue::kafka
