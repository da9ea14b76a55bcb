// What a sandbox sees of a workspace; see workspace.h.
#include <sys/stat.h>
#include <unistd.h>

#include <sstream>

#include "agents/files.h"
#include "agents/workspace.h"

namespace ez::agents {
namespace {

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// The repository's configuration may hold passwords in addresses; only what git needs to read objects is
// shown.
std::string shown_config(const Git& git) {
  std::string text =
      "[core]\n\trepositoryformatversion = 1\n\tbare = false\n\thooksPath = /dev/null\n[gc]\n\tauto = 0\n";
  auto format = git.text({"rev-parse", "--show-object-format"});
  if (format.ok() && *format != "sha1") text += "[extensions]\n\tobjectFormat = " + *format + "\n";
  return text;
}

}  // namespace

void Workspace::show_in(SandboxSpec& spec) const {
  spec.mounts.push_back({tree_, "/workspace", true});
  spec.mounts.push_back({home(), "/home/ez", true});
  spec.mounts.push_back({tmp(), "/tmp", true});
  spec.measured.insert(spec.measured.end(), {tree_, home(), tmp()});
  if (!git_) return;
  const std::string& common = git_->common_dir();
  for (const char* name : {"objects", "refs", "packed-refs", "HEAD", "shallow", "info"}) {
    if (exists(common + "/" + name))
      spec.mounts.push_back({common + "/" + name, "/git/" + std::string(name), false});
  }
  const std::string own = "/git/worktrees/" + id_;
  spec.mounts.push_back({git_dir_, own, false});
  // Objects borrowed from another repository are looked for where its path says.
  if (auto alternates = read_file(common + "/objects/info/alternates", 64 * 1024); alternates.ok()) {
    std::istringstream lines(*alternates);
    for (std::string line; std::getline(lines, line);) {
      if (!line.empty() && line[0] == '/' && exists(line)) spec.mounts.push_back({line, line, false});
    }
  }
  spec.files.emplace_back("/git/config", shown_config(*git_));
  // Over the tree's own pointer: it names a place that exists only inside, and cannot be replaced by the
  // agent.
  spec.files.emplace_back("/workspace/.git", "gitdir: " + own + "\n");
  // The repository may belong to somebody else than the user inside; it is read-only there.
  spec.environment.emplace_back("GIT_CONFIG_COUNT", "1");
  spec.environment.emplace_back("GIT_CONFIG_KEY_0", "safe.directory");
  spec.environment.emplace_back("GIT_CONFIG_VALUE_0", "*");
  spec.environment.emplace_back("GIT_OPTIONAL_LOCKS", "0");
}

}  // namespace ez::agents
