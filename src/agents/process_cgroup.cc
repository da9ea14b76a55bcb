#include "agents/process_cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <fstream>
#include <string_view>
#include <vector>

#include "agents/process.h"

namespace ez::agents {
namespace {

constexpr std::string_view kPrefix = "ez-sandbox-";  // then the worker's process id, "-" and a number
constexpr int kMaxLines = 4096;

bool write_text(const std::string& path, const std::string& text) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return file.valid() && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

bool lists(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    if (list.substr(0, comma) == word) return true;
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  }
  return false;
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const std::size_t space = line.find(' ');
    words.push_back(line.substr(0, space));
    line = space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
  }
  return words;
}

// /proc/self/mountinfo, proc(5): … root(3) mountpoint(4) options(5) [tags…] "-" type source super-options.
// Where the hierarchy is mounted, "" when it is not or only a part of it is.
std::string mount_point(bool version_2) {
  std::ifstream file("/proc/self/mountinfo");
  std::string line;
  for (int i = 0; i < kMaxLines && std::getline(file, line); ++i) {
    const std::vector<std::string_view> words = words_of(line);
    std::size_t dash = 6;
    while (dash < words.size() && words[dash] != "-") ++dash;
    if (dash + 3 >= words.size() || words[3] != "/") continue;
    const bool fits = version_2 ? words[dash + 1] == "cgroup2"
                                : words[dash + 1] == "cgroup" && lists(words[dash + 3], "pids");
    if (fits) return std::string(words[4]);
  }
  return {};
}

// /proc/self/cgroup: "hierarchy:controllers:path"; version 2 is "0::path".
std::string own_path(bool version_2) {
  std::ifstream file("/proc/self/cgroup");
  std::string line;
  for (int i = 0; i < kMaxLines && std::getline(file, line); ++i) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string_view controllers = std::string_view(line).substr(first + 1, second - first - 1);
    const bool fits = version_2 ? controllers.empty() && line.starts_with("0:") : lists(controllers, "pids");
    if (fits) return line.substr(second + 1);
  }
  return {};
}

// The worker's own cgroup in the hierarchy that has the pids controller; at most one of the two has it.
std::vector<std::string> own_cgroups() {
  std::vector<std::string> found;
  for (const bool version_2 : {false, true}) {
    const std::string mount = mount_point(version_2);
    const std::string path = own_path(version_2);
    if (mount.empty() || path.empty()) continue;
    std::string folder = mount + (path == "/" ? "" : path);
    // The pids controller is a threaded one: a group that has processes may still hand it to its children.
    if (version_2) write_text(folder + "/cgroup.subtree_control", "+pids");
    found.push_back(std::move(folder));
  }
  return found;
}

}  // namespace

ProcessCgroup::~ProcessCgroup() {
  if (!folder_.empty()) ::rmdir(folder_.c_str());
}

bool ProcessCgroup::hold(pid_t process, std::size_t max_processes) {
  static std::atomic<std::uint64_t> next{0};
  for (const std::string& parent : own_cgroups()) {
    const std::string folder = parent + "/" + std::string(kPrefix) + std::to_string(::getpid()) + "-" +
                               std::to_string(next.fetch_add(1));
    if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) continue;
    if (write_text(folder + "/pids.max", std::to_string(max_processes)) &&
        write_text(folder + "/cgroup.procs", std::to_string(process))) {
      folder_ = folder;
      return true;
    }
    ::rmdir(folder.c_str());
  }
  return false;
}

std::size_t remove_stale_cgroups() {
  std::size_t removed = 0;
  for (const std::string& parent : own_cgroups()) {
    DIR* folder = ::opendir(parent.c_str());
    if (folder == nullptr) continue;
    std::vector<std::string> stale;
    while (const dirent* entry = ::readdir(folder)) {
      const std::string_view name = entry->d_name;
      if (!name.starts_with(kPrefix)) continue;
      pid_t owner = 0;
      std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), owner);
      if (owner > 0 && owner != ::getpid() && ::kill(owner, 0) != 0 && errno == ESRCH) {
        stale.push_back(parent + "/" + std::string(name));
      }
    }
    ::closedir(folder);
    for (const std::string& path : stale) removed += ::rmdir(path.c_str()) == 0 ? 1 : 0;
  }
  return removed;
}

}  // namespace ez::agents
