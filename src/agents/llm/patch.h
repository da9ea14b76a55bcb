// Unified diffs, strict: what they say is there must be there, to the byte, or nothing is changed.
//
// Taken: one or more files, each with "--- old" and "+++ new" lines ("a/" and "b/" in front are removed,
// /dev/null stands for a file that is created or removed), git's "diff --git", "index" and "… file mode"
// lines in between. Refused: renames, copies, binary patches, hunks whose counts do not fit their lines. A
// hunk is applied at the line it names, or, when its text is not there, at the only other place where it is.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ez::agents {

struct PatchHunk {
  struct Line {
    char kind = ' ';   // ' ', '-', '+'
    std::string text;  // without the line end
    bool newline = true;
  };
  std::size_t old_start = 0;
  std::vector<Line> lines;
};

struct FilePatch {
  std::string old_path;  // empty: the file is created
  std::string new_path;  // empty: it is removed
  std::vector<PatchHunk> hunks;
};

// INVALID_ARGUMENT with the line of the patch and what is wrong with it.
[[nodiscard]] Result<std::vector<FilePatch>> parse_patch(std::string_view patch);

// The text after the hunks. INVALID_ARGUMENT naming the hunk that does not fit.
[[nodiscard]] Result<std::string> apply_hunks(const std::string& text, const std::vector<PatchHunk>& hunks);

}  // namespace ez::agents
