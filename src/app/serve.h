// `ez up`: the server of one data directory, in this process.
//
//   <data>/log/         the write-ahead log            <data>/token        the bearer token, mode 0600
//   <data>/history.db   finished runs                  <data>/server.json  where it listens, while it runs
//   <data>/blobs/, blobs.db  artifacts, large payloads <data>/uploads/     request bodies under way
//   <data>/logs/        what attempts printed          <data>/workspaces/  of the embedded worker
//
// report_fd. When it is set, one line goes there and it is closed: "ready URL" or "failed {problem}", so that
// a parent knows without polling.
#pragma once

#include "cli/ports.h"

namespace ez::app {

// Serves until SIGTERM or SIGINT. Errors: DATA_DIR_LOCKED, DATA_DIR_UNUSABLE, ADDRESS_IN_USE, everything that
// opening the stores may say, and what stopped the engine (LOG_WRITE_FAILED …).
[[nodiscard]] Status serve(const cli::ServeOptions& options);

}  // namespace ez::app
