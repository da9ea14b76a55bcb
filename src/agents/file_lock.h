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

  // For a child process: it holds the lock as well while it has this descriptor.
  [[nodiscard]] int fd() const { return file_.get(); }

  // Frees the lock and takes its file away. Whoever waits for it goes on with a new file.
  void remove();

 private:
  FileLock(std::string path, UniqueFd file) : path_(std::move(path)), file_(std::move(file)) {}
  std::string path_;
  UniqueFd file_;
};

}  // namespace ez::agents
