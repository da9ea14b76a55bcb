#include "agents/llm/tree_files.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "agents/artifacts.h"
#include "agents/work_item.h"

namespace ez::agents {
namespace {

Error refuse(std::string_view path, std::string_view why) {
  return Error(Code::InvalidArgument, std::string(path.substr(0, 300)) + ": " + std::string(why));
}

int open_at(int folder, const std::string& path, std::uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how));
}

Error open_error(std::string_view path, int number) {
  if (number == ENOENT) return refuse(path, "there is no such file");
  if (number == ELOOP) return refuse(path, "symbolic links are not followed");
  if (number == EXDEV) return refuse(path, "it lies outside of the workspace");
  if (number == ENOTDIR) return refuse(path, "a part of the path is not a folder");
  return system_error(Code::InvalidArgument, Code::DiskFull, path, number);
}

bool names_git(std::string_view path) {
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    if (slash == 4 && ::strncasecmp(path.data(), ".git", 4) == 0) return true;
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return false;
}

std::pair<std::string, std::string> split(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace

Result<std::string> TreeFiles::clean(std::string_view given) {
  std::string_view path = given;
  if (path == "/workspace" || path == "/workspace/") path = ".";
  if (path.starts_with("/workspace/")) path.remove_prefix(11);
  while (path.starts_with("./")) path.remove_prefix(2);
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  if (path.empty() || path == ".") return std::string();
  if (path[0] == '/') return refuse(given, "give a path relative to the workspace");
  if (!is_safe_path(path)) return refuse(given, "a path may not hold \"..\" or empty parts");
  if (names_git(path)) return refuse(given, "what is named .git belongs to ez");
  return std::string(path);
}

Result<UniqueFd> TreeFiles::open_folder(const std::string& folder, bool create) const {
  UniqueFd at(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!at.valid()) return system_error(Code::IoFailed, Code::DiskFull, "open of the workspace", errno);
  std::string_view rest = folder;
  while (!rest.empty()) {
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    const std::string part(rest.substr(0, slash));
    rest.remove_prefix(std::min(slash + 1, rest.size()));
    if (create && ::mkdirat(at.get(), part.c_str(), 0755) != 0 && errno != EEXIST)
      return open_error(folder, errno);
    UniqueFd next(open_at(at.get(), part, O_RDONLY | O_DIRECTORY));
    if (!next.valid()) return open_error(folder, errno);
    at = std::move(next);
  }
  return at;
}

Result<std::string> TreeFiles::read(std::string_view given) const {
  EZ_ASSIGN(const std::string path, clean(given));
  if (path.empty()) return refuse(given, "that is a folder");
  EZ_ASSIGN(const UniqueFd root, open_folder("", false));
  const UniqueFd file(open_at(root.get(), path, O_RDONLY | O_NONBLOCK));
  if (!file.valid()) return open_error(given, errno);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode))
    return refuse(given, S_ISDIR(info.st_mode) ? "that is a folder" : "that is not a regular file");
  auto text = read_all(file.get(), kMaxToolFileBytes);
  if (!text.ok()) return refuse(given, text.error().message());
  return text;
}

bool TreeFiles::exists(std::string_view given) const {
  const auto path = clean(given);
  if (!path.ok()) return false;
  const auto [folder, name] = split(*path);
  const auto at = open_folder(folder, false);
  struct stat info {};
  return at.ok() && ::fstatat(at->get(), name.empty() ? "." : name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
}

Status TreeFiles::write(std::string_view given, std::string_view bytes, bool executable) const {
  if (bytes.size() > kMaxToolFileBytes)
    return refuse(given, "a file may have at most " + std::to_string(kMaxToolFileBytes) + " bytes");
  EZ_ASSIGN(const std::string path, clean(given));
  if (path.empty()) return refuse(given, "that is a folder");
  const auto [folder, name] = split(path);
  EZ_ASSIGN(const UniqueFd at, open_folder(folder, true));
  mode_t mode = executable ? 0755 : 0644;
  struct stat info {};
  if (::fstatat(at.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
    if (S_ISLNK(info.st_mode)) return refuse(given, "symbolic links are not followed");
    if (!S_ISREG(info.st_mode)) return refuse(given, "that is not a regular file");
    mode = (info.st_mode & 0111) != 0 ? 0755 : 0644;
  }
  static std::atomic<std::uint64_t> counter{0};
  const std::string aside =
      ".ez-new-" + std::to_string(::getpid()) + "-" + std::to_string(counter.fetch_add(1));
  {
    const UniqueFd file(
        ::openat(at.get(), aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!file.valid()) return open_error(given, errno);
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t wrote = ::write(file.get(), bytes.data() + done, bytes.size() - done);
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) {
        const int number = errno;
        ::unlinkat(at.get(), aside.c_str(), 0);
        return system_error(Code::IoFailed, Code::DiskFull, "write of " + path, number);
      }
      done += static_cast<std::size_t>(wrote);
    }
    ::fchmod(file.get(), mode);
  }
  if (::renameat(at.get(), aside.c_str(), at.get(), name.c_str()) != 0) {
    const int number = errno;
    ::unlinkat(at.get(), aside.c_str(), 0);
    return open_error(given, number);
  }
  return {};
}

Status TreeFiles::remove(std::string_view given) const {
  EZ_ASSIGN(const std::string path, clean(given));
  if (path.empty()) return refuse(given, "that is the workspace");
  const auto [folder, name] = split(path);
  EZ_ASSIGN(const UniqueFd at, open_folder(folder, false));
  if (::unlinkat(at.get(), name.c_str(), 0) != 0) return open_error(given, errno);
  return {};
}

Result<FileList> TreeFiles::list(std::string_view given, std::string_view glob) const {
  EZ_ASSIGN(const std::string folder, clean(given));
  if (!folder.empty()) EZ_TRY(open_folder(folder, false));
  // From the root, so that no link on the way to the folder is followed; links are listed as refused.
  const FileList all = list_files(root_, kMaxTreeListing);
  FileList out;
  out.complete = all.complete;
  const std::string prefix = folder.empty() ? "" : folder + "/";
  const auto take = [&](const std::vector<std::string>& from, std::vector<std::string>& to) {
    for (const std::string& path : from) {
      if (!path.starts_with(prefix) || names_git(path)) continue;
      if (!glob.empty() && !matches_glob(glob, path) &&
          !(glob.find('/') == std::string_view::npos && matches_glob(glob, path.substr(path.rfind('/') + 1))))
        continue;
      to.push_back(path);
    }
  };
  take(all.files, out.files);
  take(all.refused, out.refused);
  return out;
}

}  // namespace ez::agents
