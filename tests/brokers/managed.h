// A queue manager over a log in a temporary folder and real brokers.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "base/check.h"
#include "base/clock.h"
#include "brokers.h"
#include "log/disk_posix.h"
#include "log/local_log.h"
#include "log/testing.h"
#include "queue/conformance_fixture.h"
#include "queue/manager/manager.h"

namespace ez::test {

class Managed {
 public:
  explicit Managed(queue::ManagerConfig config) : config_(std::move(config)) { restart(); }
  ~Managed() { manager_.reset(); }

  void restart() {
    manager_.reset();
    log_.reset();
    auto log = log::open_local_log(log::posix_disk(), directory_.path() + "/queue",
                                   queue::EmbeddedBus::log_options());
    EZ_CHECK(log.ok(), "the log cannot be opened");
    auto bus = queue::EmbeddedBus::open(std::move(*log));
    EZ_CHECK(bus.ok(), "the queue cannot be opened");
    log_ = std::move(*bus);
    auto manager = queue::Manager::start(*log_, config_);
    EZ_CHECK(manager.ok(), "the manager cannot be started");
    manager_ = std::move(*manager);
  }
  queue::Manager& manager() { return *manager_; }
  queue::EmbeddedBus& log() { return *log_; }

  // Milliseconds until the topic's messages go that way; -1: not within half a minute.
  std::int64_t until(const std::string& topic, const std::string& backend) {
    const std::int64_t began = system_clock().monotonic_us();
    while (system_clock().monotonic_us() - began < 30'000'000) {
      if (manager_->active(topic) == backend) return (system_clock().monotonic_us() - began) / 1000;
      std::this_thread::yield();
    }
    return -1;
  }

 private:
  const queue::ManagerConfig config_;
  log::TemporaryDirectory directory_;
  std::unique_ptr<queue::EmbeddedBus> log_;
  std::unique_ptr<queue::Manager> manager_;
};

// redis://USER:PASSWORD@ADDRESS?REST
std::string redis_url(const Value& server, const std::string& address, const std::string& rest);

// For the conformance suite. The suite owns its bus, so it gets a handle.
class ManagedHarness final : public queue::BusHarness {
 public:
  Result<std::unique_ptr<queue::Bus>> open() override;
  [[nodiscard]] bool single_handle() const override { return true; }

 private:
  std::unique_ptr<Managed> managed_;
};

}  // namespace ez::test
