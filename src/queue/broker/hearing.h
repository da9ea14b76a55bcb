// Hearing: whether the silence of others means that they have gone. Handles that own broadcast groups give
// signs of life at the broker, and a handle drops the groups of those that are silent. After a time in which
// the broker was away, or this machine slept, all signs have ended alike, and each owner needs time to renew
// its own: until then nobody may be judged.
//
// Threads: one. The caller names the times: `now_us` goes on while the process runs, `wall_ms` also while the
// machine sleeps.
#pragma once

#include <cstdint>

namespace ez::queue::broker {

class Hearing {
 public:
  static constexpr std::int64_t kSignUs = 5'000'000;    // between two signs of life
  static constexpr std::int64_t kGapMs = 15'000;        // longer without one of ours: a gap
  static constexpr std::int64_t kJudgeUs = 30'000'000;  // so long the others have after a gap

  [[nodiscard]] bool due(std::int64_t now_us) const { return now_us >= next_us_; }
  // A sign is about to be given.
  void begin(std::int64_t now_us) { next_us_ = now_us + kSignUs; }
  // It was given, and the others were looked at. True: those that are silent have gone.
  [[nodiscard]] bool heard(std::int64_t now_us, std::int64_t wall_ms) {
    if (wall_ms - last_ms_ > kGapMs) since_us_ = now_us;
    last_ms_ = wall_ms;
    return now_us - since_us_ >= kJudgeUs;
  }
  // The broker did not answer: whatever it remembers of the others is old when it is back.
  void lost() { last_ms_ = 0; }

 private:
  std::int64_t next_us_ = 0;
  std::int64_t since_us_ = 0;  // without a gap
  std::int64_t last_ms_ = 0;
};

}  // namespace ez::queue::broker
