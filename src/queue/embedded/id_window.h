// The ids that were accepted last, so that a repeated publish changes nothing. Holds 128 bits of the SHA-256
// of topic and id, and forgets the oldest one when kIdWindow are known. Memory: 16 bytes for an id in the
// ring, about 48 in the set.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_set>

namespace ez::queue {

inline constexpr std::size_t kIdWindow = 1'000'000;

using IdHash = std::array<std::uint64_t, 2>;
[[nodiscard]] IdHash hash_id(std::string_view topic, std::string_view id);

class IdWindow {
 public:
  [[nodiscard]] bool contains(const IdHash& id) const { return known_.contains(id); }
  void add(const IdHash& id) {
    if (!known_.insert(id).second) return;
    ring_.push_back(id);
    if (ring_.size() <= kIdWindow) return;
    known_.erase(ring_.front());
    ring_.pop_front();
  }
  [[nodiscard]] const std::deque<IdHash>& oldest_first() const { return ring_; }

 private:
  struct Hasher {
    std::size_t operator()(const IdHash& id) const { return id[0]; }  // is a hash already
  };
  std::unordered_set<IdHash, Hasher> known_;
  std::deque<IdHash> ring_;
};

}  // namespace ez::queue
