// Tasks that wait without an agent: for time (kTimer), or for a signal (kSignal).
//
// While a run is paused time goes on: a wait that is over, and a signal that has come, are taken when the run
// is resumed; a timeout that passed meanwhile begins anew then, since the pause was nobody's fault.
#pragma once

#include <string>

#include "core/progress.h"

namespace ez::core {

// State: waiting or paused.
void begin_wait(Context& context, Run& run, std::uint32_t index);
// The timer of a task in kTimer or kSignal is due, and no longer set.
void fire_wait(Context& context, Run& run, std::uint32_t index);
// The run goes on after a pause.
void resume_waits(Context& context, Run& run);

// Gives the signal to the task that has waited longest for it; its index, or kNoInstance when none waits.
std::uint32_t hand_over(Context& context, Run& run, const Signal& signal);

}  // namespace ez::core
