// What a run merged, as the repository has it: the merge commits of ez, found by their parents and trailers.
//
// A merge of a task is the commit whose second parent is the task's work and whose trailers name the run
// (workspace.h: merge()). The record of a run names the work of each task's last attempt; a task that was
// done again has more merges, which the trailers tell, taken only from the time of the run, because run ids
// begin anew in every data directory.
//
// Threads: plain functions over an immutable Git. Nothing in the repository is changed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agents/git.h"
#include "base/result.h"

namespace ez::agents {

inline constexpr std::size_t kMaxRunMerges = 20'000;         // that are looked at, of all runs together
inline constexpr std::size_t kMaxMergeListBytes = 64 << 20;  // of their messages

// A task whose work was merged, as the run's record has it.
struct MergedTask {
  std::string task;
  std::string commit;  // its work; empty: not known, only that it was merged
  std::string head;    // the run's branch after the merge
};

struct RunMerge {
  std::string task;
  std::string commit;  // the merge
  std::string before;  // its first parent: the branch before it
  std::string work;    // its second parent
};

struct RunMerges {
  std::vector<RunMerge> merges;      // the newest first: none comes after one that contains it
  std::vector<std::string> missing;  // tasks whose merge the repository does not have (any more)
};

// Looks below the recorded heads. `since_s` is when the run began, seconds since 1970. GIT_FAILED;
// INVALID_ARGUMENT when the record names no commits.
[[nodiscard]] Result<RunMerges> find_run_merges(const Git& git, const std::string& run,
                                                const std::vector<MergedTask>& tasks, std::int64_t since_s);

}  // namespace ez::agents
