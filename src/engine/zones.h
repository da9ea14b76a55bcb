// Time zones by name, from the system's tzdata: $TZDIR, else /usr/share/zoneinfo. UTC needs no file.
//
// Thread-safe. What was read is kept for an hour, so that an update of tzdata is seen without a restart; at
// most kMaxZones are kept, then all are read again.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "orchestration/time_zone.h"

namespace ez::engine {

inline constexpr std::size_t kMaxZones = 1000;

class Zones {
 public:
  explicit Zones(Clock& clock) : clock_(clock) {}
  // Errors: INVALID_ARGUMENT when there is no such zone or its file cannot be used.
  [[nodiscard]] Result<std::shared_ptr<const orchestration::TimeZone>> find(const std::string& name);

 private:
  struct Known {
    std::shared_ptr<const orchestration::TimeZone> zone;
    std::int64_t read_us = 0;
  };
  Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Known> known_;
};

}  // namespace ez::engine
