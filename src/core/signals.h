// Signals that came for a run: those that no task waited for yet, and the ids of those that were counted.
//
// A signal has a name and a payload, and is taken by one task that waits for that name: the one that has
// waited longest. What comes before its wait is kept, in order. docs/guide/waits.md explains it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ez::core {

inline constexpr std::size_t kMaxKeptSignals = 100;             // of one run
inline constexpr std::size_t kMaxKeptSignalBytes = 256 * 1024;  // of their payloads
inline constexpr std::size_t kMaxSeenSignals = 1'000;         // ids; the oldest is forgotten

struct Signal {
  std::string name;
  std::string payload;  // JSON text, at most kMaxInlineBytes; empty: null
  std::string id;       // empty: every one counts
  std::string principal;
  std::int64_t at_ms = 0;
};

struct SeenSignal {
  std::string id;
  std::string hash;  // of name and payload
};

struct Mail {
  std::vector<Signal> kept;      // oldest first
  std::vector<SeenSignal> seen;  // oldest first
};

}  // namespace ez::core
