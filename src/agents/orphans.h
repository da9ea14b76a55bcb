// Sandboxes whose worker was killed at the worst moment.
//
// bwrap ties itself to its worker with PR_SET_PDEATHSIG, but its inner process does so only after a
// hand-shake with the outer one: when both worker and outer process are killed in the few milliseconds
// before, the inner one waits for ever, without having started anything. Each bwrap carries the process id of
// its worker in its environment, so the next worker finds them.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

namespace ez::agents {

// The variable of bwrap's own environment (the command inside never sees it): "EZ_SANDBOX_OWNER=<process
// id>".
[[nodiscard]] std::string sandbox_owner_variable();

// Kills this user's sandbox processes whose worker is gone (they were handed to process 1); returns how many.
std::size_t kill_orphaned_sandboxes();

}  // namespace ez::agents
