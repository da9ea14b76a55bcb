#include "models/route/breaker.h"

#include <algorithm>

namespace ez::models {

void Breaker::began(std::int64_t now_ms) {
  if (open_ms_ > 0 && open_until_ms_ <= now_ms) probing_ = true;
}

void Breaker::succeeded() {
  failures_ = 0;
  open_ms_ = 0;
  open_until_ms_ = 0;
  probing_ = false;
}

void Breaker::failed(std::int64_t now_ms) {
  probing_ = false;
  ++failures_;
  if (open_ms_ == 0 && failures_ < kFailures) return;
  if (open_until_ms_ > now_ms) return;  // of a call that left before it opened
  open_ms_ = open_ms_ == 0 ? kFirstOpenMs : std::min(open_ms_ * 2, kMaxOpenMs);
  open_until_ms_ = now_ms + open_ms_;
}

}  // namespace ez::models
