// The system calls that a sandboxed command may not make, as a compiled BPF program (libseccomp).
//
// Everything is allowed but a list: what changes mounts, namespaces or the kernel (mount family, unshare,
// setns, clone with namespace flags, module loading, kexec, bpf, perf, reboot, swap, clock), what reaches
// into other processes (ptrace, process_vm_*, pidfd_getfd, kcmp), kernel keys, io_uring and userfaultfd
// (large attack surface), quotas, and injecting terminal input (TIOCSTI, TIOCLINUX). Refused calls answer
// EPERM; clone3, whose flags a filter cannot see, answers ENOSYS so that the C library falls back to clone.
// Foreign architectures are killed.
//
// With `accounted_memory_only`, memory that belongs to no process (memfd, System V segments) is refused as
// well, because then the watchdog of sandbox.h could not count it.
#pragma once

#include "agents/process.h"
#include "base/result.h"

namespace ez::agents {

// A descriptor to hand to bwrap --seccomp, positioned at its start. SANDBOX_UNAVAILABLE when the filter
// cannot be built.
[[nodiscard]] Result<UniqueFd> seccomp_filter(bool accounted_memory_only);

}  // namespace ez::agents
