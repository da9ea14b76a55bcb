// An exclusive lock between threads and processes: flock(2) on a file. The kernel frees it when its holder
// dies.
#pragma once

#include <chrono>
#include <string>

#include "agents/process.h"
#include "base/result.h"

namespace ez::agents {

class FileLock {
 public:
  // Waits at most `wait`. REPOSITORY_BUSY after that; IO_FAILED when the file cannot be opened.
  [[nodiscard]] static Result<FileLock> acquire(const std::string& path, std::chrono::milliseconds wait);

 private:
  explicit FileLock(UniqueFd file) : file_(std::move(file)) {}
  UniqueFd file_;
};

}  // namespace ez::agents
