#include "queue/kafka/kafka_bus.h"

#include "queue/broker/broker_bus.h"
#include "queue/kafka/delays.h"
#include "queue/kafka/names.h"
#include "queue/kafka/sessions.h"

namespace ez::queue::kafka {
namespace {

class KafkaDriver final : public broker::Driver {
 public:
  explicit KafkaDriver(KafkaOptions options) : options_(std::move(options)), delays_(options_, shared_) {}

  Result<std::unique_ptr<broker::PublishSession>> open_publisher() override {
    return open_publish(options_, shared_);
  }
  // Kafka names the members itself, and gives back by itself what one held that is silent.
  Result<std::unique_ptr<broker::ReadSession>> open_reader(const broker::GroupName&, const std::string&,
                                                           const std::vector<std::string>&) override {
    delays_.start();
    return open_read(options_, shared_);
  }
  Result<std::unique_ptr<broker::ControlSession>> open_control() override {
    return kafka::open_control(options_, shared_);
  }
  Result<std::unique_ptr<broker::ScanSession>> open_scan() override {
    return kafka::open_scan(options_, shared_);
  }
  Capabilities capabilities() const override {
    Capabilities out;
    out.backend = "kafka";
    out.duplicate_ids = 0;
    out.exact_counts = false;
    return out;
  }

 private:
  const KafkaOptions options_;
  Shared shared_;
  Delays delays_;
};

}  // namespace

Result<std::unique_ptr<Bus>> open_kafka(KafkaOptions options) {
  EZ_TRY(broker::check_options(options.broker));
  const auto wrong = [](const char* what) { return Error(Code::InvalidArgument, what); };
  if (!options.broker.server_name.empty()) {
    return wrong("Kafka's client checks the host of each broker; server_name is not used");
  }
  if (!options.sasl.empty() && options.sasl != "PLAIN" && options.sasl != "SCRAM-SHA-256" &&
      options.sasl != "SCRAM-SHA-512") {
    return wrong("sasl is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512");
  }
  if (!options.sasl.empty() && options.broker.user.empty()) return wrong("sasl needs a user");
  if (options.partitions < 1 || options.partitions > kMaxPartitions) {
    return wrong("partitions is 1 to 100");
  }
  if (options.replicas != -1 && (options.replicas < 1 || options.replicas > 100)) {
    return wrong("replicas is 1 to 100, or -1 for what the brokers are configured to");
  }
  if (options.alive_ms < 1'000 || options.alive_ms > 600'000) return wrong("alive_ms is 1000 to 600000");
  if (options.retention_ms < -1) return wrong("retention_ms is -1 or more");
  if (options.max_message_bytes < 2'000 || options.max_message_bytes > 100'000'000) {
    return wrong("max_message_bytes is 2000 to 100000000");
  }
  broker::BrokerOptions shared = options.broker;
  return broker::make_broker_bus(std::make_unique<KafkaDriver>(std::move(options)), std::move(shared));
}

}  // namespace ez::queue::kafka
