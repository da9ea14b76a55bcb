// Randomness comes in through this interface, so that a seed repeats a run exactly.
#pragma once

#include <cstdint>

namespace ez {

class Random {
 public:
  virtual ~Random() = default;
  [[nodiscard]] virtual std::uint64_t next() = 0;
  // Uniform in [0, bound); bound must be positive. The modulo bias is below 2^-32 for the bounds used here.
  [[nodiscard]] std::uint64_t below(std::uint64_t bound) { return next() % bound; }
  // True with probability numerator/denominator.
  [[nodiscard]] bool chance(std::uint64_t numerator, std::uint64_t denominator) {
    return below(denominator) < numerator;
  }
};

// splitmix64 (Steele, Lea, Flood 2014): small, fast, good enough for simulation and jitter, not for secrets.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() override {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

 private:
  std::uint64_t state_;
};

// From the kernel (getrandom): for tokens and the seeds of processes. Thread-safe.
[[nodiscard]] Random& system_random();

}  // namespace ez
