#include "agents/process_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <set>
#include <string>
#include <string_view>

namespace ez::agents {
namespace {

constexpr std::size_t kMaxProcFileBytes = 256 * 1024;

std::string read_proc(pid_t pid, const char* name) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::string text;
  if (fd < 0) return text;
  char buffer[4096];
  ssize_t got = 0;
  while (text.size() < kMaxProcFileBytes && (got = ::read(fd, buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  ::close(fd);
  return text;
}

std::uint64_t number_at(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// The kB figure of a "Name:  123 kB" line, in bytes.
std::uint64_t field_bytes(std::string_view text, std::string_view name) {
  const std::size_t at = text.find(name);
  return at == std::string_view::npos ? 0 : number_at(text.substr(at + name.size())) * 1024;
}

// /proc/PID/stat, proc(5): after the parenthesised name come state (field 3) …; 14 to 17 are utime, stime,
// cutime, cstime.
std::uint64_t cpu_ticks(pid_t pid) {
  const std::string stat = read_proc(pid, "stat");
  std::size_t at = stat.rfind(')');
  if (at == std::string::npos) return 0;
  std::uint64_t ticks = 0;
  int field = 2;
  while (at < stat.size() && field < 17) {
    at = stat.find(' ', at + 1);
    if (at == std::string::npos) break;
    ++field;
    if (field >= 14) ticks += number_at(std::string_view(stat).substr(at));
  }
  return ticks;
}

std::uint64_t plain_memory(pid_t pid) {
  const std::string status = read_proc(pid, "status");
  return field_bytes(status, "RssAnon:") + field_bytes(status, "RssShmem:");
}

}  // namespace

std::vector<pid_t> descendants(pid_t root, std::size_t max_processes) {
  std::vector<pid_t> found;
  std::vector<pid_t> pending{root};
  while (!pending.empty() && found.size() < max_processes) {
    const pid_t pid = pending.back();
    pending.pop_back();
    // Children belong to the thread that forked them.
    const std::string task_dir = "/proc/" + std::to_string(pid) + "/task";
    DIR* tasks = ::opendir(task_dir.c_str());
    if (tasks == nullptr) continue;
    while (const dirent* entry = ::readdir(tasks)) {
      if (entry->d_name[0] == '.') continue;
      const std::string text = read_proc(pid, ("task/" + std::string(entry->d_name) + "/children").c_str());
      std::size_t at = 0;
      while (at < text.size() && found.size() < max_processes) {
        const pid_t child = static_cast<pid_t>(number_at(std::string_view(text).substr(at)));
        if (child > 0) {
          found.push_back(child);
          pending.push_back(child);
        }
        at = text.find(' ', at + 1);
        if (at == std::string::npos) break;
      }
    }
    ::closedir(tasks);
  }
  return found;
}

TreeUsage measure_tree(pid_t root, std::size_t max_processes) {
  TreeUsage usage;
  std::uint64_t ticks = cpu_ticks(root);
  for (const pid_t pid : descendants(root, max_processes)) {
    ++usage.processes;
    usage.memory_bytes += plain_memory(pid);
    ticks += cpu_ticks(pid);
  }
  usage.cpu_ms = ticks * 1000 / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  return usage;
}

std::uint64_t proportional_memory(pid_t root, std::size_t max_processes) {
  std::uint64_t bytes = 0;
  for (const pid_t pid : descendants(root, max_processes)) {
    const std::string rollup = read_proc(pid, "smaps_rollup");
    bytes += rollup.empty() ? plain_memory(pid)
                            : field_bytes(rollup, "Pss_Anon:") + field_bytes(rollup, "Pss_Shmem:");
  }
  return bytes;
}

std::uint64_t deleted_file_bytes(pid_t root, std::size_t max_processes, dev_t device) {
  std::set<ino_t> seen;
  std::uint64_t bytes = 0;
  for (const pid_t pid : descendants(root, max_processes)) {
    const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
    DIR* fds = ::opendir(folder.c_str());
    if (fds == nullptr) continue;
    while (const dirent* entry = ::readdir(fds)) {
      struct stat info {};
      if (entry->d_name[0] == '.' || ::fstatat(::dirfd(fds), entry->d_name, &info, 0) != 0) continue;
      if (!S_ISREG(info.st_mode) || info.st_nlink != 0 || info.st_dev != device) continue;
      if (seen.insert(info.st_ino).second) bytes += static_cast<std::uint64_t>(info.st_blocks) * 512;
    }
    ::closedir(fds);
  }
  return bytes;
}

void signal_descendants(pid_t root, int signal_number, std::size_t max_processes) {
  for (const pid_t pid : descendants(root, max_processes)) ::kill(pid, signal_number);
}

}  // namespace ez::agents
