// Files that a sandboxed command may have left: read, measured and removed without ever following a symbolic
// link or trusting depth, permissions or kind.
//
// Threads: every function may be called from any thread; nothing else may change the tree meanwhile except
// where noted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agents/process.h"
#include "base/result.h"

namespace ez::agents {

inline constexpr std::size_t kMaxTreeDepth = 200;

struct TreeSize {
  std::uint64_t bytes = 0;  // disk blocks, not lengths; a file with several names counts for each
  std::uint64_t entries = 0;
  bool complete = true;  // false: more than max_entries, or deeper than kMaxTreeDepth, was not looked at
};

// May run while the tree changes. A folder that vanishes or refuses counts as empty.
[[nodiscard]] TreeSize tree_size(const std::string& folder, std::uint64_t max_entries);

// Removes a folder and all that is in it, also what has no permissions or is nested without end. Absent is
// fine. IO_FAILED.
[[nodiscard]] Status remove_tree(const std::string& folder);

// An empty folder in the system's place for temporary ones, of mode 0700; removed with all that is in it.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(std::string_view purpose);  // a part of its name
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }  // empty: it could not be made

 private:
  std::string path_;
};

// Relative paths of what is named .git (in any case) below the top level, outermost only. IO_FAILED when the
// tree is deeper than kMaxTreeDepth.
[[nodiscard]] Result<std::vector<std::string>> nested_git(const std::string& folder);

// Whether a tree holds nothing but folders (mode 0755), regular files with one name (mode 0644 or 0755) and
// symbolic links: what a fresh checkout consists of.
[[nodiscard]] bool is_plain_tree(const std::string& folder);

// Opens a regular file below `folder` for reading without following any link on the way. INVALID_ARGUMENT
// when it is absent, not a regular file, or reached through a link.
[[nodiscard]] Result<UniqueFd> open_beneath(const std::string& folder, const std::string& relative);

// The whole of an open regular file; PAYLOAD_TOO_LARGE above max_bytes.
[[nodiscard]] Result<std::string> read_all(int fd, std::size_t max_bytes);
// Of a path (the last component may not be a link). IO_FAILED.
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t max_bytes);
// Replaces by writing aside and renaming. IO_FAILED, DISK_FULL.
[[nodiscard]] Status write_file(const std::string& path, std::string_view bytes, unsigned mode = 0644);
// With parents, mode 0755. IO_FAILED.
[[nodiscard]] Status make_folders(const std::string& path);

// The regular files below `folder`: relative paths, sorted, of at most max_files; anything but regular files
// and folders is named in `refused`.
struct FileList {
  std::vector<std::string> files;
  std::vector<std::string> refused;
  bool complete = true;
};
[[nodiscard]] FileList list_files(const std::string& folder, std::size_t max_files);

}  // namespace ez::agents
