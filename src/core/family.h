// Runs that were started by a task of another run: their children, for as long as that task waits for them.
//
// Everything happens inside the command that causes it, but never by recursion: what has to be done about
// another run than the present one is noted here, and settle_families() works it off.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/run.h"

namespace ez::core {

inline constexpr std::uint32_t kMaxDepth = 8;  // of a run below the one that nobody's task started
// Starts of children by one command; the tasks beyond try again a moment later.
inline constexpr std::size_t kMaxChildStarts = 10'000;

struct FamilyWork {
  std::vector<std::pair<RunId, std::uint32_t>> starts;  // tasks in kChild that have no child yet
  std::vector<std::pair<RunId, RunId>> stops;           // child, parent: nobody waits for it any more
  std::vector<std::pair<RunId, bool>> pauses;           // child, whether it pauses or goes on
  std::vector<Cow<Run>> ends;                           // children that are over
  std::size_t started = 0;
  [[nodiscard]] bool empty() const {
    return starts.empty() && stops.empty() && pauses.empty() && ends.empty();
  }
};

struct Context;

// The task of a workflow is to start: it waits for its child from now on. State: as of enqueue().
void await_child(Context& context, Run& run, std::uint32_t index);
// The task leaves kChild: a child that is still live is told to stop, and what it has spent is counted.
void leave_child(Context& context, Run& run, std::uint32_t index);
// The timer of a task in kChild is due, and no longer set.
void fire_child(Context& context, Run& run, std::uint32_t index);
// The run pauses, or goes on: its children do as well.
void pause_children(Context& context, const Run& run, bool pause);
// Timers that passed during a pause begin anew.
void resume_child_timers(Context& context, Run& run);

// At the end of each command: places are handed out, and children started, stopped and taken back, until
// nothing is left to do.
void settle_families(Context& context);

}  // namespace ez::core
