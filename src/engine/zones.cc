#include "engine/zones.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <vector>

namespace ez::engine {
namespace {

constexpr std::int64_t kKeepUs = 3'600'000'000;

Result<std::string> read_zone(const std::string& name) {
  const char* given = std::getenv("TZDIR");  // NOLINT(concurrency-mt-unsafe): nobody sets it while ez runs
  const std::string directory = given != nullptr && *given != '\0' ? given : "/usr/share/zoneinfo";
  std::ifstream file(directory + "/" + name, std::ios::binary);
  std::string bytes(orchestration::kMaxZoneBytes + 1, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  if (!bytes.empty()) return bytes;
  return Error(Code::InvalidArgument, "there is no time zone " + name + " in " + directory,
               "Names are those of tzdata, for example Europe/Berlin or UTC; the package tzdata holds them.");
}

}  // namespace

Result<std::shared_ptr<const orchestration::TimeZone>> Zones::find(const std::string& name) {
  static const auto utc = std::make_shared<const orchestration::TimeZone>();
  if (name == "UTC") return utc;
  if (!orchestration::is_zone_name(name)) {
    return Error(Code::InvalidArgument, "'" + name.substr(0, 64) + "' cannot be the name of a time zone",
                 "Names are those of tzdata, for example Europe/Berlin or UTC.");
  }
  std::lock_guard lock(mutex_);
  const std::int64_t now_us = clock_.monotonic_us();
  if (const auto known = known_.find(name); known != known_.end() && now_us - known->second.read_us < kKeepUs)
    return known->second.zone;
  EZ_ASSIGN(const std::string bytes, read_zone(name));
  EZ_ASSIGN(orchestration::TimeZone zone, orchestration::TimeZone::parse(name, bytes));
  if (known_.size() >= kMaxZones) known_.clear();
  Known& slot = known_[name];
  slot = {std::make_shared<const orchestration::TimeZone>(std::move(zone)), now_us};
  return slot.zone;
}

}  // namespace ez::engine
