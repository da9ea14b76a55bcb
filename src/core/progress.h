// How runs and tasks go on: the rules that several commands share.
//
// Work is done through lists, never by recursion: a chain of 50,000 skipped tasks must not use 50,000 stack
// frames.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/effects.h"
#include "core/family.h"
#include "core/state.h"

namespace ez::core {

// One command being applied.
struct Context {
  State& state;
  Effects& effects;
  std::int64_t now_ms;
  std::uint64_t jitter_seed;
  LogIndex index;
  std::vector<std::uint32_t> activate;  // tasks of the present run whose dependencies are complete
  std::vector<std::string> freed_keys;  // throttles with a free place and somebody in line
  // Tasks (kRunTimer: runs) in line under a full key whose oldest holder has to go.
  std::vector<std::pair<RunId, std::uint32_t>> clearing;
  FamilyWork family;  // what is left to do for children of runs
  std::vector<std::pair<std::string, RunId>>
      ended_scheduled;  // runs of schedules that ended: schedule_key, run
};

// Draws in [0, 1000] for the jitter of that task; the same on every replica.
[[nodiscard]] std::uint32_t jitter_permille(const Context& context, RunId run, std::uint32_t task);

// One step of the table, with its bookkeeping: counts, ready sets, timers, events.
void move(Context& context, Run& run, std::uint32_t index, TaskEvent event);

// Ready for an agent, or in line under its key. State: waiting, approval, backoff, paused, conflict or
// throttled.
void enqueue(Context& context, Run& run, std::uint32_t index);

// The task is over (succeeded, failed, skipped, cancelled): places are released, dependants and groups are
// told.
void complete(Context& context, Run& run, std::uint32_t index, TaskEvent event);

// The present attempt failed. Retries with backoff while attempts are left and it is not final; then
// on_failure decides. `lost` marks an attempt whose agent vanished. The lease must be ended before.
void attempt_failed(Context& context, Run& run, std::uint32_t index, TaskError error, std::int32_t exit_code,
                    bool final, bool lost);

// The task has failed for good: on_failure without the chance to pause.
void fail_task(Context& context, Run& run, std::uint32_t index, TaskError error);

// Cancels everything that is open; the run itself goes on.
void cancel_open(Context& context, Run& run);

// Cancels everything that is open, ends the run in `state`.
void stop_run(Context& context, Run& run, RunState state, TaskError error);

// The lease of a running or merging task is over; when `tell` its agent is told to stop, and the lease stays
// (marked) until that agent answers or is lost.
void end_lease(Context& context, Run& run, std::uint32_t index, bool tell);

// Remembers how the present attempt ended.
void record_attempt(Context& context, TaskDetail& detail, const Task& task, const TaskError& error,
                    std::int32_t exit_code);

// Puts the accepted work of a task in line for the merge, or the front of that line before an agent.
void queue_merge(Context& context, Run& run, std::uint32_t index);
void leave_merge_queue(Context& context, Run& run, std::uint32_t index);

// Works off context.activate and ends the run when nothing is open. `run` may be gone afterwards.
void settle(Context& context, Run& run);

// A paused run stands in no line and holds no place; what runs is left to finish.
void pause_run(Context& context, Run& run);
void resume_run(Context& context, Run& run);

// The run has its place under the key of its workflow, or needs none: its first tasks begin.
void begin_run(Context& context, Run& run);

// After the run is settled: clears the places that cancel_oldest asks for and gives freed places to those in
// line, in any run.
void hand_out_places(Context& context);

}  // namespace ez::core
