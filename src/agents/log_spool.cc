#include "agents/log_spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <vector>

namespace ez::agents {
namespace {

constexpr std::chrono::milliseconds kGather{
    150};  // so that a chatty command does not make one request per line
constexpr std::chrono::milliseconds kFirstPause{100};
constexpr std::chrono::milliseconds kLongestPause{5000};

}  // namespace

Result<std::unique_ptr<LogSpool>> LogSpool::open(const std::string& path, LogPort& port) {
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.valid()) return system_error(Code::IoFailed, Code::DiskFull, "creation of " + path, errno);
  return std::unique_ptr<LogSpool>(new LogSpool(std::move(file), port));
}

LogSpool::LogSpool(UniqueFd file, LogPort& port) : file_(std::move(file)), port_(port) {
  thread_ = std::thread([this] { upload(); });
}

LogSpool::~LogSpool() {
  if (thread_.joinable()) [[maybe_unused]]
    const Status dropped = finish(std::chrono::milliseconds(0));
}

void LogSpool::append(std::string_view bytes) {
  std::lock_guard lock(mutex_);
  while (!bytes.empty()) {
    const ssize_t wrote = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(written_));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      if (failure_.ok())
        failure_ = system_error(Code::IoFailed, Code::DiskFull, "write of the task's log", errno);
      break;
    }
    written_ += static_cast<std::uint64_t>(wrote);
    bytes.remove_prefix(static_cast<std::size_t>(wrote));
  }
  changed_.notify_all();
}

void LogSpool::note(std::string_view text) { append("[ez] " + std::string(text) + "\n"); }

Status LogSpool::finish(std::chrono::milliseconds wait) {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    give_up_ = std::chrono::steady_clock::now() + wait;
  }
  changed_.notify_all();
  thread_.join();
  return failure_;
}

void LogSpool::upload() {
  std::vector<char> chunk(kMaxLogChunk);
  std::optional<std::uint64_t> base;  // where our first byte goes
  std::chrono::milliseconds pause = kFirstPause;
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return closing_ || written_ > uploaded_; });
    if (uploaded_ == written_) return;  // closing, and all is there
    if (!closing_ && written_ - uploaded_ < kMaxLogChunk) {
      changed_.wait_for(lock, kGather, [&] { return closing_ || written_ - uploaded_ >= kMaxLogChunk; });
    }
    const std::uint64_t at = uploaded_;
    const std::size_t length = static_cast<std::size_t>(std::min<std::uint64_t>(kMaxLogChunk, written_ - at));
    lock.unlock();
    Status sent;
    if (!base) {
      if (auto size = port_.size(); size.ok()) {
        base = *size;
      } else {
        sent = size.error();
      }
    }
    if (sent.ok()) {
      const ssize_t got = ::pread(file_.get(), chunk.data(), length, static_cast<off_t>(at));
      sent = got == static_cast<ssize_t>(length)
                 ? port_.append(*base + at, std::string_view(chunk.data(), length))
                 : Status(Error(Code::IoFailed, "the task's log cannot be read back"));
    }
    lock.lock();
    if (sent.ok()) {
      uploaded_ = at + length;
      pause = kFirstPause;
      continue;
    }
    if (!sent.error().retry() || std::chrono::steady_clock::now() + pause > give_up_) {
      if (failure_.ok()) failure_ = sent;
      return;
    }
    changed_.wait_until(lock, std::min(give_up_, std::chrono::steady_clock::now() + pause),
                        [&] { return closing_ && std::chrono::steady_clock::now() >= give_up_; });
    pause = std::min(pause * 2, kLongestPause);
  }
}

}  // namespace ez::agents
