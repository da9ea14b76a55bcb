// A kernel limit on how many processes a sandbox may have, for a worker that runs as root.
//
// RLIMIT_NPROC does not bind root (kernel/fork.c, copy_process), whatever the user is called inside the
// sandbox; and a watchdog that samples loses against a fork bomb on a busy machine. The pids controller of
// cgroups does bind root: version 1 (its own hierarchy) or version 2, below the worker's own cgroup.
// Best effort: where the controller is absent or not ours to use, there is only the watchdog.
//
// Source of the format: Documentation/admin-guide/cgroup-v1/pids.rst, cgroup-v2.rst of Linux.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

namespace ez::agents {

// Thread-compatible: belongs to the thread that runs the sandbox.
class ProcessCgroup {
 public:
  ProcessCgroup() = default;
  // Removes the folder; its processes must have ended (otherwise it stays for remove_stale_cgroups).
  ~ProcessCgroup();
  ProcessCgroup(const ProcessCgroup&) = delete;
  ProcessCgroup& operator=(const ProcessCgroup&) = delete;

  // Holds `process` and all it will ever fork to `max_processes`. Returns whether the kernel agreed.
  bool hold(pid_t process, std::size_t max_processes);

 private:
  std::string folder_;
};

// Removes what workers that were killed left behind; called when a worker starts. Returns how many.
std::size_t remove_stale_cgroups();

}  // namespace ez::agents
