// Workspaces: each attempt works in a private git worktree on its own branch, and what it made is merged into
// the run's branch.
//
// Repository side. Everything that changes shared parts of a repository (worktree list, branches) happens
// under a lock file in its common directory (ez.lock), for this process and all others; the file copy, the
// agent's work and checks happen outside of it. Merges into one branch queue on a lock of that branch. The
// run branch is moved by compare-and-swap only and is never checked out; stashes are never used.
//
// Disk side. Under the root: <id>.owner (held with a lock while its process lives; the kernel lets go when
// that is killed) and the folder <id>/ with the tree, home and temporary files. recover() finds what dead
// processes left, keeps their work as a commit on the attempt's branch, and removes the rest. The sum of all
// workspaces is held to a budget.
//
// Threads: a WorkspaceManager may be used by any number of threads; a Workspace by one at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "agents/git.h"
#include "agents/process.h"
#include "agents/sandbox.h"
#include "base/result.h"

namespace ez::agents {

class MergeResolver;  // merge_problem.h
struct MergeProblem;

enum class WorkspaceMode { kNone, kRead, kWrite };

struct WorkspaceRequest {
  WorkspaceMode mode = WorkspaceMode::kNone;
  std::string run;  // "r12", for the record and the commit's trailers, as are the next two
  std::string task;
  std::uint64_t attempt = 0;
  std::string repository;  // absolute path; unused for kNone
  std::string base;        // where an absent run branch starts; empty: HEAD
  std::string run_branch;
  std::string branch;  // the attempt's, kWrite only. When run_branch is "x" and this is "x/y", git cannot
                       // hold both: "x.tasks/y" is used
  std::string commit;  // kRead only: look at this commit instead of the run branch
};

class Workspace {
 public:
  Workspace(Workspace&&) = default;
  Workspace& operator=(Workspace&&) = default;

  [[nodiscard]] const WorkspaceRequest& request() const { return request_; }
  [[nodiscard]] const std::string& root() const {
    return root_;
  }  // folder of everything below; callers may add to it
  [[nodiscard]] const std::string& tree() const {
    return tree_;
  }  // the working tree; an empty folder for kNone
  [[nodiscard]] std::string home() const { return root_ + "/home"; }
  [[nodiscard]] std::string tmp() const { return root_ + "/tmp"; }
  [[nodiscard]] const std::string& branch() const { return branch_; }  // as really used; empty unless kWrite
  [[nodiscard]] const std::string& start() const {
    return start_;
  }  // commit that the tree was made from; empty for kNone
  [[nodiscard]] const Git* git() const { return git_ ? &*git_ : nullptr; }

  // Adds the tree at /workspace, home at /home/ez, /tmp, and a read-only view of the repository at /git in
  // which `git log`, `git diff`, `git status` work: objects and refs, without its configuration, hooks and
  // other working trees.
  void show_in(SandboxSpec& spec) const;

 private:
  friend class WorkspaceManager;
  Workspace() = default;
  WorkspaceRequest request_;
  std::string id_;
  std::string root_;
  std::string tree_;
  std::string branch_;
  std::string start_;
  std::string git_dir_;  // of the worktree: <common>/worktrees/<id>
  std::optional<Git> git_;
  UniqueFd owner_;
  bool ready_ = false;  // the tree is complete: only then may what differs from the commit count as work
};

struct Commit {
  std::string id;  // empty: nothing had changed
  std::int64_t changed_files = 0;
  std::vector<std::string>
      notes;  // for the task's log, for example a nested repository that became ordinary files
};

struct MergeRequest {
  std::string run;
  std::string task;
  std::uint64_t attempt = 0;
  std::string repository;
  std::string into;  // the run branch
  std::string commit;
  std::string branch;   // the attempt's branch, removed once it is merged; may be empty
  std::string message;  // first line of the merge commit; a default when empty
};

struct MergeResult {
  bool merged = false;  // false: it was part of the branch already, or there is a conflict
  std::string base;     // the run branch before
  std::string head;     // and after
  std::int64_t changed_files = 0;
  // Not empty: nothing was changed. Files and conflict hunks, at most kMaxConflictBytes.
  std::string conflict;
  bool check_failed = false;  // with `conflict`: in the end it was the check that failed
};

inline constexpr std::size_t kMaxConflictBytes = 16 * 1024;

// The lock on which those who move that branch queue; whoever held it takes its file away.
[[nodiscard]] std::string merge_turn_path(const Git& git, const std::string& branch);

class WorkspaceManager {
 public:
  struct Options {
    std::string root;  // created when absent
    std::uint64_t budget_bytes = 20ULL
                                 << 30;  // of all workspaces under the root, also those of other processes
    std::uint64_t reserve_bytes = 256ULL << 20;  // the disk itself must keep this much free
    // Worktrees kept after removal, restored and checked to be as new, for the next attempt on the same
    // repository: it then writes only the files that differ. Of all repositories together; 0 keeps none.
    std::size_t max_idle = 4;
    std::chrono::milliseconds lock_wait{60'000};
    std::chrono::milliseconds merge_wait{
        3'600'000};  // for other merges into the same branch, with their checks
  };
  explicit WorkspaceManager(Options options) : options_(std::move(options)) {}
  ~WorkspaceManager();  // removes the idle worktrees; every Workspace has been removed or dropped before
  WorkspaceManager(const WorkspaceManager&) = delete;
  WorkspaceManager& operator=(const WorkspaceManager&) = delete;

  // Ready to work in. REPOSITORY_INVALID, GIT_FAILED, REPOSITORY_BUSY, WORKSPACE_BUDGET, INVALID_ARGUMENT,
  // IO_FAILED, DISK_FULL, BRANCH_CHECKED_OUT.
  [[nodiscard]] Result<Workspace> create(const WorkspaceRequest& request);

  // Commits everything that .gitignore lets through on the attempt's branch, whoever is the author of what is
  // in the tree; no process of the sandbox may be alive. kWrite only. GIT_FAILED, REPOSITORY_BUSY, IO_FAILED.
  [[nodiscard]] Result<Commit> commit(Workspace& workspace, const std::string& message);

  // Takes the folder away and the attempt's branch too, unless it holds work that is not in the run branch.
  [[nodiscard]] Status remove(Workspace workspace);

  // Merges and, when `verify` is given, has it check the merged tree before the branch moves (again when the
  // branch moved meanwhile). Its error is returned and nothing has changed. Repeating a merge that happened
  // gives merged = false. BRANCH_CHECKED_OUT, GIT_FAILED, REPOSITORY_BUSY, REPOSITORY_INVALID,
  // WORKSPACE_BUDGET, and what verify says.
  // `resolver` (may be null) settles conflicts, and merged trees on which verify says VERIFY_FAILED, as long
  // as it may try; what it made is checked like any other merged tree. Afterwards both are a `conflict`.
  using Verify = std::function<Status(Workspace& merged)>;
  [[nodiscard]] Result<MergeResult> merge(const MergeRequest& request, const Verify& verify,
                                          MergeResolver* resolver = nullptr);

  // Removes what dead processes left under the root; at the start of a worker. How many workspaces that were.
  [[nodiscard]] Result<std::size_t> recover();

  // Records what a workspace uses, as the sandbox measured it.
  void note_usage(const Workspace& workspace, std::uint64_t bytes);
  // What all workspaces under the root use, by their records.
  [[nodiscard]] std::uint64_t used_bytes() const;

 private:
  [[nodiscard]] Result<UniqueFd> new_owner(std::string& id);
  [[nodiscard]] Status write_owner(const Workspace& workspace, std::uint64_t bytes) const;
  [[nodiscard]] Status check_budget(const std::string& repository);
  [[nodiscard]] Result<Workspace> describe(const WorkspaceRequest& request) const;
  [[nodiscard]] Result<Workspace> create_from(Workspace workspace, bool may_reuse);
  [[nodiscard]] Status add_worktree(Workspace& workspace, bool reused);
  [[nodiscard]] Status fill(const Workspace& workspace) const;
  [[nodiscard]] bool take_idle(Workspace& workspace);
  [[nodiscard]] bool park(Workspace& workspace);
  [[nodiscard]] Status restore(Workspace& workspace) const;
  void drop_idle();
  [[nodiscard]] Status drop_branch(Workspace& workspace, const FileLock& lock) const;
  [[nodiscard]] Result<std::string> run_head(const Git& git, const WorkspaceRequest& request,
                                             const FileLock& lock) const;
  [[nodiscard]] Status claim_branch(const Git& git, Workspace& workspace, const FileLock& lock) const;
  [[nodiscard]] Status discard(Workspace& workspace);
  [[nodiscard]] Status keep_unfinished(Workspace& workspace);
  [[nodiscard]] Result<std::optional<MergeResult>> try_merge(const Git& git, const MergeRequest& request,
                                                             const Verify& verify, MergeResolver* resolver);
  [[nodiscard]] Result<std::optional<MergeResult>> move_run_branch(const Git& git,
                                                                   const MergeRequest& request,
                                                                   MergeResult result,
                                                                   const std::string& tree,
                                                                   const std::string& head);
  [[nodiscard]] Status look_at(const MergeRequest& request, const std::string& head, const Verify& verify);
  [[nodiscard]] Result<MergeProblem> merge_trees(const Git& git, const MergeRequest& request,
                                                 const std::string& base, bool for_resolver);
  [[nodiscard]] Status mark_conflicts(const Git& git, MergeProblem& problem, const Workspace& scratch) const;
  [[nodiscard]] Status lay_out_merge(const Workspace& place, const MergeProblem& problem) const;
  [[nodiscard]] Result<std::string> take_resolution(const Workspace& place,
                                                    const MergeProblem& problem) const;
  // The tree of a try that was taken; nullopt: there are no more tries.
  [[nodiscard]] Result<std::optional<std::string>> settle(const Git& git, const MergeRequest& request,
                                                          MergeProblem& problem, MergeResolver& resolver);

  Options options_;
  std::mutex mutex_;
  std::vector<Workspace> idle_;
  std::map<std::string, std::uint64_t>
      typical_bytes_;  // of a fresh workspace, by repository; bounded by kMaxKnownRepositories
};

}  // namespace ez::agents
