// The kinds of sessions of the Kafka backend, and what those of one handle know together.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "queue/broker/driver.h"
#include "queue/kafka/kafka_bus.h"

namespace ez::queue::kafka {

// Thread-safe.
class Shared {
 public:
  // Offsets of a topic's partitions below which all was purged.
  void purged(const std::string& topic, const std::vector<std::int64_t>& ends) {
    std::lock_guard lock(mutex_);
    std::vector<std::int64_t>& known = purged_[topic];
    if (known.size() < ends.size()) known.resize(ends.size(), 0);
    for (std::size_t i = 0; i < ends.size(); ++i) known[i] = std::max(known[i], ends[i]);
    ++changes_;
  }
  [[nodiscard]] std::int64_t purged(const std::string& topic, int partition) const {
    std::lock_guard lock(mutex_);
    const auto found = purged_.find(topic);
    const auto place = static_cast<std::size_t>(partition);
    return found == purged_.end() || place >= found->second.size() ? 0 : found->second[place];
  }
  // A topic has messages that wait for their time.
  void delayed(const std::string& topic) {
    std::lock_guard lock(mutex_);
    delayed_.insert(topic);
  }
  [[nodiscard]] bool has_delayed(const std::string& topic) const {
    std::lock_guard lock(mutex_);
    return delayed_.contains(topic);
  }
  [[nodiscard]] std::vector<std::string> delayed() const {
    std::lock_guard lock(mutex_);
    return {delayed_.begin(), delayed_.end()};
  }
  // The broker has come back without its memory, or may have.
  void forget() {
    std::lock_guard lock(mutex_);
    purged_.clear();
    delayed_.clear();
    ++changes_;
  }
  [[nodiscard]] std::uint64_t changes() const {
    std::lock_guard lock(mutex_);
    return changes_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::vector<std::int64_t>> purged_;
  std::set<std::string> delayed_;
  std::uint64_t changes_ = 0;
};

// The options and what is shared outlive them.
[[nodiscard]] Result<std::unique_ptr<broker::PublishSession>> open_publish(const KafkaOptions& options,
                                                                           Shared& shared);
[[nodiscard]] Result<std::unique_ptr<broker::ReadSession>> open_read(const KafkaOptions& options,
                                                                     Shared& shared);
[[nodiscard]] Result<std::unique_ptr<broker::ControlSession>> open_control(const KafkaOptions& options,
                                                                           Shared& shared);
[[nodiscard]] Result<std::unique_ptr<broker::ScanSession>> open_scan(const KafkaOptions& options,
                                                                     Shared& shared);

}  // namespace ez::queue::kafka
