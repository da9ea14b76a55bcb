// Threads that pass small pieces of work on ask the scheduler for short turns: since Linux 6.12 a thread that
// wakes with a shorter slice (sched_setattr(2), sched_runtime) comes before one that computes. Without it
// such a thread waits for up to 3 ms wherever all cores are busy, once for each hand-over of a request. Its
// share of the processor stays the same. Older kernels ignore it, and so do we when it is refused.
#pragma once

namespace ez {

// Of the calling thread; threads that it starts later inherit it.
void take_short_turns();
// What every thread begins with: for one that computes and was started by one with short turns.
void take_usual_turns();

}  // namespace ez
