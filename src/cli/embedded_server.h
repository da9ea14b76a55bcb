// The server that `ez run` starts for itself: `ez up` in the background, on the data directory of the call.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/ports.h"

namespace ez::cli {

struct StartedServer {
  std::string url;
  std::int64_t pid = 0;
  bool ours = false;  // this call started it; otherwise another one did meanwhile
};

// Starts it on a free port and returns when it is ready. It is a session of its own, so the terminal's
// signals do not reach it; its log is <data>/ez.log. Errors: what `ez up` says (DATA_DIR_UNUSABLE,
// LOG_DAMAGED …), IO_FAILED. When another process holds the directory its server is waited for, at most
// kStartWait.
// `agent_types`: what its worker serves; a server that another process started serves what it serves.
[[nodiscard]] Result<StartedServer> start_server(const std::string& data,
                                                 const std::vector<std::string>& agent_types);

// Asks the process to stop and waits until it is gone. SERVER_BUSY when it is not gone in time.
[[nodiscard]] Status stop_server(std::int64_t pid);

// The path of this program.
[[nodiscard]] Result<std::string> own_program();

}  // namespace ez::cli
