#include "agents/orphans.h"

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <cctype>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string_view>

namespace ez::agents {
namespace {

constexpr std::string_view kVariable = "EZ_SANDBOX_OWNER=";
constexpr std::size_t kMaxEnvironment = 4096;  // bwrap's holds two short variables

std::string read_start(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxEnvironment, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

// The parent's id from /proc/<pid>/stat: the second field after the command name in parentheses.
pid_t parent_of(const std::string& folder) {
  const std::string stat = read_start(folder + "/stat");
  const auto end = stat.rfind(')');
  if (end == std::string::npos || end + 4 > stat.size()) return 0;
  return static_cast<pid_t>(std::strtol(stat.c_str() + end + 4, nullptr, 10));
}

}  // namespace

std::string sandbox_owner_variable() { return std::string(kVariable) + std::to_string(::getpid()); }

std::size_t kill_orphaned_sandboxes() {
  DIR* processes = ::opendir("/proc");
  if (processes == nullptr) return 0;
  std::size_t killed = 0;
  while (const dirent* entry = ::readdir(processes)) {
    if (std::isdigit(static_cast<unsigned char>(entry->d_name[0])) == 0) continue;
    const std::string folder = std::string("/proc/") + entry->d_name;
    // The environment of another user's process cannot be read, so only our own are found.
    const std::string environment = read_start(folder + "/environ");
    const auto at = environment.find(kVariable);
    if (at == std::string::npos || (at > 0 && environment[at - 1] != '\0')) continue;
    const auto owner =
        static_cast<pid_t>(std::strtol(environment.c_str() + at + kVariable.size(), nullptr, 10));
    const pid_t parent = parent_of(folder);
    // A living sandbox is the child of its worker or of its outer process; only an orphan is process 1's
    // child.
    if (parent != 1 || owner == 1) continue;
    if (::kill(static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10)), SIGKILL) == 0) ++killed;
  }
  ::closedir(processes);
  return killed;
}

}  // namespace ez::agents
