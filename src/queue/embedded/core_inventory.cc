// The embedded bus: what lies in it (inventory.h).
#include "queue/embedded/core.h"

namespace ez::queue {
namespace {

constexpr std::size_t kInventoryPage = 500;

struct LyingAt {
  Place place;
  Ref ref;
  std::int64_t due_ms = 0;
};

}  // namespace

Result<std::vector<std::string>> Core::known_topics() {
  std::vector<std::string> out;
  std::lock_guard lock(mutex_);
  for (const auto& [name, topic] : state_->topics()) out.push_back(name);
  return out;
}

Status Core::look(const std::string& topic, bool removing, const Each& each) {
  // The log is where they are: what leaves it is settled by groups, or purged.
  if (removing)
    return Error(Code::InvalidArgument, "messages of the embedded queue are not removed by a look");
  std::uint64_t after = 0;
  while (true) {
    std::vector<LyingAt> page;
    {
      std::lock_guard lock(mutex_);
      const Topic* found = state_->topic_named(topic);
      if (found == nullptr) return {};
      for (auto at = found->chunks.lower_bound(after / kChunk);
           at != found->chunks.end() && page.size() < kInventoryPage; ++at) {
        for (std::uint64_t left = at->second->live; left != 0; left &= left - 1) {
          const auto position = static_cast<std::uint64_t>(__builtin_ctzll(left));
          const std::uint64_t sequence = at->first * kChunk + position;
          if (sequence <= after) continue;
          LyingAt one{{found->id, sequence}, at->second->entries[position].ref, 0};
          if (const auto timing = found->timing.find(sequence); timing != found->timing.end()) {
            one.due_ms = timing->second.due_ms;
          }
          page.push_back(one);
        }
      }
    }
    if (page.empty()) return {};
    after = page.back().place.sequence;
    for (const LyingAt& one : page) {
      auto delivery = load(one.ref, topic);
      if (!delivery.ok()) {
        // Settled and cut off, or moved within the log, since we looked.
        if (delivery.error().code() == Code::InvalidArgument) continue;
        return delivery.error();
      }
      Lying shown;
      shown.message = std::move(delivery->message);
      shown.published_ms = delivery->published_ms;
      shown.due_ms = one.due_ms;
      shown.mark = std::to_string(one.place.topic) + "." + std::to_string(one.place.sequence);
      auto ignored = each(shown);
      if (!ignored.ok()) return ignored.error();
    }
  }
}

}  // namespace ez::queue
