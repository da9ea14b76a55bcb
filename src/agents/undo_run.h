// `ez rollback RUN`: undoes what a run merged into a branch, by commits on top of it.
//
// Each merge of the run (run_merges.h) is undone by one commit, the newest merge first; history only grows,
// so whoever built upon the branch keeps what he has. A merge is undone by a three-way merge whose base is
// the merge, whose sides are the branch and the state before the merge: what others changed since stays, and
// where they changed the same lines nothing at all is done. A merge that is undone already is left alone, so
// a repeated call changes nothing. When nothing but the run's merges is on the branch since the first of
// them, the resulting tree has to be the one before it, and is compared before the branch moves.
//
// (This is not the rollback of a run that fails, core/rollback.h: that one does the workflow's
// compensations.)
//
// Threads: blocks; any thread. The branch moves once, by compare-and-swap, under the lock of merges into it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "agents/run_merges.h"

namespace ez::agents {

inline constexpr std::size_t kMaxNamedCommits = 20;  // in a refusal

struct UndoRequest {
  std::string run;
  std::string repository;
  std::string branch;                      // that has the merges
  std::string into;                        // a new branch for the result; empty: `branch` itself
  std::vector<MergedTask> tasks;           // of the run's record
  std::int64_t since_s = 0;                // when the run began, seconds since 1970
  bool dry_run = false;                    // moves no branch
  std::chrono::milliseconds wait{60'000};  // for merges into the branch that are under way
};

struct UndoStep {
  std::string task;
  std::string merge;
  std::string commit;  // that undoes it; empty: it was undone already
  std::int64_t changed_files = 0;
};

struct UndoResult {
  std::string before;           // the head of `branch`
  std::string after;            // and what undoes the run; equal: there was nothing left to undo
  std::vector<UndoStep> steps;  // in the order in which they are undone
  bool exact = false;           // nothing came later: the tree is that before the run
};

// ROLLBACK_REFUSED: later commits changed the same lines (the message names them), or the branch does not
// have the run's merges. BRANCH_CHECKED_OUT, REPOSITORY_INVALID, REPOSITORY_BUSY, GIT_FAILED,
// INVALID_ARGUMENT.
[[nodiscard]] Result<UndoResult> undo_run(const UndoRequest& request);

}  // namespace ez::agents
