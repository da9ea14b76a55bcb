#include "agents/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <optional>

#include "agents/files.h"
#include "agents/orphans.h"
#include "agents/process_cgroup.h"
#include "agents/process_tree.h"
#include "agents/sandbox_command.h"
#include "agents/seccomp_filter.h"

namespace ez::agents {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kSetupWait{
    20'000};  // a loaded machine may take long; a wedged bwrap must not hold a slot for ever
constexpr milliseconds kDeathWait{30'000};    // for the kernel to end all processes of a killed namespace
constexpr milliseconds kMemoryInterval{200};  // between memory samples while use is low
constexpr milliseconds kDiskInterval{200};    // between walks of the measured folders, when they are cheap
constexpr std::uint64_t kMaxDiskEntries = 2'000'000;
constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::uint64_t kFileSizeExit = 128 + SIGXFSZ;
constexpr rlim_t kMaxOpenFiles = 4096;
constexpr std::size_t kSetupText = 2048;

Error unavailable(std::string message) { return Error(Code::SandboxUnavailable, std::move(message)); }

// Looks after one sandbox while it runs.
class Warden final : public ProcessHooks {
 public:
  Warden(const SandboxSpec& spec, const Sandbox::Sink& sink, UniqueFd status, UniqueFd block)
      : spec_(spec), sink_(sink), status_(std::move(status)), block_(std::move(block)) {
    max_processes_ = static_cast<std::size_t>(std::max<std::int64_t>(1, spec.limits.processes));
  }

  void close_child_ends() {
    child_status_.reset();
    child_block_.reset();
  }
  UniqueFd child_status_;  // bwrap's ends, closed once it has them
  UniqueFd child_block_;

  Status started(pid_t) override {
    close_child_ends();
    if (!read_status(true)) {
      if (status_ended_) return {};  // bwrap gave up; run() reports what it said
      return unavailable("bwrap did not set the sandbox up in time");
    }
    init_fd_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, init_, 0)));
    // Above the watchdog's limit, so that it sees and names the excess, and hard: the kernel refuses more.
    const std::size_t most = max_processes_ * 2 + 16;
    if (::geteuid() == 0) {
      cgroup_.hold(init_, most);
    } else {
      // Counts only this sandbox's processes (the user namespace is its own); ez's own limits stay as they
      // are.
      const rlimit limit{most, most};
      ::prlimit(init_, RLIMIT_NPROC, &limit, nullptr);
    }
    const std::string oom = "/proc/" + std::to_string(init_) + "/oom_score_adj";
    if (const UniqueFd file(::open(oom.c_str(), O_WRONLY | O_CLOEXEC)); file.valid()) {
      [[maybe_unused]] const ssize_t ignored = ::write(file.get(), "900", 3);
    }
    statvfs_free_ = free_bytes();
    if (spec_.prepared) EZ_TRY(spec_.prepared(init_));
    [[maybe_unused]] const ssize_t go = ::write(block_.get(), "1", 1);
    block_.reset();
    return {};
  }

  Status tick() override {
    if (init_ <= 0) return {};
    const auto now = Steady::now();
    if (spec_.watch) EZ_TRY(watch(now));
    std::vector<pid_t> pids = descendants(init_, max_processes_ + 2);
    outcome.peak_processes = std::max(outcome.peak_processes, pids.size());
    if (pids.size() > max_processes_) {
      return end(
          Error(Code::ProcessLimit, "more than " + std::to_string(max_processes_) + " processes at once"));
    }
    if (now >= next_memory_) {
      EZ_TRY(check_memory_and_cpu());
      next_memory_ =
          now + (outcome.peak_memory_bytes * 4 > memory_limit() ? milliseconds(0) : kMemoryInterval);
    }
    return check_disk(false);
  }

  bool terminate() override {
    if (init_ > 0) signal_descendants(init_, SIGTERM, max_processes_ + 2);
    return init_ > 0;
  }

  bool output(std::string_view bytes) override {
    if (setup_text_.size() < kSetupText) setup_text_.append(bytes.substr(0, kSetupText - setup_text_.size()));
    sink_(bytes);
    return true;
  }

  bool error_output(std::string_view bytes) override {
    if (!spec_.errors) return output(bytes);
    if (setup_text_.size() < kSetupText) setup_text_.append(bytes.substr(0, kSetupText - setup_text_.size()));
    spec_.errors(bytes);
    return true;
  }

  // After bwrap has ended: nothing may be alive any more when the caller goes on to look at the files.
  Status finish() {
    close_child_ends();
    if (init_fd_.valid()) {
      kill_all();
      pollfd dead{init_fd_.get(), POLLIN, 0};
      const auto until = Steady::now() + kDeathWait;
      while (::poll(&dead, 1, 100) <= 0) {
        if (Steady::now() > until) return unavailable("the processes of a killed sandbox do not end");
      }
    }
    while (read_status(false)) {
    }
    return {};
  }

  Status check_disk(bool now_please) {
    if (spec_.measured.empty()) return {};
    const auto begin = Steady::now();
    const std::uint64_t free = free_bytes();
    const std::uint64_t limit = static_cast<std::uint64_t>(spec_.limits.disk_mb) * kMiB;
    const std::uint64_t room = limit - std::min(limit, outcome.disk_bytes);
    const bool shrank = statvfs_free_ > free && statvfs_free_ - free > room / 2;
    if (!now_please && begin < next_disk_ && !(shrank && begin >= last_disk_ + kWatchTick)) return {};
    std::uint64_t bytes = 0;
    bool complete = true;
    for (const std::string& folder : spec_.measured) {
      const TreeSize size = tree_size(folder, kMaxDiskEntries);
      bytes += size.bytes;
      complete = complete && size.complete;
    }
    struct stat info {};
    if (!now_please && ::stat(spec_.measured[0].c_str(), &info) == 0) {
      bytes += deleted_file_bytes(init_, max_processes_ + 2, info.st_dev);
    }
    outcome.disk_bytes = bytes;
    statvfs_free_ = free;
    last_disk_ = Steady::now();
    // At most a twentieth of one core goes into walking.
    next_disk_ = last_disk_ + std::max<Steady::duration>(kDiskInterval, (last_disk_ - begin) * 20);
    if (!complete) return end(Error(Code::DiskLimit, "too many files, or folders nested too deep"));
    if (bytes > limit) {
      return end(Error(Code::DiskLimit, std::to_string(bytes / kMiB) + " MiB on disk, allowed are " +
                                            std::to_string(spec_.limits.disk_mb)));
    }
    return {};
  }

  // Why the caller wanted it ended, when it did.
  [[nodiscard]] const std::optional<Error>& ended_by_caller() const { return end_reason_; }
  [[nodiscard]] bool command_ran() const { return exit_code_seen_; }
  [[nodiscard]] const std::string& setup_text() const { return setup_text_; }
  SandboxOutcome outcome;

 private:
  [[nodiscard]] std::uint64_t memory_limit() const {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(1, spec_.limits.memory_mb)) * kMiB;
  }

  Status check_memory_and_cpu() {
    const TreeUsage usage = measure_tree(init_, max_processes_ + 2);
    std::uint64_t memory = usage.memory_bytes;
    // A page shared after fork was counted for each process; look again before blaming anybody.
    if (memory > memory_limit()) memory = proportional_memory(init_, max_processes_ + 2);
    outcome.peak_memory_bytes = std::max(outcome.peak_memory_bytes, memory);
    outcome.cpu_ms = std::max(outcome.cpu_ms, usage.cpu_ms);
    if (memory > memory_limit()) {
      return end(Error(Code::MemoryLimit, std::to_string(memory / kMiB) + " MiB of memory, allowed are " +
                                              std::to_string(spec_.limits.memory_mb)));
    }
    const auto cpu_limit_ms = static_cast<std::uint64_t>(spec_.limits.cpu_s) * 1000;
    if (cpu_limit_ms > 0 && usage.cpu_ms > cpu_limit_ms) {
      return end(Error(Code::CpuLimit, std::to_string(usage.cpu_ms / 1000) + " s of CPU time, allowed are " +
                                           std::to_string(spec_.limits.cpu_s)));
    }
    return {};
  }

  Status watch(Steady::time_point now) {
    if (end_reason_) return now < end_at_ ? Status() : end(*end_reason_);
    Status wish = spec_.watch();
    if (wish.ok()) return {};
    end_reason_ = wish.error();
    end_at_ = now + spec_.grace;
    signal_descendants(init_, SIGTERM, max_processes_ + 2);
    return {};
  }

  Status end(Error why) {
    kill_all();
    return why;
  }

  // Process 1 of the namespace takes all others with it, in the kernel: no fork outruns it.
  void kill_all() const {
    if (init_fd_.valid()) ::syscall(SYS_pidfd_send_signal, init_fd_.get(), SIGKILL, nullptr, 0);
  }

  [[nodiscard]] std::uint64_t free_bytes() const {
    struct statvfs info {};
    if (spec_.measured.empty() || ::statvfs(spec_.measured[0].c_str(), &info) != 0) return 0;
    return static_cast<std::uint64_t>(info.f_bfree) * info.f_frsize;
  }

  // Takes what bwrap reports: a JSON document a line, {"child-pid": N, …} and at the end {"exit-code": N},
  // the latter only when the command was really started (bwrap.c, report_child_exit_status). Returns whether
  // something (for wait_for_pid: the pid) came.
  bool read_status(bool wait_for_pid) {
    const auto until = Steady::now() + kSetupWait;
    while (true) {
      if (wait_for_pid) {
        pollfd ready{status_.get(), POLLIN, 0};
        if (::poll(&ready, 1, 100) <= 0) {
          if (Steady::now() > until) return false;
          continue;
        }
      }
      char buffer[512];
      const ssize_t got = ::read(status_.get(), buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) status_ended_ = true;
      if (got <= 0 || status_text_.size() > 8192) return false;
      status_text_.append(buffer, static_cast<std::size_t>(got));
      exit_code_seen_ = status_text_.find("\"exit-code\"") != std::string::npos;
      if (!wait_for_pid) return true;
      constexpr std::string_view kKey = "\"child-pid\":";
      const std::size_t at = status_text_.find(kKey);
      const std::size_t line_end = status_text_.find('\n');
      if (at == std::string::npos || line_end == std::string::npos) continue;
      std::size_t digit = at + kKey.size();
      while (digit < status_text_.size() && status_text_[digit] == ' ') ++digit;
      std::from_chars(status_text_.data() + digit, status_text_.data() + status_text_.size(), init_);
      return init_ > 0;
    }
  }

  const SandboxSpec& spec_;
  const Sandbox::Sink& sink_;
  UniqueFd status_;
  UniqueFd block_;
  pid_t init_ = 0;  // process 1 of the namespace, by its number here
  UniqueFd init_fd_;
  ProcessCgroup cgroup_;
  std::size_t max_processes_;
  std::string status_text_;
  std::string setup_text_;
  bool exit_code_seen_ = false;
  bool status_ended_ = false;
  std::optional<Error> end_reason_;
  Steady::time_point end_at_{};
  Steady::time_point next_memory_{};
  Steady::time_point next_disk_{};
  Steady::time_point last_disk_{};
  std::uint64_t statvfs_free_ = 0;
};

}  // namespace

Sandbox::Sandbox() : Sandbox(Options{}) {}

Sandbox::Sandbox(Options options) : options_(std::move(options)) {
  if (options_.bwrap.empty()) options_.bwrap = find_program("bwrap", "/usr/bin:/bin:/usr/local/bin");
}

Result<SandboxOutcome> Sandbox::run(const SandboxSpec& spec, const Sink& sink,
                                    const CancelToken* cancel) const {
  if (options_.bwrap.empty()) return unavailable("bubblewrap (bwrap) is not installed");
  if (spec.argv.empty()) return Error(Code::InvalidArgument, "a sandbox needs a command");
  EZ_ASSIGN(SandboxCommand command, sandbox_command(spec, options_));
  EZ_ASSIGN(UniqueFd filter, seccomp_filter(true));
  EZ_ASSIGN(UniqueFd arguments, memory_file("bwrap-arguments", command.packed()));
  int status[2];
  int block[2];
  if (::pipe2(status, O_CLOEXEC) != 0) return unavailable("pipe: " + std::string(std::strerror(errno)));
  UniqueFd status_read(status[0]);
  UniqueFd status_write(status[1]);
  if (::pipe2(block, O_CLOEXEC) != 0) return unavailable("pipe: " + std::string(std::strerror(errno)));
  Warden warden(spec, sink, std::move(status_read), UniqueFd(block[1]));
  warden.child_block_ = UniqueFd(block[0]);
  warden.child_status_ = std::move(status_write);

  ProcessSpec process;
  process.argv = {options_.bwrap, "--args", std::to_string(kArgsFd), "--"};
  process.argv.insert(process.argv.end(), spec.argv.begin(), spec.argv.end());
  // bwrap itself runs outside: no variable of the task (LD_PRELOAD!) may reach it. It sets them for the
  // command.
  process.environment = {"PATH=/usr/bin:/bin", sandbox_owner_variable()};
  process.descriptors = std::move(command.descriptors);
  process.descriptors.insert(process.descriptors.end(), {{arguments.get(), kArgsFd},
                                                         {filter.get(), kSeccompFd},
                                                         {warden.child_status_.get(), kStatusFd},
                                                         {warden.child_block_.get(), kBlockFd}});
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  process.limits = {
      {RLIMIT_CORE, 0},
      {RLIMIT_NOFILE, std::min(files.rlim_max, kMaxOpenFiles)},
      {RLIMIT_FSIZE, static_cast<rlim_t>(std::max<std::int64_t>(1, spec.limits.disk_mb)) * kMiB}};
  process.timeout = spec.timeout;
  process.grace = spec.grace;
  process.tick = kWatchTick;
  process.join_streams = !spec.errors;
  process.input_fd = spec.input;
  process.max_output_bytes =
      static_cast<std::uint64_t>(std::max<std::int64_t>(1, spec.limits.output_mb)) * kMiB;

  auto ran = run_process(process, &warden, cancel);
  EZ_TRY(warden.finish());
  if (!ran.ok()) return unavailable(ran.error().message());
  warden.outcome.process = std::move(ran).value();
  ProcessOutcome& outcome = warden.outcome.process;
  if (!outcome.stopped && warden.ended_by_caller()) outcome.stopped = *warden.ended_by_caller();
  if (!outcome.stopped && !warden.command_ran()) {
    std::string said = warden.setup_text();
    while (!said.empty() && said.back() == '\n') said.pop_back();
    return unavailable(said.empty() ? "bwrap ended with status " + std::to_string(outcome.exit_code) : said);
  }
  const Status disk = warden.check_disk(true);
  if (!outcome.stopped && !disk.ok()) outcome.stopped = disk.error();
  if (!outcome.stopped && static_cast<std::uint64_t>(outcome.exit_code) == kFileSizeExit) {
    outcome.stopped =
        Error(Code::DiskLimit, "a file grew beyond " + std::to_string(spec.limits.disk_mb) + " MiB");
  }
  warden.outcome.over_disk = !disk.ok() || (outcome.stopped && outcome.stopped->code() == Code::DiskLimit);
  return std::move(warden.outcome);
}

Status Sandbox::probe() const {
  SandboxSpec spec;
  spec.argv = {"/bin/sh", "-c", "exit 0"};
  spec.timeout = milliseconds(20'000);
  std::string said;
  auto outcome = run(spec, [&said](std::string_view bytes) { said.append(bytes.substr(0, 1000)); });
  if (!outcome.ok()) return outcome.error();
  if (!outcome->process.succeeded()) {
    return unavailable("a trial command failed with status " + std::to_string(outcome->process.exit_code) +
                       ": " + said);
  }
  return {};
}

}  // namespace ez::agents
