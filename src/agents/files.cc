#include "agents/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>

namespace ez::agents {
namespace {

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};
using Dir = std::unique_ptr<DIR, CloseDir>;

Error io_error(const std::string& what) { return system_error(Code::IoFailed, Code::DiskFull, what, errno); }

Dir open_dir_at(int parent, const char* name) {
  const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return nullptr;
  Dir dir(::fdopendir(fd));
  if (dir == nullptr) ::close(fd);
  return dir;
}

enum class Next { kInto, kSkip, kStop };
using Visitor = std::function<Next(const std::string& path, const char* name, const struct stat& info)>;

// Depth first; false when the visitor stopped it or it was too deep.
bool walk(DIR* dir, const std::string& prefix, std::size_t depth, const Visitor& visit) {
  while (const dirent* entry = ::readdir(dir)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat info {};
    if (::fstatat(::dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    const std::string path = prefix.empty() ? std::string(name) : prefix + "/" + std::string(name);
    const Next next = visit(path, entry->d_name, info);
    if (next == Next::kStop) return false;
    if (next == Next::kSkip || !S_ISDIR(info.st_mode)) continue;
    if (depth + 1 >= kMaxTreeDepth) return false;
    const Dir child = open_dir_at(::dirfd(dir), entry->d_name);
    if (child != nullptr && !walk(child.get(), path, depth + 1, visit)) return false;
  }
  return true;
}

// Removes what is in `dir`. What lies too deep is moved up to `top` (same file system) and met there again.
bool remove_entries(int top, int dir_fd, std::size_t depth, std::uint64_t& moved) {
  Dir dir(::fdopendir(::dup(dir_fd)));
  if (dir == nullptr) return false;
  ::rewinddir(dir.get());  // the copy shares its position with the pass before
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (::unlinkat(dir_fd, entry->d_name, 0) == 0 || errno == ENOENT) continue;
    if (errno != EISDIR && errno != EPERM) return false;
    if (depth >= kMaxTreeDepth) {
      const std::string up = ".ez-removed-" + std::to_string(++moved);
      if (::renameat(dir_fd, entry->d_name, top, up.c_str()) != 0) return false;
      continue;
    }
    if (::unlinkat(dir_fd, entry->d_name, AT_REMOVEDIR) == 0) continue;
    ::fchmodat(dir_fd, entry->d_name, 0700, 0);
    const UniqueFd child(::openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!child.valid() || !remove_entries(top, child.get(), depth + 1, moved)) return false;
    if (::unlinkat(dir_fd, entry->d_name, AT_REMOVEDIR) != 0 && errno != ENOENT) return false;
  }
  return true;
}

}  // namespace

TreeSize tree_size(const std::string& folder, std::uint64_t max_entries) {
  TreeSize size;
  const Dir dir = open_dir_at(AT_FDCWD, folder.c_str());
  if (dir == nullptr) return size;
  size.complete = walk(dir.get(), "", 0, [&](const std::string&, const char*, const struct stat& info) {
    size.bytes += static_cast<std::uint64_t>(info.st_blocks) * 512;
    return ++size.entries > max_entries ? Next::kStop : Next::kInto;
  });
  return size;
}

Status remove_tree(const std::string& folder) {
  ::chmod(folder.c_str(), 0700);
  const UniqueFd top(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!top.valid()) {
    if (errno == ENOENT) return {};
    if (::unlink(folder.c_str()) == 0) return {};
    return io_error("removal of " + folder);
  }
  std::uint64_t moved = 0;
  std::uint64_t before = 0;
  do {  // once more whenever something was moved up while its new place had been passed already
    before = moved;
    if (!remove_entries(top.get(), top.get(), 0, moved)) return io_error("removal of " + folder);
  } while (moved != before);
  if (::rmdir(folder.c_str()) != 0 && errno != ENOENT) return io_error("removal of " + folder);
  return {};
}

TemporaryFolder::TemporaryFolder(std::string_view purpose) {
  std::error_code none;
  const std::string parent = std::filesystem::temp_directory_path(none).string();
  std::string name = (none ? "/tmp" : parent) + "/ez-" + std::string(purpose) + "-XXXXXX";
  if (::mkdtemp(name.data()) != nullptr) path_ = std::move(name);
}

TemporaryFolder::~TemporaryFolder() {
  if (!path_.empty()) (void)remove_tree(path_);
}

Result<std::vector<std::string>> nested_git(const std::string& folder) {
  std::vector<std::string> found;
  const Dir dir = open_dir_at(AT_FDCWD, folder.c_str());
  if (dir == nullptr) return io_error("open of " + folder);
  const bool complete =
      walk(dir.get(), "", 0, [&](const std::string& path, const char* name, const struct stat&) {
        if (::strcasecmp(name, ".git") != 0) return Next::kInto;
        if (path.size() > 4) found.push_back(path);
        return Next::kSkip;
      });
  if (!complete)
    return Error(Code::IoFailed, folder + " has more than " + std::to_string(kMaxTreeDepth) + " levels");
  return found;
}

bool is_plain_tree(const std::string& folder) {
  const Dir dir = open_dir_at(AT_FDCWD, folder.c_str());
  if (dir == nullptr) return false;
  return walk(dir.get(), "", 0, [](const std::string&, const char*, const struct stat& info) {
    const mode_t mode = info.st_mode & 07777;
    const bool plain = S_ISLNK(info.st_mode) || (S_ISDIR(info.st_mode) && mode == 0755) ||
                       (S_ISREG(info.st_mode) && info.st_nlink == 1 && (mode == 0644 || mode == 0755));
    return plain ? Next::kInto : Next::kStop;
  });
}

Result<UniqueFd> open_beneath(const std::string& folder, const std::string& relative) {
  const UniqueFd root(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return io_error("open of " + folder);
  open_how how{};
  how.flags = O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  UniqueFd file(static_cast<int>(::syscall(SYS_openat2, root.get(), relative.c_str(), &how, sizeof how)));
  struct stat info {};
  if (!file.valid()) return system_error(Code::InvalidArgument, Code::DiskFull, relative, errno);
  if (::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return Error(Code::InvalidArgument, relative + " is not a regular file");
  }
  return file;
}

Result<std::string> read_all(int fd, std::size_t max_bytes) {
  std::string text;
  std::vector<char> buffer(64 * 1024);
  while (true) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return io_error("read");
    if (got == 0) return text;
    if (text.size() + static_cast<std::size_t>(got) > max_bytes) {
      return Error(Code::PayloadTooLarge, "more than " + std::to_string(max_bytes) + " bytes");
    }
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

Result<std::string> read_file(const std::string& path, std::size_t max_bytes) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) return io_error("open of " + path);
  auto text = read_all(file.get(), max_bytes);
  if (!text.ok()) return text.error().in(path);
  return text;
}

Status write_file(const std::string& path, std::string_view bytes, unsigned mode) {
  const std::string aside = path + ".new";
  ::unlink(aside.c_str());
  {
    const UniqueFd file(::open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!file.valid()) return io_error("creation of " + aside);
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t wrote = ::write(file.get(), bytes.data() + done, bytes.size() - done);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return io_error("write of " + aside);
      done += static_cast<std::size_t>(wrote);
    }
  }
  if (::rename(aside.c_str(), path.c_str()) != 0) return io_error("rename to " + path);
  return {};
}

Status make_folders(const std::string& path) {
  std::size_t at = 0;
  while (at != std::string::npos) {
    at = path.find('/', at + 1);
    const std::string part = path.substr(0, at);
    if (::mkdir(part.c_str(), 0755) != 0 && errno != EEXIST) return io_error("creation of " + part);
  }
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return Error(Code::IoFailed, path + " is not a folder");
  }
  return {};
}

FileList list_files(const std::string& folder, std::size_t max_files) {
  FileList list;
  const Dir dir = open_dir_at(AT_FDCWD, folder.c_str());
  if (dir == nullptr) return list;
  list.complete = walk(dir.get(), "", 0, [&](const std::string& path, const char*, const struct stat& info) {
    if (S_ISDIR(info.st_mode)) return Next::kInto;
    if (list.files.size() + list.refused.size() >= max_files) return Next::kStop;
    (S_ISREG(info.st_mode) ? list.files : list.refused).push_back(path);
    return Next::kInto;
  });
  std::sort(list.files.begin(), list.files.end());
  std::sort(list.refused.begin(), list.refused.end());
  return list;
}

}  // namespace ez::agents
