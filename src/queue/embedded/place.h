// Where a message stands in the embedded bus: names it for as long as it is kept, and nothing else ever.
#pragma once

#include <compare>
#include <cstdint>

namespace ez::queue {

struct Place {
  std::uint64_t topic = 0;     // the number of its topic
  std::uint64_t sequence = 0;  // within the topic, from 1; 0: nowhere
  auto operator<=>(const Place&) const = default;
};

}  // namespace ez::queue
