// Where a task waits to be run: in its ability class, or under a concurrency key that is full.
#pragma once

#include <string>

#include "core/state.h"

namespace ez::core {

[[nodiscard]] ReadyKey ready_key(const Run& run, std::uint32_t index);

// Into and out of the ready set of its class; state kReady or kMergeReady, run not paused.
void push_ready(State& state, const Run& run, std::uint32_t index);
void erase_ready(State& state, const Run& run, std::uint32_t index);

[[nodiscard]] bool needs_places(const Run& run, const Task& task);

// Takes the places that the task needs under its keys (max_parallel first, then the concurrency key). False:
// one is full, and the task was put in line there.
[[nodiscard]] bool acquire_places(State& state, Run& run, Task& task, std::uint32_t index);
// Gives back what it holds and leaves every line. Appends the keys under which a place became free.
void release_places(State& state, Run& run, Task& task, std::uint32_t index, std::vector<std::string>& freed);
// Leaves the line that it stands in. Appends its key when others stand there still: the next one may ask for
// less.
void leave_line(State& state, const Run& run, std::uint32_t index, std::vector<std::string>& freed);

// A throttle that nobody holds and nobody waits for is not kept.
void forget_if_empty(State& state, const std::string& key);

// Rebuilds the places of one task from its own record.
void derive_places(State& state, const Run& run, std::uint32_t index);

// Whether the key still has room for `task`, under the limit that its own workflow gives.
[[nodiscard]] bool has_room(const State& state, const std::string& key, const Run& run, const Task& task);

}  // namespace ez::core
