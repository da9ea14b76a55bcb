#include "agents/artifacts.h"

#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "agents/files.h"

namespace ez::agents {
namespace {

std::vector<std::string> components(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    parts.emplace_back(path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return parts;
}

bool matches(const std::vector<std::string>& pattern, const std::vector<std::string>& path) {
  // reach[j]: the pattern so far matches the first j components. Linear in both, whatever the number of `**`.
  std::vector<bool> reach(path.size() + 1, false);
  reach[0] = true;
  for (const std::string& part : pattern) {
    std::vector<bool> next(path.size() + 1, false);
    if (part == "**") {
      bool any = false;
      for (std::size_t j = 0; j <= path.size(); ++j) {
        any = any || reach[j];
        next[j] = any;
      }
    } else {
      for (std::size_t j = 0; j < path.size(); ++j) {
        next[j + 1] = reach[j] && ::fnmatch(part.c_str(), path[j].c_str(), 0) == 0;
      }
    }
    reach = std::move(next);
  }
  return reach[path.size()];
}

Error invalid(const std::string& what) { return Error(Code::ArtifactInvalid, what); }

Status take(const std::string& folder, const std::string& name, ArtifactPort& port,
            std::map<std::string, ArtifactRef>& taken) {
  if (taken.contains(name)) return {};
  if (taken.size() >= kMaxArtifacts)
    return invalid("more than " + std::to_string(kMaxArtifacts) + " artifacts");
  if (!is_safe_path(name)) return invalid("the name of " + name.substr(0, 100) + " is too long");
  auto file = open_beneath(folder, name);
  if (!file.ok()) return invalid(file.error().message());
  // By descriptor, so that exactly the checked file is read.
  auto stored = port.store("/proc/self/fd/" + std::to_string(file->get()));
  if (!stored.ok()) return stored.error().in("artifact " + name);
  stored->name = name;
  taken[name] = std::move(*stored);
  return {};
}

Status fetch_to(ArtifactPort& port, const std::string& sha256, const std::string& folder,
                const std::string& name, mode_t mode) {
  if (!is_safe_path(name)) return invalid("\"" + name + "\" is not a usable name");
  const std::string path = folder + "/" + name;
  EZ_TRY(make_folders(path.substr(0, path.rfind('/'))));
  EZ_TRY(port.fetch(sha256, path));
  if (::chmod(path.c_str(), mode) != 0) return Error(Code::IoFailed, "mode of " + path);
  return {};
}

}  // namespace

bool matches_glob(std::string_view pattern, std::string_view path) {
  return matches(components(pattern), components(path));
}

Result<std::vector<ArtifactRef>> collect_artifacts(const std::string& folder, const std::string& tree,
                                                   const std::vector<std::string>& globs,
                                                   ArtifactPort& port) {
  std::map<std::string, ArtifactRef> taken;
  const FileList given = list_files(folder, kMaxArtifacts);
  if (!given.refused.empty()) return invalid("$EZ_ARTIFACTS/" + given.refused[0] + " is not a regular file");
  if (!given.complete)
    return invalid("more than " + std::to_string(kMaxArtifacts) + " files in $EZ_ARTIFACTS, or too deep");
  for (const std::string& name : given.files) EZ_TRY(take(folder, name, port, taken));
  if (!globs.empty()) {
    std::vector<std::vector<std::string>> patterns;
    for (const std::string& glob : globs) patterns.push_back(components(glob));
    const FileList all = list_files(tree, kMaxTreeFiles);
    if (!all.complete)
      return invalid("more than " + std::to_string(kMaxTreeFiles) + " files in the workspace, or too deep");
    const auto wanted = [&](const std::string& path) {
      const std::vector<std::string> parts = components(path);
      return parts[0] != ".git" && std::any_of(patterns.begin(), patterns.end(),
                                               [&](const auto& pattern) { return matches(pattern, parts); });
    };
    for (const std::string& path : all.refused) {
      if (wanted(path)) return invalid(path + " is not a regular file");
    }
    for (const std::string& path : all.files) {
      if (wanted(path)) EZ_TRY(take(tree, path, port, taken));
    }
  }
  std::vector<ArtifactRef> list;
  for (auto& [name, artifact] : taken) list.push_back(std::move(artifact));
  return list;
}

Status fetch_dependencies(const WorkItem& item, const std::string& folder, ArtifactPort& port) {
  for (const auto& [task, dependency] : item.dependencies) {
    for (const ArtifactRef& artifact : dependency.artifacts) {
      EZ_TRY(fetch_to(port, artifact.sha256, folder + "/" + task, artifact.name, 0444));
    }
  }
  return {};
}

Status fetch_files(const WorkItem& item, const std::string& folder, ArtifactPort& port) {
  for (const WorkflowFile& file : item.files)
    EZ_TRY(fetch_to(port, file.sha256, folder, file.path, file.mode & 0555));
  return {};
}

}  // namespace ez::agents
