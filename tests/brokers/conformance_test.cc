// The one conformance suite of the bus against real brokers, plain and with TLS.
#include "queue/conformance.h"

#include "brokers.h"
#include "managed.h"

namespace ez::queue {
namespace {

class Harness final : public BusHarness {
 public:
  using Open = Result<std::unique_ptr<Bus>> (*)(test::Variant);
  Harness(Open open, test::Variant variant) : open_(open), variant_(variant) {}
  Result<std::unique_ptr<Bus>> open() override { return open_(variant_); }

 private:
  const Open open_;
  const test::Variant variant_;
};

HarnessFactory factory(std::string name, Harness::Open open, test::Variant variant) {
  return {std::move(name), [open, variant] { return std::make_unique<Harness>(open, variant); }};
}

std::string name_of(const testing::TestParamInfo<HarnessFactory>& info) { return info.param.name; }

}  // namespace

INSTANTIATE_TEST_SUITE_P(Redis, BusConformance,
                         testing::Values(factory("plain", test::open_redis, test::Variant::kPlain),
                                         factory("tls", test::open_redis, test::Variant::kTls),
                                         factory("cluster", test::open_redis, test::Variant::kCluster),
                                         factory("sentinel", test::open_redis, test::Variant::kSentinel)),
                         name_of);

// The same through the manager of a server, with Redis as the primary.
INSTANTIATE_TEST_SUITE_P(RedisManager, BusConformance,
                         testing::Values(HarnessFactory{
                             "manager", [] { return std::make_unique<test::ManagedHarness>(); }}),
                         name_of);

INSTANTIATE_TEST_SUITE_P(RabbitMq, BusConformance,
                         testing::Values(factory("quorum", test::open_rabbitmq, test::Variant::kPlain),
                                         factory("classic_tls", test::open_rabbitmq, test::Variant::kTls)),
                         name_of);

INSTANTIATE_TEST_SUITE_P(Kafka, BusConformance,
                         testing::Values(factory("plain", test::open_kafka, test::Variant::kPlain),
                                         factory("sasl_tls", test::open_kafka, test::Variant::kSasl)),
                         name_of);

}  // namespace ez::queue
