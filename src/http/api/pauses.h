// Pauses in the views of other things.
#pragma once

#include "core/pause.h"
#include "http/api/context.h"

namespace ez::http::api {

// Goes on with the pauses that are in force now; on the engine's loop.
void with_pauses(Context& context, std::function<void(const core::PauseBoard&)> go_on);

// Null when nothing of that kind and name is paused.
[[nodiscard]] Value pause_view(const core::PauseBoard& board, core::PauseKind kind,
                               const std::string& name_space, const std::string& name);

// What holds a live run: its namespace or its workflow.
void add_held_by(Value& view, const core::PauseBoard& board, const core::Run& run);

}  // namespace ez::http::api
