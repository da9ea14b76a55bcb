// Where a task waits to be run: in its ability class, or under a concurrency key that is full.
#pragma once

#include <string>

#include "core/state.h"

namespace ez::core {

// Its place in a line under a key: age and priority. What a log once decided by it stays decided so.
[[nodiscard]] ReadyKey ready_key(const Run& run, std::uint32_t index);
// Its place among what is ready for agents (orchestration/rank.h): only the leader's choice depends on it.
[[nodiscard]] ReadyKey serve_key(const Run& run, std::uint32_t index);

// Into and out of the ready set of its class; state kReady or kMergeReady, run not paused.
void push_ready(State& state, const Run& run, std::uint32_t index);
void erase_ready(State& state, const Run& run, std::uint32_t index);

[[nodiscard]] bool needs_places(const Run& run, const Task& task);

// How a task fared that asked for its places. In line: one is full, and the task was put in line there; with
// cancel_oldest it waits for the place that is going to be cleared. Cancelled and rejected: its key is full
// and when_full says so; it is in no line.
enum class Admission : std::uint8_t { kTaken, kInLine, kClearing, kCancelled, kRejected };

// Takes the places that the task needs under its keys (max_parallel first, then the concurrency key,
// then the budget).
[[nodiscard]] Admission acquire_places(State& state, Run& run, Task& task, std::uint32_t index);
// Gives back what it holds and leaves every line. Appends the keys under which a place became free.
void release_places(State& state, Run& run, Task& task, std::uint32_t index, std::vector<std::string>& freed);
// Leaves the line that it stands in. Appends its key when others stand there still: the next one may ask for
// less.
void leave_line(State& state, const Run& run, std::uint32_t index, std::vector<std::string>& freed);

// A throttle that nobody holds and nobody waits for is not kept.
void forget_if_empty(State& state, const std::string& key);

// Rebuilds the places of one task from its own record.
void derive_places(State& state, const Run& run, std::uint32_t index);

// The inverse, without giving a place away: for a task that is rebuilt under another index. Appends its keys,
// whose lines may move then.
void underive_places(State& state, const Run& run, std::uint32_t index, std::vector<std::string>& keys);

// Whether the key still has room for `task`, under the limit that its own workflow gives.
[[nodiscard]] bool has_room(const State& state, const std::string& key, const Run& run, const Task& task);

// ---- whole runs ----

[[nodiscard]] std::string run_line_key(const Run& run);
// Rebuilds its place or its place in line from its own record.
void derive_run_place(State& state, const Run& run);
[[nodiscard]] bool has_run_room(const State& state, const Run& run);
void take_run_place(State& state, Run& run);
void enter_run_line(State& state, const Run& run);
// Gives back the place of the run, or leaves the line. Appends the key when somebody stands there still.
void leave_run_place(State& state, Run& run, std::vector<std::string>& freed);

// The oldest that holds a place under the key of that task, or of that run; nullptr when nobody does.
[[nodiscard]] const ReadyKey* oldest_holder(const State& state, const Run& run, std::uint32_t index);
// Whether that task (kRunTimer: that run) stands in line and finds its key full.
[[nodiscard]] bool waits_at_full_key(const State& state, const Run& run, std::uint32_t index);

}  // namespace ez::core
