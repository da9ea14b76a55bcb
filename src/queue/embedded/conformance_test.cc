#include "queue/conformance.h"

#include "log/disk_posix.h"
#include "log/testing.h"
#include "queue/embedded/testing.h"
#include "queue/manager/testing.h"

namespace ez::queue {
namespace {

class EmbeddedHarness final : public BusHarness {
 public:
  Result<std::unique_ptr<Bus>> open() override {
    EZ_ASSIGN(auto bus, open_on(log::posix_disk(), directory_.path() + "/queue"));
    return std::unique_ptr<Bus>(std::move(bus));
  }
  [[nodiscard]] bool single_handle() const override { return true; }

 private:
  log::TemporaryDirectory directory_;
};

INSTANTIATE_TEST_SUITE_P(Embedded, BusConformance,
                         testing::Values(HarnessFactory{"embedded",
                                                        [] { return std::make_unique<EmbeddedHarness>(); }}),
                         [](const auto& one) { return one.param.name; });

// The manager with a broker: what its callers see is the same.
class ManagerHarness final : public BusHarness {
 public:
  Result<std::unique_ptr<Bus>> open() override {
    if (world_ == nullptr) {
      world_ = std::make_unique<ManagerWorld>(two_brokers());
    } else {
      world_->restart();
    }
    EZ_CHECK(world_->goes_to("any", "redis"), "the broker is there");
    return std::unique_ptr<Bus>(std::make_unique<Handle>(world_->manager()));
  }
  [[nodiscard]] bool single_handle() const override { return true; }

 private:
  // The suite owns its bus; this one belongs to the world.
  class Handle final : public Bus {
   public:
    explicit Handle(Bus& bus) : bus_(bus) {}
    void publish(std::vector<Message> messages, PublishCallback done) override {
      bus_.publish(std::move(messages), std::move(done));
    }
    Result<std::unique_ptr<Consumer>> subscribe(SubscribeOptions options, milliseconds wait) override {
      return bus_.subscribe(std::move(options), wait);
    }
    void drop_group(std::string pattern, std::string group, Callback<bool> done) override {
      bus_.drop_group(std::move(pattern), std::move(group), std::move(done));
    }
    void peek(std::string topic, std::size_t max, Callback<std::vector<Delivery>> done) override {
      bus_.peek(std::move(topic), max, std::move(done));
    }
    void purge(std::string topic, Callback<std::uint64_t> done) override {
      bus_.purge(std::move(topic), std::move(done));
    }
    void counts(std::string pattern, Callback<std::vector<TopicCounts>> done) override {
      bus_.counts(std::move(pattern), std::move(done));
    }
    void check_health(milliseconds wait, Callback<std::int64_t> done) override {
      bus_.check_health(wait, std::move(done));
    }
    [[nodiscard]] Capabilities capabilities() const override { return bus_.capabilities(); }

   private:
    Bus& bus_;
  };
  std::unique_ptr<ManagerWorld> world_;
};

INSTANTIATE_TEST_SUITE_P(Manager, BusConformance,
                         testing::Values(HarnessFactory{"manager",
                                                        [] { return std::make_unique<ManagerHarness>(); }}),
                         [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace ez::queue
