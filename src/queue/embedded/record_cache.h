// The newest records of the queue log, so that what was just published need not be read back. Bounded in
// bytes; the oldest one goes first. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace ez::queue {

class RecordCache {
 public:
  using Record = std::shared_ptr<const std::string>;  // shared: a reader goes on with one that was dropped

  explicit RecordCache(std::uint64_t max_bytes) : max_bytes_(max_bytes) {}

  void put(std::uint64_t index, Record record) {
    std::lock_guard lock(mutex_);
    auto& place = records_[index];
    if (place != nullptr) bytes_ -= place->size();
    bytes_ += record->size();
    place = std::move(record);
    // What is read far behind the end must not be dropped at once by being the oldest.
    while (bytes_ > max_bytes_ && records_.size() > 1) {
      auto victim = records_.begin();
      if (victim->first == index) victim = std::prev(records_.end());
      bytes_ -= victim->second->size();
      records_.erase(victim);
    }
  }
  [[nodiscard]] Record get(std::uint64_t index) const {
    std::lock_guard lock(mutex_);
    const auto found = records_.find(index);
    return found == records_.end() ? nullptr : found->second;
  }
  void drop_before(std::uint64_t index) {
    std::lock_guard lock(mutex_);
    while (!records_.empty() && records_.begin()->first < index) {
      bytes_ -= records_.begin()->second->size();
      records_.erase(records_.begin());
    }
  }

 private:
  const std::uint64_t max_bytes_;
  mutable std::mutex mutex_;
  std::map<std::uint64_t, Record> records_;
  std::uint64_t bytes_ = 0;
};

}  // namespace ez::queue
