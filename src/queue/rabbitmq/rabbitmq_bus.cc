#include "queue/rabbitmq/rabbitmq_bus.h"

#include "queue/broker/broker_bus.h"
#include "queue/rabbitmq/names.h"

namespace ez::queue::rabbitmq {
namespace {

class RabbitDriver final : public broker::Driver {
 public:
  explicit RabbitDriver(RabbitOptions options) : options_(std::move(options)) {}

  Result<std::unique_ptr<broker::PublishSession>> open_publisher() override { return open_publish(options_); }
  Result<std::unique_ptr<broker::ReadSession>> open_reader(const broker::GroupName&, const std::string&,
                                                           const std::vector<std::string>&) override {
    // RabbitMQ gives back by itself what a broken connection held.
    return open_read(options_);
  }
  Result<std::unique_ptr<broker::ControlSession>> open_control() override {
    return rabbitmq::open_control(options_);
  }
  Result<std::unique_ptr<broker::ScanSession>> open_scan() override { return rabbitmq::open_scan(options_); }
  Capabilities capabilities() const override {
    Capabilities out;
    out.backend = "rabbitmq";
    out.duplicate_ids = 0;
    out.exact_counts = false;
    return out;
  }

 private:
  const RabbitOptions options_;
};

}  // namespace

Result<std::unique_ptr<Bus>> open_rabbitmq(RabbitOptions options) {
  EZ_TRY(broker::check_options(options.broker));
  if (options.prefetch < 1) return Error(Code::InvalidArgument, "prefetch is at least 1");
  if (options.broker.tls && !options.broker.server_name.empty()) {
    return Error(Code::InvalidArgument,
                 "the RabbitMQ client checks the host of the address; server_name is not used");
  }
  broker::BrokerOptions shared = options.broker;
  return broker::make_broker_bus(std::make_unique<RabbitDriver>(std::move(options)), std::move(shared));
}

}  // namespace ez::queue::rabbitmq
