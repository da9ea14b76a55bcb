#include "agents/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

namespace ez::agents {

namespace {

// Whether the open file is still the one of that name: its last holder may have removed it meanwhile.
bool is_current(int fd, const std::string& path) {
  struct stat opened {};
  struct stat named {};
  return ::fstat(fd, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

}  // namespace

Result<FileLock> FileLock::acquire(const std::string& path, std::chrono::milliseconds wait) {
  const auto until = std::chrono::steady_clock::now() + wait;
  std::chrono::microseconds pause{500};
  // Those that wait long must not ask less often than those that have just come, or they starve.
  constexpr std::chrono::microseconds kMaxPause{4'000};
  UniqueFd file;
  // flock has no time limit of its own, so ask again.
  while (true) {
    if (!file.valid()) {
      file = UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
      if (!file.valid()) return system_error(Code::IoFailed, Code::DiskFull, "open of " + path, errno);
    }
    if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) {
      if (is_current(file.get(), path)) return FileLock(path, std::move(file));
      file.reset();
    } else if (errno != EWOULDBLOCK && errno != EINTR) {
      return system_error(Code::IoFailed, Code::DiskFull, "lock of " + path, errno);
    }
    if (std::chrono::steady_clock::now() >= until) {
      return Error(Code::RepositoryBusy,
                   path + " was held for " + std::to_string(wait.count()) + " ms by another");
    }
    if (!file.valid()) continue;
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kMaxPause);
  }
}

void FileLock::remove() {
  if (file_.valid()) ::unlink(path_.c_str());
  file_.reset();
}

}  // namespace ez::agents
