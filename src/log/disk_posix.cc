#include "log/disk_posix.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ez::log {
namespace {

Error failed(const char* call, const std::string& path) {
  const int number = errno;
  return system_error(Code::IoFailed, Code::DiskFull, std::string(call) + " " + path, number);
}

// Why a directory cannot be used, in the words of the catalogue.
Error unusable(const char* call, const std::string& path) {
  const int number = errno;
  return system_error(Code::DataDirUnusable, Code::LogDiskFull, std::string(call) + " " + path, number);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

int open_retrying(const std::string& path, int flags) {
  int fd = -1;
  do fd = ::open(path.c_str(), flags | O_CLOEXEC, 0640);
  while (fd < 0 && errno == EINTR);
  return fd;
}

class PosixFile final : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

  Status pwrite(std::uint64_t offset, std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t count = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return failed("pwrite", path_);
      bytes.remove_prefix(static_cast<std::size_t>(count));
      offset += static_cast<std::uint64_t>(count);
    }
    return {};
  }

  Result<std::size_t> pread(std::uint64_t offset, std::span<char> out) override {
    std::size_t done = 0;
    while (done < out.size()) {
      const ssize_t count =
          ::pread(fd_.get(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return failed("pread", path_);
      if (count == 0) break;
      done += static_cast<std::size_t>(count);
    }
    return done;
  }

  Status sync() override {
    // Not retried, not even after EINTR: the kernel may have dropped the error together with the pages.
    if (::fdatasync(fd_.get()) != 0) return failed("fdatasync", path_);
    return {};
  }

  Status truncate(std::uint64_t bytes) override {
    if (::ftruncate(fd_.get(), static_cast<off_t>(bytes)) != 0) return failed("ftruncate", path_);
    return {};
  }

  Status preallocate(std::uint64_t bytes) override {
    // posix_fallocate also works where the file system has no fallocate (it then writes zeros itself).
    int error = 0;
    do error = ::posix_fallocate(fd_.get(), 0, static_cast<off_t>(bytes));
    while (error == EINTR);
    errno = error;
    if (error != 0) return failed("fallocate", path_);
    return {};
  }

  Result<std::uint64_t> size() override {
    struct stat info {};
    if (::fstat(fd_.get(), &info) != 0) return failed("fstat", path_);
    return static_cast<std::uint64_t>(info.st_size);
  }

 private:
  Descriptor fd_;
  std::string path_;
};

class PosixLock final : public DiskLock {
 public:
  explicit PosixLock(int fd) : fd_(fd) {}

 private:
  Descriptor fd_;  // flock ends with the descriptor; the file stays, removing it would race with a new holder
};

Error held(const std::string& path, int fd) {
  char text[64] = {};
  const ssize_t count = ::pread(fd, text, sizeof text - 1, 0);
  std::string holder(text, count > 0 ? static_cast<std::size_t>(count) : 0);
  while (!holder.empty() && (holder.back() < '0' || holder.back() > '9')) holder.pop_back();
  return Error(
      Code::DataDirLocked,
      path + " is held by " + (holder.empty() ? std::string("another process") : "process " + holder));
}

class PosixDisk final : public Disk {
 public:
  Result<std::unique_ptr<File>> create(const std::string& path) override {
    const int fd = open_retrying(path, O_RDWR | O_CREAT | O_EXCL);
    if (fd < 0) return failed("create", path);
    return std::unique_ptr<File>(std::make_unique<PosixFile>(fd, path));
  }

  Result<std::unique_ptr<File>> open(const std::string& path, bool writable) override {
    const int fd = open_retrying(path, writable ? O_RDWR : O_RDONLY);
    if (fd < 0) return failed("open", path);
    return std::unique_ptr<File>(std::make_unique<PosixFile>(fd, path));
  }

  Status rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return failed("rename", from);
    return {};
  }

  Status unlink(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return failed("unlink", path);
    return {};
  }

  Result<std::vector<std::string>> list(const std::string& directory) override {
    DIR* dir = ::opendir(directory.c_str());
    if (dir == nullptr) return unusable("opendir", directory);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(dir)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
      errno = 0;
    }
    const int error = errno;
    ::closedir(dir);
    errno = error;
    if (error != 0) return unusable("readdir", directory);
    std::sort(names.begin(), names.end());
    return names;
  }

  Status make_directory(const std::string& directory) override {
    const bool created = ::mkdir(directory.c_str(), 0750) == 0;
    if (!created) {
      if (errno != EEXIST) return unusable("mkdir", directory);
      struct stat info {};
      if (::stat(directory.c_str(), &info) != 0) return unusable("stat", directory);
      if (!S_ISDIR(info.st_mode)) return Error(Code::DataDirUnusable, directory + " is not a directory");
    }
    std::string trimmed = directory;
    while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
    const auto slash = trimmed.rfind('/');
    const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : trimmed.substr(0, slash);
    // Also when it existed: an earlier process may have died between mkdir and the sync. A parent that this
    // user may not read was not created by this user either.
    const Descriptor fd(open_retrying(parent, O_RDONLY | O_DIRECTORY));
    if (fd.get() < 0 && !created) return {};
    if (fd.get() < 0 || ::fsync(fd.get()) != 0) return unusable("fsync", parent);
    return {};
  }

  Status sync_dir(const std::string& directory) override {
    const Descriptor fd(open_retrying(directory, O_RDONLY | O_DIRECTORY));
    if (fd.get() < 0) return failed("open", directory);
    if (::fsync(fd.get()) != 0) return failed("fsync", directory);
    return {};
  }

  Result<std::uint64_t> free_bytes(const std::string& directory) override {
    struct statvfs info {};
    if (::statvfs(directory.c_str(), &info) != 0) return failed("statvfs", directory);
    return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
  }

  Result<std::unique_ptr<DiskLock>> lock(const std::string& path) override {
    Descriptor fd(open_retrying(path, O_RDWR | O_CREAT));
    if (fd.get() < 0) return unusable("open", path);
    EZ_TRY(take(fd, path));
    const std::string text = std::to_string(::getpid()) + "\n";
    if (::ftruncate(fd.get(), 0) != 0 ||
        ::pwrite(fd.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
      return unusable("write", path);
    }
    return std::unique_ptr<DiskLock>(std::make_unique<PosixLock>(fd.release()));
  }

  Result<std::unique_ptr<DiskLock>> lock_existing(const std::string& path) override {
    Descriptor fd(open_retrying(path, O_RDONLY));
    if (fd.get() < 0 && errno == ENOENT) return std::unique_ptr<DiskLock>();
    if (fd.get() < 0) return unusable("open", path);
    EZ_TRY(take(fd, path));
    return std::unique_ptr<DiskLock>(std::make_unique<PosixLock>(fd.release()));
  }

 private:
  static Status take(const Descriptor& fd, const std::string& path) {
    int result = 0;
    do result = ::flock(fd.get(), LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    if (result == 0) return {};
    if (errno == EWOULDBLOCK) return held(path, fd.get());
    return unusable("flock", path);
  }
};

}  // namespace

Disk& posix_disk() {
  static PosixDisk disk;
  return disk;
}

}  // namespace ez::log
