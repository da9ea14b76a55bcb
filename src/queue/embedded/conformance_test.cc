#include "queue/conformance.h"

#include "log/disk_posix.h"
#include "log/testing.h"
#include "queue/embedded/testing.h"

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

}  // namespace
}  // namespace ez::queue
