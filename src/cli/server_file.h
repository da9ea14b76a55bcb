// <data>/server.json: where the server of a data directory listens. Written by `ez up` when it is ready,
// removed when it stops. {"url":"http://127.0.0.1:7878","pid":123,"started":"4567","version":"0.1.0"};
// `started` is the start time of the process in /proc/<pid>/stat, so that a process id that was given to
// another program later is not mistaken for a server.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace ez::cli {

struct ServerFile {
  std::string url;
  std::int64_t pid = 0;
  std::string started;
  std::string version;
};

[[nodiscard]] std::string server_file_path(const std::string& data);

// Replaces the file at once as a whole, mode 0600. IO_FAILED, DISK_FULL.
[[nodiscard]] Status write_server_file(const std::string& data, const ServerFile& file);
// Removes it when it is still that process's.
void remove_server_file(const std::string& data, std::int64_t pid);

// The running server; nullopt when there is no file or its process is gone (a stale file, which the next `ez
// up` replaces). IO_FAILED when the file is there and cannot be read or understood.
[[nodiscard]] Result<std::optional<ServerFile>> find_server(const std::string& data);

// Field 22 of /proc/<pid>/stat; empty when there is no such process.
[[nodiscard]] std::string process_start(std::int64_t pid);

}  // namespace ez::cli
