// The conformance suite against every provider of this folder.
#include "log/log_conformance.h"

#include "log/disk_posix.h"
#include "log/fake_disk.h"
#include "log/fake_log.h"
#include "log/local_log.h"
#include "log/testing.h"

namespace ez::log {
namespace {

class LocalOnFakeDisk final : public LogHarness {
 public:
  Result<std::unique_ptr<Log>> open() override {
    return open_local_log(disk_, "/data/log", small_options(clock_, random_));
  }

 private:
  FakeDisk disk_{1};
  ManualClock clock_;
  SeededRandom random_{2};
};

class LocalOnRealDisk final : public LogHarness {
 public:
  Result<std::unique_ptr<Log>> open() override {
    LocalLogOptions options;
    options.segment_bytes = 1 << 20;
    options.reserve_bytes = 0;
    return open_local_log(posix_disk(), directory_.path() + "/log", options);
  }

 private:
  TemporaryDirectory directory_;
};

class FakeLogHarness final : public LogHarness {
 public:
  explicit FakeLogHarness(std::uint64_t delay) : cluster_(7, {0, 0, delay, delay}) {}
  Result<std::unique_ptr<Log>> open() override { return cluster_.open(); }

 private:
  FakeCluster cluster_;
};

INSTANTIATE_TEST_SUITE_P(
    Providers, LogConformance,
    testing::Values(HarnessFactory{"LocalOnFakeDisk", [] { return std::make_unique<LocalOnFakeDisk>(); }},
                    HarnessFactory{"LocalOnRealDisk", [] { return std::make_unique<LocalOnRealDisk>(); }},
                    HarnessFactory{"FakeLog", [] { return std::make_unique<FakeLogHarness>(0); }},
                    HarnessFactory{"FakeLogDelayed", [] { return std::make_unique<FakeLogHarness>(3); }}),
    [](const auto& provider) { return provider.param.name; });

}  // namespace
}  // namespace ez::log
