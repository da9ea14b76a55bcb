// KeyPool: the keys of one provider, what is known of their limits, and which one the next call takes.
//
// A key's limits are learnt from the headers of its answers (requests and tokens that are left, and until
// when). A key that was told to wait (429, 529 with retry-after) rests so long; one that is not accepted or
// has no money left rests longer. Among keys that may go, the one with the fewest calls under way does.
//
// The provider has a breaker over all its keys: failures that no other key mends (5xx, no connection, no
// answer) open it. Each key has one of its own too.
//
// Threads. Everything is thread-safe. Times: `now_ms` is wall time, as in the headers.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "models/config/config.h"
#include "models/dialect/provider_error.h"
#include "models/route/breaker.h"

namespace ez::models {

class KeyPool {
 public:
  static constexpr std::int64_t kRefusedRestMs = 300'000;  // a key that is not accepted, or has no money
  static constexpr std::int64_t kFirstRestMs = 1'000;      // a 429 that does not say how long; then doubled
  static constexpr std::int64_t kMaxRestMs = 60'000;

  explicit KeyPool(const Provider& provider);

  struct Choice {
    std::optional<std::size_t> key;  // take it; say release() when the call is over
    std::int64_t wait_ms = 0;        // without a key: when one may be free; 0: none will be
    std::string why;                 // without a key, for errors: "2 keys have to wait", never a secret
  };
  // For a call of about so many tokens of input. `skip` has a place for each key: those not to take.
  [[nodiscard]] Choice take(std::int64_t now_ms, std::int64_t tokens, const std::vector<bool>& skip);
  void release(std::size_t key);

  void succeeded(std::size_t key, const RateLimits& limits, std::int64_t now_ms);
  void failed(std::size_t key, const ProviderError& error, std::int64_t now_ms);
  // The call ended without an answer that says anything about the provider (its client left).
  void forgotten(std::size_t key);

  [[nodiscard]] std::size_t size() const { return keys_.size(); }
  [[nodiscard]] const ProviderKey& key(std::size_t index) const { return config_.keys[index]; }

  struct Figures {
    std::string label;
    std::uint32_t calls = 0;  // under way
    bool resting = false;
    bool open = false;  // its breaker
    RateLimits limits;
  };
  [[nodiscard]] std::vector<Figures> figures(std::int64_t now_ms) const;
  [[nodiscard]] bool provider_open(std::int64_t now_ms) const;

 private:
  struct Key {
    std::uint32_t calls = 0;
    std::int64_t rest_until_ms = 0;
    std::int64_t rest_ms = 0;  // of the last 429 without a time
    RateLimits limits;
    Breaker breaker;
  };
  [[nodiscard]] std::int64_t free_at_ms(const Key& key, std::int64_t now_ms, std::int64_t tokens) const;

  const Provider& config_;
  mutable std::mutex mutex_;
  std::vector<Key> keys_;
  Breaker provider_;
};

}  // namespace ez::models
