// A command inside bubblewrap: what it sees, what it may call, what it may use. There is no way to run
// without it; where the kernel refuses, the answer is SANDBOX_UNAVAILABLE.
//
// Inside: own user, pid, ipc, uts, cgroup and (without limits.network) network namespaces; user ez (1000)
// without capabilities; /usr and its links, a short list from /etc, a private /dev, a read-only /proc, and
// the mounts that the caller lists. Nothing else of the machine: no home, no data directory, no sockets. The
// root is read-only.
//
// Limits are held by a watchdog in the thread of run(), which samples the pid namespace every kWatchTick:
// processes, memory (anonymous and shared, divided fairly when it matters), CPU time, and the disk use of the
// listed folders, deleted-but-open files included. Between two samples a command can overshoot; the bound on
// one file (RLIMIT_FSIZE) and on processes (RLIMIT_NPROC, for a root worker a pids cgroup) hold in the
// kernel. The processes of a sandbox are the kernel's first choice when the machine runs out of memory. When
// run() returns, every process of the sandbox is dead.
//
// Threads: run() may be called from any number of threads at once. kill -9 of ez ends all its sandboxes
// (parent-death signal).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agents/process.h"
#include "base/result.h"

namespace ez::agents {

inline constexpr std::chrono::milliseconds kWatchTick{50};

struct SandboxLimits {
  bool network = false;  // true: the network of the machine
  std::int64_t memory_mb = 2048;
  std::int64_t processes = 512;
  std::int64_t output_mb = 16;
  std::int64_t disk_mb = 4096;  // of SandboxSpec::measured together; also the largest single file
  std::int64_t cpu_s = 0;       // of all processes together; 0: no limit
  friend bool operator==(const SandboxLimits&, const SandboxLimits&) = default;
};

struct SandboxMount {
  std::string source;  // on the machine, absolute
  std::string target;  // in the sandbox
  bool writable = false;
};

struct SandboxSpec {
  std::vector<std::string> argv;                                 // argv[0] absolute, as the sandbox sees it
  std::vector<std::pair<std::string, std::string>> environment;  // complete
  std::string directory = "/";
  std::vector<SandboxMount> mounts;  // in order: a parent comes before what lies in it
  std::vector<std::pair<std::string, std::string>>
      files;                          // {target, bytes}: read-only files, after the mounts
  std::vector<std::string> measured;  // folders on the machine that count for disk_mb
  SandboxLimits limits;
  std::chrono::milliseconds timeout{0};
  std::chrono::milliseconds grace{2000};         // after SIGTERM to all processes inside
  int input = -1;                                // descriptor that becomes standard input; -1: empty
  std::function<void(std::string_view)> errors;  // standard error apart from the sink; empty: joined
  // Both are called on the thread of run(); either may be empty.
  // Once, when the namespaces are there and before the command starts: process 1 of them, by its number here.
  std::function<Status(int init)> prepared;
  // Every kWatchTick. An error ends the command politely (SIGTERM to all processes inside, after `grace`
  // SIGKILL) and becomes ProcessOutcome::stopped, also when the command ends by itself meanwhile.
  std::function<Status()> watch;
};

struct SandboxOutcome {
  ProcessOutcome
      process;  // stopped also: MEMORY_LIMIT, PROCESS_LIMIT, DISK_LIMIT, CPU_LIMIT; output went to the sink
  std::uint64_t peak_memory_bytes = 0;  // as sampled
  std::size_t peak_processes = 0;
  std::uint64_t cpu_ms = 0;
  std::uint64_t disk_bytes = 0;
  bool over_disk = false;  // more is on the disk than allowed, whatever else the command was stopped for
};

class Sandbox {
 public:
  struct Options {
    std::string bwrap;  // path of the program; empty: looked for in /usr/bin:/bin:/usr/local/bin
    std::vector<std::string>
        read_only;  // more folders of the machine to show, at the same path (tool chains)
  };
  using Sink = std::function<void(std::string_view)>;  // standard output and error, at most 64 KiB a call

  Sandbox();
  explicit Sandbox(Options options);

  // Errors: SANDBOX_UNAVAILABLE (with what bwrap said), INVALID_ARGUMENT.
  [[nodiscard]] Result<SandboxOutcome> run(const SandboxSpec& spec, const Sink& sink,
                                           const CancelToken* cancel = nullptr) const;

  // Whether a sandbox works here, by running one: for `ez doctor` and the start of a worker.
  // SANDBOX_UNAVAILABLE.
  [[nodiscard]] Status probe() const;
  [[nodiscard]] const std::vector<std::string>& read_only() const { return options_.read_only; }

 private:
  Options options_;
};

}  // namespace ez::agents
