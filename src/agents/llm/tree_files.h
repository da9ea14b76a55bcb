// The files of one working tree for somebody who is not trusted: nothing outside the tree is reached by "..",
// absolute paths or symbolic links, and nothing named .git is seen or touched, whatever else changes the tree
// meanwhile (openat2 with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS for every access; writes go to a new file
// that is renamed, so no link is ever written through).
//
// Paths: relative to the tree; "/workspace/x" and "./x" are taken as "x", since a model sees the tree there.
// Errors are INVALID_ARGUMENT with a message for the model; IO_FAILED and DISK_FULL are the machine's.
// Threads: any; the object holds only the path of the tree.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agents/files.h"
#include "base/result.h"

namespace ez::agents {

inline constexpr std::size_t kMaxToolFileBytes = 8 * 1024 * 1024;  // read or written whole
inline constexpr std::size_t kMaxTreeListing = 200'000;            // files looked at by a listing or a search

class TreeFiles {
 public:
  explicit TreeFiles(std::string root) : root_(std::move(root)) {}

  // The path as it is used, or why not.
  [[nodiscard]] static Result<std::string> clean(std::string_view path);

  [[nodiscard]] Result<std::string> read(std::string_view path) const;
  [[nodiscard]] bool exists(std::string_view path) const;
  // With the folders above it. The mode of a file that is there is kept.
  [[nodiscard]] Status write(std::string_view path, std::string_view bytes, bool executable = false) const;
  // A regular file or a symbolic link itself.
  [[nodiscard]] Status remove(std::string_view path) const;
  // Regular files below a folder ("" or ".": all) whose path matches the glob (empty: all), sorted.
  [[nodiscard]] Result<FileList> list(std::string_view folder, std::string_view glob) const;

 private:
  [[nodiscard]] Result<UniqueFd> open_folder(const std::string& folder, bool create) const;
  const std::string root_;
};

}  // namespace ez::agents
