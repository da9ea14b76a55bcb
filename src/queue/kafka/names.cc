#include "queue/kafka/names.h"

#include <algorithm>

#include "base/sha256.h"

namespace ez::queue::kafka {
namespace {

constexpr std::size_t kLongestName = 220;  // Kafka takes 249 bytes, our prefixes need some
constexpr std::int64_t kFirstLevelMs = 100;

// Kafka knows no slash, and takes . and _ for the same: neither is left beside the dots.
std::string spelled(const std::string& topic) {
  std::string out;
  for (const char c : topic) {
    if (c == '_') {
      out += "-u";
    } else if (c == '-') {
      out += "--";
    } else if (c == '/') {
      out += "-s";
    } else {
      out.push_back(c);
    }
  }
  if (out.size() <= kLongestName) return out;
  const std::string hash = sha256_hex(topic).substr(0, 40);
  return out.substr(0, kLongestName - hash.size() - 2) + "-h" + hash;
}

std::uint32_t hash_of(const std::string& key) {
  std::uint32_t hash = 2'166'136'261U;  // FNV-1a: the same in every process
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 16'777'619U;
  return hash;
}

bool has_lanes(int count) { return count >= kFixedLanes + 2 && (count - kFixedLanes) % 2 == 0; }

}  // namespace

std::string Names::topic(const std::string& topic) const { return prefix + "." + spelled(topic); }
std::string Names::delay(const std::string& topic) const { return prefix + "-delay." + spelled(topic); }

std::string Names::group(const broker::TopicQueue& queue) const {
  if (!queue.reader) return kept();
  return prefix + "." + std::to_string(queue.group) + "." + queue.reader->group + "@" + queue.reader->pattern;
}

int urgency(int partition, int count) {
  if (!has_lanes(count)) return 2;
  return partition >= kFixedLanes ? 2 : partition < 2 ? partition : partition + 1;
}

int place_of(const Message& message, int count, std::uint64_t turn) {
  if (!has_lanes(count)) {
    const std::uint64_t which = message.key.empty() ? turn : hash_of(message.key);
    return static_cast<int>(which % static_cast<std::uint64_t>(std::max(1, count)));
  }
  const int spread = (count - kFixedLanes) / 2;
  if (!message.key.empty()) {
    return kFixedLanes + spread + static_cast<int>(hash_of(message.key) % static_cast<std::uint32_t>(spread));
  }
  switch (message.priority) {
    case Priority::kCritical:
      return 0;
    case Priority::kHigh:
      return 1;
    case Priority::kLow:
      return 2;
    case Priority::kDeferred:
      return 3;
    default:
      return kFixedLanes + static_cast<int>(turn % static_cast<std::uint64_t>(spread));
  }
}

std::int64_t level_wait_ms(int level) {
  std::int64_t wait = level == 0 ? 0 : kFirstLevelMs;
  for (int i = 1; i < level; ++i) wait *= 4;
  return wait;
}

int level_of(std::int64_t left_ms) {
  int level = 0;
  while (level + 1 < kLevels && level_wait_ms(level + 1) <= left_ms) ++level;
  return level;
}

std::string delay_event(const std::string& topic) { return broker::event_text({"delay", topic, {}}); }

std::string purge_event(const std::string& topic, const std::vector<std::int64_t>& ends) {
  std::string text;
  for (const std::int64_t end : ends) text += std::to_string(end) + ",";
  return broker::event_text({"purge", topic, text});
}

}  // namespace ez::queue::kafka
