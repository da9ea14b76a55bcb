// A merge that somebody has to settle, and who does: between merge.cc, which knows the repository, and
// resolver.h, which knows agents.
//
// Either files conflict, or their texts merge and the check fails on the merged tree. The resolver works in a
// workspace in which the merge is in progress: the tree is `tree`, with conflict markers of the labels ours
// and theirs in every file that conflicts (also where git leaves none: binary files, a file that one side
// deleted), the index has the three sides, MERGE_HEAD names theirs. What it leaves is taken only when
//   - no line of a marker is left that none of the sides has,
//   - nothing but `allowed` was changed, each file is a regular one, and none was deleted that both sides
//   have.
// allowed: the files that conflict; once the check has failed, all that one of the sides changed.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "agents/workspace.h"
#include "base/result.h"

namespace ez::agents {

inline constexpr std::size_t kMaxSettledFiles = 40;           // in conflict; more are a person's
inline constexpr std::size_t kMaxSettledBytes = 1024 * 1024;  // of one side of one of them

struct MergeSide {
  std::string mode;  // empty: the path is not there
  std::string blob;
};

struct MergeFile {
  std::string path;
  std::array<MergeSide, 3> sides;  // base, ours, theirs
};
inline constexpr std::array<std::string_view, 3> kMergeSides{"base", "ours", "theirs"};

struct MergeProblem {
  std::string ours;              // commit: the run branch
  std::string theirs;            // commit: the attempt's work
  std::string text;              // for people: what conflicts, with its hunks, at most kMaxConflictBytes
  std::vector<MergeFile> files;  // that conflict; they stay named when only the check fails any more
  bool may_settle = true;        // false: of a kind that only a person settles
  bool check_failed = false;
  std::string tree;                  // what the workspace begins with
  std::vector<std::string> allowed;  // sorted
};

class MergeResolver {
 public:
  virtual ~MergeResolver() = default;
  [[nodiscard]] virtual bool may_try() const = 0;  // another time
  // One try. False: it came to nothing. An error ends the merge: cancelled, or its time is over.
  [[nodiscard]] virtual Result<bool> settle(Workspace& place, const MergeProblem& problem) = 0;
  // What the last try left was not taken, or fails the check.
  virtual void refused(const Error& why) = 0;
};

// The number of the first line that is a conflict marker and a line of none of the sides; 0: none.
[[nodiscard]] std::size_t marker_line(std::string_view text, const std::vector<std::string>& sides);

}  // namespace ez::agents
