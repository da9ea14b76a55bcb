#include "queue/redis/redis_bus.h"

#include "queue/broker/broker_bus.h"
#include "queue/redis/sessions.h"

namespace ez::queue::redis {
namespace {

class RedisDriver final : public broker::Driver {
 public:
  explicit RedisDriver(RedisOptions options) : options_(std::move(options)) {}

  Result<std::unique_ptr<broker::PublishSession>> open_publisher() override { return open_publish(options_); }
  Result<std::unique_ptr<broker::ReadSession>> open_reader(const broker::GroupName& group,
                                                           const std::string& member,
                                                           const std::vector<std::string>& former) override {
    (void)group;  // the queues say it all
    return open_read(options_, member, former);
  }
  Result<std::unique_ptr<broker::ControlSession>> open_control() override {
    return redis::open_control(options_);
  }
  Result<std::unique_ptr<broker::ScanSession>> open_scan() override { return redis::open_scan(options_); }
  Capabilities capabilities() const override {
    Capabilities out;
    out.backend = "redis";
    out.duplicate_ids = options_.duplicate_ids;
    return out;
  }

 private:
  const RedisOptions options_;
};

}  // namespace

Result<std::unique_ptr<Bus>> open_redis(RedisOptions options) {
  EZ_TRY(broker::check_options(options.broker));
  if (options.mode == Mode::kSentinel && options.master_name.empty()) {
    return Error(Code::InvalidArgument, "Sentinels need the name of the primary");
  }
  if (options.duplicate_ids < 1 || options.max_messages < 1 || options.alive_ms < 1'000 ||
      options.wait_replicas < 0) {
    return Error(
        Code::InvalidArgument,
        "duplicate_ids and max_messages are at least 1, alive_ms at least 1000, wait_replicas at least 0");
  }
  broker::BrokerOptions shared = options.broker;
  return broker::make_broker_bus(std::make_unique<RedisDriver>(std::move(options)), std::move(shared));
}

}  // namespace ez::queue::redis
