#include "agents/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace ez::agents {
namespace {

using Steady = std::chrono::steady_clock;

Error io_error(std::string_view what) { return system_error(Code::IoFailed, Code::DiskFull, what, errno); }

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return io_error("pipe");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// All that the child needs, prepared before vfork: between vfork and exec the child shares our memory and may
// neither allocate nor take a lock.
struct ChildPlan {
  const char* const* argv;
  const char* const* environment;
  const char* directory;
  const std::pair<int, int>* descriptors;
  std::size_t descriptor_count;
  const std::pair<int, rlim_t>* limits;
  std::size_t limit_count;
  int error_pipe;
  pid_t parent;
  bool outlives_us;
  int* scratch;  // room for descriptor_count + 1 numbers
};

constexpr int kScratchFloor =
    100;  // temporary copies of descriptors stay above every number that a child asks for

[[noreturn]] void child_fail(int error_pipe, int step) {
  const int report[2] = {step, errno};
  [[maybe_unused]] const ssize_t ignored = ::write(error_pipe, report, sizeof report);
  ::_exit(127);
}

[[noreturn]] void child_main(const ChildPlan& plan) {
  int error_pipe = plan.error_pipe;
  for (int number = 1; number < NSIG; ++number) {
    if (number != SIGKILL && number != SIGSTOP) ::signal(number, SIG_DFL);
  }
  if (::setsid() < 0) child_fail(error_pipe, 1);
  if (plan.outlives_us) {
    ::signal(SIGPIPE, SIG_IGN);  // nobody may be left to read what it says
  } else if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != plan.parent) {
    child_fail(error_pipe, 1);
  }
  error_pipe = ::fcntl(error_pipe, F_DUPFD_CLOEXEC, kScratchFloor);
  if (error_pipe < 0) child_fail(plan.error_pipe, 2);
  for (std::size_t i = 0; i < plan.descriptor_count; ++i) {
    plan.scratch[i] = ::fcntl(plan.descriptors[i].first, F_DUPFD_CLOEXEC, kScratchFloor);
    if (plan.scratch[i] < 0) child_fail(error_pipe, 2);
  }
  // Whatever other threads opened without O_CLOEXEC must not reach the child.
  if (::syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) != 0) {
    for (int fd = 3; fd < 65536; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  for (std::size_t i = 0; i < plan.descriptor_count; ++i) {
    if (::dup2(plan.scratch[i], plan.descriptors[i].second) < 0) child_fail(error_pipe, 2);
  }
  for (std::size_t i = 0; i < plan.limit_count; ++i) {
    const rlimit limit{plan.limits[i].second, plan.limits[i].second};
    if (::setrlimit(static_cast<__rlimit_resource>(plan.limits[i].first), &limit) != 0)
      child_fail(error_pipe, 3);
  }
  if (::chdir(plan.directory) != 0) child_fail(error_pipe, 4);
  ::umask(022);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(plan.argv[0], const_cast<char* const*>(plan.argv), const_cast<char* const*>(plan.environment));
  child_fail(error_pipe, 5);
}

// A function of its own that is never inlined: the child must not disturb the locals of the caller's frame.
__attribute__((noinline)) pid_t start_child(const ChildPlan& plan) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  // No handler of ours may run in the child while it shares our memory.
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::vfork();
  if (pid == 0) child_main(plan);
  const int error_number = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error_number;
  return pid;
}

class Run {
 public:
  Run(const ProcessSpec& spec, ProcessHooks* hooks, const CancelToken* cancel)
      : spec_(spec), hooks_(hooks), cancel_(cancel) {}
  ~Run() {
    if (pid_ > 0) {
      kill_group(SIGKILL);
      reap();
    }
  }

  Result<ProcessOutcome> run() {
    if (cancel_ != nullptr && cancel_->cancelled()) {
      ProcessOutcome outcome;
      outcome.stopped = Error(Code::TaskCancelled, "cancelled before it started");
      return outcome;
    }
    EZ_TRY(start());
    if (hooks_ != nullptr) EZ_TRY(hooks_->started(pid_));
    loop();
    drain();
    outcome_.duration = std::chrono::duration_cast<std::chrono::milliseconds>(Steady::now() - began_);
    return std::move(outcome_);
  }

 private:
  Status start() {
    if (spec_.argv.empty() || spec_.argv[0].empty() || spec_.argv[0][0] != '/') {
      return Error(Code::InvalidArgument, "a command needs an absolute path");
    }
    EZ_ASSIGN(Pipe out, make_pipe());
    EZ_ASSIGN(Pipe err, make_pipe());
    EZ_ASSIGN(Pipe failure, make_pipe());
    UniqueFd input;
    if (spec_.input_fd >= 0) {
      input = UniqueFd(::fcntl(spec_.input_fd, F_DUPFD_CLOEXEC, 0));
      if (!input.valid()) return io_error("the command's input");
    } else if (spec_.input.empty()) {
      input = UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (!input.valid()) return io_error("open /dev/null");
    } else {
      EZ_ASSIGN(input, memory_file("input", spec_.input));
    }
    std::vector<std::pair<int, int>> descriptors = spec_.descriptors;
    descriptors.emplace_back(input.get(), 0);
    descriptors.emplace_back(out.write.get(), 1);
    descriptors.emplace_back(spec_.join_streams ? out.write.get() : err.write.get(), 2);
    std::vector<int> scratch(descriptors.size() + 1);
    std::vector<const char*> argv;
    for (const std::string& word : spec_.argv) argv.push_back(word.c_str());
    argv.push_back(nullptr);
    std::vector<const char*> environment;
    for (const std::string& entry : spec_.environment) environment.push_back(entry.c_str());
    environment.push_back(nullptr);
    const ChildPlan plan{argv.data(),         environment.data(),  spec_.directory.c_str(),
                         descriptors.data(),  descriptors.size(),  spec_.limits.data(),
                         spec_.limits.size(), failure.write.get(), ::getpid(),
                         spec_.outlives_us,   scratch.data()};
    began_ = Steady::now();
    const pid_t pid = start_child(plan);
    if (pid < 0) return io_error("start of " + spec_.argv[0]);
    pid_ = pid;
    failure.write.reset();
    int report[2] = {0, 0};
    ssize_t got = 0;
    do {
      got = ::read(failure.read.get(), report, sizeof report);
    } while (got < 0 && errno == EINTR);
    if (got == static_cast<ssize_t>(sizeof report)) {
      reap();
      const bool argument = report[0] == 4 || report[0] == 5;
      const std::string what = report[0] == 4 ? "directory " + spec_.directory : "start of " + spec_.argv[0];
      return system_error(argument ? Code::InvalidArgument : Code::IoFailed, Code::DiskFull, what, report[1]);
    }
    pidfd_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    if (!pidfd_.valid()) return io_error("pidfd_open");
    out_ = std::move(out.read);
    if (!spec_.join_streams) err_ = std::move(err.read);
    return {};
  }

  void loop() {
    const bool ticking = hooks_ != nullptr && spec_.tick.count() > 0;
    Steady::time_point next_tick = began_ + spec_.tick;
    while (true) {
      Steady::time_point wake = Steady::time_point::max();
      if (kill_at_) wake = std::min(wake, *kill_at_);
      if (!outcome_.stopped && spec_.timeout.count() > 0) wake = std::min(wake, began_ + spec_.timeout);
      if (ticking && !outcome_.stopped) wake = std::min(wake, next_tick);
      std::array<pollfd, 4> fds{{{pidfd_.get(), POLLIN, 0},
                                 {out_.get(), POLLIN, 0},
                                 {err_.get(), POLLIN, 0},
                                 {cancel_ != nullptr && !outcome_.stopped ? cancel_->fd() : -1, POLLIN, 0}}};
      int wait_ms = -1;
      if (wake != Steady::time_point::max()) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(wake - Steady::now()).count();
        wait_ms = static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
      }
      if (::poll(fds.data(), fds.size(), wait_ms) < 0) continue;  // EINTR
      if (fds[1].revents != 0) pump(out_, outcome_.out, false);
      if (fds[2].revents != 0) pump(err_, outcome_.err, true);
      if (fds[0].revents != 0) break;
      const auto now = Steady::now();
      if (kill_at_ && now >= *kill_at_) {
        kill_group(SIGKILL);
        kill_at_.reset();
      }
      if (outcome_.stopped) continue;
      if (fds[3].revents != 0) {
        stop(Error(Code::TaskCancelled, "cancelled while it ran"), true);
      } else if (spec_.timeout.count() > 0 && now >= began_ + spec_.timeout) {
        stop(Error(Code::CommandTimeout,
                   "still running after " + std::to_string(spec_.timeout.count()) + " ms"),
             true);
      } else if (ticking && now >= next_tick) {
        next_tick = now + spec_.tick;
        if (Status status = hooks_->tick(); !status.ok()) stop(status.error(), false);
      }
    }
    // The leader is a zombie until reap(), so its group number cannot belong to anybody else yet.
    kill_group(SIGKILL);
    reap();
  }

  void stop(Error why, bool polite) {
    outcome_.stopped = std::move(why);
    if (polite && spec_.grace.count() > 0) {
      if (hooks_ == nullptr || !hooks_->terminate()) kill_group(SIGTERM);
      kill_at_ = Steady::now() + spec_.grace;
    } else {
      kill_group(SIGKILL);
    }
  }

  // One read of at most 64 KiB. Closes the descriptor at the end of the stream.
  void pump(UniqueFd& fd, std::string& captured, bool is_error) {
    if (!fd.valid()) return;
    const ssize_t got = ::read(fd.get(), buffer_.data(), buffer_.size());
    if (got < 0 && errno == EINTR) return;
    if (got <= 0) {
      fd.reset();
      return;
    }
    std::string_view bytes(buffer_.data(), static_cast<std::size_t>(got));
    const bool limited = spec_.max_output_bytes > 0;
    const std::uint64_t room =
        limited ? spec_.max_output_bytes - std::min(spec_.max_output_bytes, outcome_.output_bytes) : 0;
    if (limited && bytes.size() > room) {
      bytes = bytes.substr(0, room);
      if (!outcome_.stopped) {
        stop(Error(Code::OutputLimit,
                   "more than " + std::to_string(spec_.max_output_bytes) + " bytes of output"),
             false);
      }
    }
    outcome_.output_bytes += bytes.size();
    if (bytes.empty()) return;
    if (hooks_ != nullptr && (is_error ? hooks_->error_output(bytes) : hooks_->output(bytes))) return;
    const std::size_t keep = spec_.max_capture_bytes - std::min(spec_.max_capture_bytes, captured.size());
    if (bytes.size() > keep) outcome_.cut = true;
    captured.append(bytes.substr(0, keep));
  }

  void drain() {
    const auto until = Steady::now() + kDrainWait;
    while (out_.valid() || err_.valid()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Steady::now()).count();
      if (left <= 0) return;
      std::array<pollfd, 2> fds{{{out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}}};
      if (::poll(fds.data(), fds.size(), static_cast<int>(left)) <= 0) continue;
      if (fds[0].revents != 0) pump(out_, outcome_.out, false);
      if (fds[1].revents != 0) pump(err_, outcome_.err, true);
    }
  }

  void kill_group(int number) const {
    if (pid_ > 0) ::kill(-pid_, number);
  }

  void reap() {
    if (pid_ <= 0) return;
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    if (WIFSIGNALED(status)) {
      outcome_.signal = WTERMSIG(status);
      outcome_.exit_code = 128 + outcome_.signal;
    } else {
      outcome_.exit_code = WEXITSTATUS(status);
    }
  }

  const ProcessSpec& spec_;
  ProcessHooks* hooks_;
  const CancelToken* cancel_;
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  UniqueFd out_;
  UniqueFd err_;
  Steady::time_point began_;
  std::optional<Steady::time_point> kill_at_;
  std::vector<char> buffer_ = std::vector<char>(64 * 1024);
  ProcessOutcome outcome_;
};

}  // namespace

CancelToken::CancelToken() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  EZ_CHECK(fd_ >= 0, "no eventfd: out of descriptors");
}

CancelToken::~CancelToken() { ::close(fd_); }

void CancelToken::cancel() {
  cancelled_.store(true, std::memory_order_release);
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t ignored = ::write(fd_, &one, sizeof one);
}

void UniqueFd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<UniqueFd> memory_file(std::string_view name, std::string_view bytes) {
  UniqueFd fd(::memfd_create(std::string(name).c_str(), MFD_CLOEXEC));
  if (!fd.valid()) return io_error("memfd_create");
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t wrote =
        ::pwrite(fd.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (wrote < 0) return io_error("write of an in-memory file");
    done += static_cast<std::size_t>(wrote);
  }
  return fd;
}

Result<ProcessOutcome> run_process(const ProcessSpec& spec, ProcessHooks* hooks, const CancelToken* cancel) {
  // A child that ends before it has read all its input must not end this process with it. Children start with
  // the default again.
  static const bool ignored = [] {
    struct sigaction present {};
    if (::sigaction(SIGPIPE, nullptr, &present) == 0 && present.sa_handler == SIG_DFL)
      ::signal(SIGPIPE, SIG_IGN);
    return true;
  }();
  (void)ignored;
  return Run(spec, hooks, cancel).run();
}

std::string find_program(std::string_view name, std::string_view path) {
  while (!path.empty()) {
    const std::size_t colon = std::min(path.find(':'), path.size());
    std::string candidate(path.substr(0, colon));
    path.remove_prefix(std::min(colon + 1, path.size()));
    candidate += '/';
    candidate += name;
    if (candidate[0] == '/' && ::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

}  // namespace ez::agents
