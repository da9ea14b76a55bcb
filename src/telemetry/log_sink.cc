#include "telemetry/log_sink.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace ez::telemetry {
namespace {

// A pipe that poll() calls writable takes this much without blocking (PIPE_BUF of pipe(7)).
constexpr std::size_t kPipeBytes = 4096;
constexpr int kPollMs = 100;

}  // namespace

LogSink::~LogSink() {
  if (fd_ > STDERR_FILENO) ::close(fd_);
}

Status LogSink::open() {
  if (path_.empty()) {
    fd_ = STDERR_FILENO;
  } else {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd_ < 0) return system_error(Code::IoFailed, Code::DiskFull, "open " + path_, errno);
  }
  struct stat info {};
  const bool known = ::fstat(fd_, &info) == 0;
  slow_ = !known || !S_ISREG(info.st_mode);
  size_ = known && !slow_ ? static_cast<std::uint64_t>(info.st_size) : 0;
  return {};
}

void LogSink::rotate() {
  ::close(fd_);
  fd_ = -1;
  const auto name = [&](int number) { return path_ + "." + std::to_string(number); };
  // Each rename may fail because that file is not there yet; one that fails otherwise only costs an old file.
  for (int i = max_files_ - 1; i >= 1; --i) (void)std::rename(name(i).c_str(), name(i + 1).c_str());
  if (max_files_ > 0) {
    (void)std::rename(path_.c_str(), name(1).c_str());
  } else {
    ::unlink(path_.c_str());
  }
}

std::uint64_t LogSink::write(std::string_view lines, const std::atomic<bool>& give_up) {
  std::uint64_t lost = 0;
  while (!lines.empty()) {
    std::string_view part = lines;
    if (!path_.empty()) {
      const std::uint64_t room = max_file_bytes_ > size_ ? max_file_bytes_ - size_ : 0;
      if (part.size() > room) {
        const auto end =
            room == 0 ? std::string_view::npos : part.rfind('\n', static_cast<std::size_t>(room) - 1);
        if (end != std::string_view::npos) {
          part = part.substr(0, end + 1);
        } else if (size_ > 0) {
          if (fd_ >= 0) rotate();
          size_ = 0;
          continue;
        } else {
          part = part.substr(0, part.find('\n') + 1);  // one line above the size of a file
        }
      }
    }
    lost += write_now(part, give_up);
    lines.remove_prefix(part.size());
  }
  return lost;
}

std::uint64_t LogSink::write_now(std::string_view lines, const std::atomic<bool>& give_up) {
  const auto count = [](std::string_view text) {
    return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
  };
  if (fd_ < 0 && !open().ok()) return count(lines);
  // Waits until a slow reader takes something; false: it does not, and nobody wants to wait any longer.
  const auto may_write = [&] {
    while (slow_) {
      pollfd state{fd_, POLLOUT, 0};
      const int ready = ::poll(&state, 1, kPollMs);
      if (ready > 0) break;
      if (ready == 0 && give_up.load()) return false;
    }
    return true;
  };
  if (mid_line_) {
    if (!may_write() || ::write(fd_, "\n", 1) != 1) return count(lines);
    mid_line_ = false;
    ++size_;
  }
  while (!lines.empty()) {
    if (!may_write()) return count(lines);
    const ssize_t written =
        ::write(fd_, lines.data(), slow_ ? std::min(lines.size(), kPipeBytes) : lines.size());
    if (written < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return count(lines);
    }
    mid_line_ = lines[static_cast<std::size_t>(written) - 1] != '\n';
    lines.remove_prefix(static_cast<std::size_t>(written));
    size_ += static_cast<std::uint64_t>(written);
  }
  return 0;
}

}  // namespace ez::telemetry
