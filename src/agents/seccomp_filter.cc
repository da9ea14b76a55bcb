#include "agents/seccomp_filter.h"

#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace ez::agents {
namespace {

constexpr const char* kRefused[] = {
    // mounts and roots
    "mount", "umount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsconfig",
    "fsmount", "fspick", "mount_setattr", "fanotify_init", "name_to_handle_at", "open_by_handle_at",
    // namespaces
    "unshare", "setns",
    // other processes
    "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "process_madvise",
    "migrate_pages", "move_pages",
    // kernel keys, programs and modules
    "keyctl", "add_key", "request_key", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup",
    "io_uring_enter", "io_uring_register", "init_module", "finit_module", "delete_module", "create_module",
    "kexec_load", "kexec_file_load", "lookup_dcookie",
    // the machine
    "reboot", "swapon", "swapoff", "syslog", "acct", "quotactl", "quotactl_fd", "nfsservctl", "vhangup",
    "iopl", "ioperm", "settimeofday", "stime", "clock_settime", "clock_adjtime", "adjtimex", "sethostname",
    "setdomainname", "uselib", "vm86", "vm86old", "modify_ldt"};

constexpr const char* kUnaccounted[] = {"memfd_create", "memfd_secret", "shmget"};

struct Release {
  void operator()(void* context) const { seccomp_release(context); }
};

}  // namespace

Result<UniqueFd> seccomp_filter(bool accounted_memory_only) {
  const auto failed = [](std::string_view what, int error_number) {
    return Error(Code::SandboxUnavailable,
                 "seccomp filter: " + std::string(what) + ": " + std::strerror(error_number));
  };
  const std::unique_ptr<void, Release> context(seccomp_init(SCMP_ACT_ALLOW));
  if (context == nullptr) return failed("init", ENOMEM);
  const auto deny = [&](const char* name, int error_number) {
    const int number = seccomp_syscall_resolve_name(name);
    // Unknown to this libseccomp or absent on this architecture: there is nothing to refuse.
    if (number == __NR_SCMP_ERROR || number < 0) return 0;
    return seccomp_rule_add(context.get(), SCMP_ACT_ERRNO(static_cast<std::uint16_t>(error_number)), number,
                            0);
  };
  for (const char* name : kRefused) {
    if (const int rc = deny(name, EPERM); rc != 0) return failed(name, -rc);
  }
  if (accounted_memory_only) {
    for (const char* name : kUnaccounted) {
      if (const int rc = deny(name, ENOSYS); rc != 0) return failed(name, -rc);
    }
  }
  if (const int rc = deny("clone3", ENOSYS); rc != 0) return failed("clone3", -rc);
  for (const std::uint64_t flag : {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER,
                                   CLONE_NEWPID, CLONE_NEWNET}) {
    const int rc = seccomp_rule_add(context.get(), SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                    SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag));
    if (rc != 0) return failed("clone", -rc);
  }
  for (const unsigned long request : {static_cast<unsigned long>(TIOCSTI), 0x541CUL /* TIOCLINUX */}) {
    // The kernel looks only at the lower 32 bits of an ioctl request.
    const int rc = seccomp_rule_add(context.get(), SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                                    SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffUL, request));
    if (rc != 0) return failed("ioctl", -rc);
  }
  EZ_ASSIGN(UniqueFd file, memory_file("seccomp", ""));
  if (const int rc = seccomp_export_bpf(context.get(), file.get()); rc != 0) return failed("export", -rc);
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return failed("seek", errno);
  return file;
}

}  // namespace ez::agents
