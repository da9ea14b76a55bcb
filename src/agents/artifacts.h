// Artifacts in and out of a workspace.
//
// In: the artifacts of dependencies and the workflow's files, by content hash. Out: what the command left in
// $EZ_ARTIFACTS, and the files of the working tree that the task's patterns name. Only regular files below
// these folders are taken; a symbolic link, socket or device among them is ARTIFACT_INVALID, never followed.
//
// Patterns match whole relative paths: `*`, `?`, `[a-z]` within one component, `**` as a component stands
// for any number of them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agents/work_item.h"
#include "base/result.h"

namespace ez::agents {

inline constexpr std::size_t kMaxArtifacts = 1000;       // of one attempt
inline constexpr std::size_t kMaxTreeFiles = 1'000'000;  // looked at for patterns

// Where artifacts live. Thread-safe: several tasks use it at once.
class ArtifactPort {
 public:
  virtual ~ArtifactPort() = default;
  // Writes the blob to a new file at that path. BLOB_NOT_FOUND, BLOB_DAMAGED (the bytes do not match),
  // IO_FAILED and transport errors.
  [[nodiscard]] virtual Status fetch(const std::string& sha256, const std::string& path) = 0;
  // Stores the bytes of a readable file; `name` of the answer stays empty.
  [[nodiscard]] virtual Result<ArtifactRef> store(const std::string& path) = 0;
};

[[nodiscard]] bool matches_glob(std::string_view pattern, std::string_view path);

// All of `folder` ($EZ_ARTIFACTS), then what `globs` name in `tree` (".git" excluded); of equal names the
// former stays. Sorted by name.
[[nodiscard]] Result<std::vector<ArtifactRef>> collect_artifacts(const std::string& folder,
                                                                 const std::string& tree,
                                                                 const std::vector<std::string>& globs,
                                                                 ArtifactPort& port);

// <folder>/<dependency>/<artifact name> for every artifact of the item's dependencies, read-only files.
[[nodiscard]] Status fetch_dependencies(const WorkItem& item, const std::string& folder, ArtifactPort& port);
// The workflow's files with their modes.
[[nodiscard]] Status fetch_files(const WorkItem& item, const std::string& folder, ArtifactPort& port);

}  // namespace ez::agents
