// Why a task waits, why an agent has it, or why it ended as it did: as data, and in plain words.
//
// Everything is computed from the state when somebody asks; nothing is kept for it. What could be long is
// cut: kMaxNamed names, kMaxCounted tasks ahead.
#pragma once

#include <cstdint>

#include "base/value.h"
#include "core/state.h"

namespace ez::core {

inline constexpr std::size_t kMaxNamed = 20;
inline constexpr std::uint64_t kMaxCounted = 1'000;

// {"run", "task", "state", "summary", "reasons": [{"kind", "text", …}]}. `run` may be finished; then only its
// own record speaks.
[[nodiscard]] Value why_view(const State& state, const Run& run, std::uint32_t index);

}  // namespace ez::core
