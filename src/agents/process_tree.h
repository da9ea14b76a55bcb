// What a process and all its descendants use, read from /proc. For the watchdog of the sandbox, whose root is
// process 1 of a pid namespace: orphans are handed to it, so nothing leaves the tree (also not with setsid).
//
// A walk costs a few microseconds per process and stops at `max_processes`. Reading races with processes that
// come and go: a figure is a sample, never an error.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace ez::agents {

struct TreeUsage {
  std::size_t processes = 0;  // without the root; at most max_processes
  std::uint64_t memory_bytes =
      0;                     // anonymous and shared memory; pages shared by a fork count for each process
  std::uint64_t cpu_ms = 0;  // user and system time, of ended children too
};

// The descendants of root without root itself, parents first; at most `max_processes`.
[[nodiscard]] std::vector<pid_t> descendants(pid_t root, std::size_t max_processes);

[[nodiscard]] TreeUsage measure_tree(pid_t root, std::size_t max_processes);

// The same memory with every shared page divided among its users (proportional set size); slower by far.
// Processes that may not be read count with their plain size.
[[nodiscard]] std::uint64_t proportional_memory(pid_t root, std::size_t max_processes);

// Bytes of files that have no name any more but are still open in the tree, each file once: they use disk but
// no walk finds them.
[[nodiscard]] std::uint64_t deleted_file_bytes(pid_t root, std::size_t max_processes, dev_t device);

// Sends a signal to every descendant (not to root).
void signal_descendants(pid_t root, int signal_number, std::size_t max_processes);

}  // namespace ez::agents
