// apply(state, command) → effects: the pure heart of ez. The same commands in the same order give the same
// state and the same effects on every machine, at every time.
#pragma once

#include "base/result.h"
#include "core/command.pb.h"
#include "core/effects.h"
#include "core/state.h"

namespace ez::core {

// Applies the command that stands at log record `index`. Adds to `effects`, which the caller clears between
// commands. A command that cannot be carried out changes nothing and leaves its reason in
// effects.reply.error.
void apply(State& state, const pb::Command& command, LogIndex index, Effects& effects);

}  // namespace ez::core
