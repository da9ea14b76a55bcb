#include "agents/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <thread>

namespace ez::agents {

Result<FileLock> FileLock::acquire(const std::string& path, std::chrono::milliseconds wait) {
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file.valid()) return system_error(Code::IoFailed, Code::DiskFull, "open of " + path, errno);
  const auto until = std::chrono::steady_clock::now() + wait;
  std::chrono::microseconds pause{500};
  // flock has no time limit of its own, so ask again, at most 50 times a second.
  while (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR)
      return system_error(Code::IoFailed, Code::DiskFull, "lock of " + path, errno);
    if (std::chrono::steady_clock::now() >= until) {
      return Error(Code::RepositoryBusy,
                   path + " was held for " + std::to_string(wait.count()) + " ms by another");
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::microseconds(20'000));
  }
  return FileLock(std::move(file));
}

}  // namespace ez::agents
