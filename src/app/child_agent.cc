#include "app/child_agent.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "telemetry/log.h"

namespace ez::app {

ChildAgent::ChildAgent(std::vector<std::string> argv) : argv_(std::move(argv)), thread_([this] { run(); }) {}

ChildAgent::~ChildAgent() { stop(std::chrono::milliseconds(0)); }

void ChildAgent::run() {
  auto pause = kFirstPause;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const auto started = std::chrono::steady_clock::now();
    live_once();
    if (std::chrono::steady_clock::now() - started > kSteady) pause = kFirstPause;
    lock.lock();
    if (stopping_) return;
    EZ_LOG(kWarning, "up", "the embedded worker ended and is started again", {"pause_ms", pause.count()});
    changed_.wait_for(lock, pause, [&] { return stopping_; });
    pause = std::min(pause * 2, kLongestPause);
  }
}

void ChildAgent::live_once() {
  std::vector<char*> argv;
  for (const std::string& argument : argv_) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t parent = ::getpid();
  pid_t child = 0;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    child = ::fork();
    if (child == 0) {
      // Only calls that are safe in the child of a process with threads.
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(127);
      ::setpgid(0, 0);  // Ctrl-C in the server's terminal is the server's to handle
      sigset_t none;
      sigemptyset(&none);
      ::sigprocmask(SIG_SETMASK, &none, nullptr);
      const int null = ::open("/dev/null", O_RDWR);
      if (null >= 0) {
        ::dup2(null, STDIN_FILENO);
        ::dup2(null, STDOUT_FILENO);
      }
      ::execv("/proc/self/exe", argv.data());  // this very program, even when its file was replaced
      ::_exit(127);
    }
    if (child > 0) pid_ = child;
  }
  if (child < 0) {
    EZ_LOG(kError, "up", "the embedded worker cannot be started", {"errno", errno});
    return;
  }
  EZ_LOG(kInfo, "up", "embedded worker started", {"pid", child});
  // Waits without reaping first, so that stop() never signals a process id that is somebody else's by then.
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
  }
  std::lock_guard lock(mutex_);
  pid_ = 0;
  int status = 0;
  ::waitpid(child, &status, 0);
  changed_.notify_all();
  if (!stopping_) EZ_LOG(kWarning, "up", "embedded worker ended", {"pid", child}, {"status", status});
}

void ChildAgent::stop(std::chrono::milliseconds patience) {
  {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    if (pid_ != 0) ::kill(pid_, SIGTERM);
    if (!changed_.wait_for(lock, patience, [&] { return pid_ == 0; })) {
      EZ_LOG(kWarning, "up", "the embedded worker does not end and is killed", {"pid", pid_});
      ::kill(pid_, SIGKILL);
    }
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace ez::app
