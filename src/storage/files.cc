#include "storage/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>

namespace ez::storage {

Fd::~Fd() { reset(); }
void Fd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Error file_error(std::string_view call, const std::string& path, int error_number) {
  return system_error(Code::IoFailed, Code::DiskFull, std::string(call) + " " + path, error_number);
}

Status make_folders(const std::string& path) {
  for (std::size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
    const std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), 0700) == 0) {
      const auto slash = part.rfind('/');
      EZ_TRY(sync_folder(slash == std::string::npos ? "." : slash == 0 ? "/" : part.substr(0, slash)));
    } else if (errno != EEXIST && errno != EISDIR) {
      return file_error("mkdir", part, errno);
    }
    if (at == std::string::npos) return {};
  }
}

Status sync_folder(const std::string& path) {
  const Fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) return file_error("open", path, errno);
  if (::fsync(folder.get()) != 0) return file_error("fsync", path, errno);
  return {};
}

Status write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return file_error("write", path, errno);
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<std::string> read_at(int fd, std::uint64_t offset, std::size_t limit, const std::string& path) {
  std::string out(limit, '\0');
  std::size_t have = 0;
  while (have < limit) {
    const ssize_t got = ::pread(fd, out.data() + have, limit - have, static_cast<off_t>(offset + have));
    if (got < 0) {
      if (errno == EINTR) continue;
      return file_error("read", path, errno);
    }
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  out.resize(have);
  return out;
}

Result<std::uint64_t> free_bytes(const std::string& path) {
  struct statvfs stats {};
  if (::statvfs(path.c_str(), &stats) != 0) return file_error("statvfs", path, errno);
  return static_cast<std::uint64_t>(stats.f_bavail) * stats.f_frsize;
}

}  // namespace ez::storage
