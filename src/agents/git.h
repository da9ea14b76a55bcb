// The git command over a repository that its owner, and over working trees that an agent, may have filled
// with anything.
//
// Rules, each against a known way to run code through git: the environment is ours alone (no GIT_*, no user
// or system configuration); hooks are off; filters, merge drivers, diff commands, fsmonitor, signing and
// helpers that the repository's own configuration names are overridden by harmless ones (merge drivers become
// git's own text merge); replace refs are ignored; no transport may be used; the git directory is always
// named explicitly, so a .git inside a working tree is never believed. The price: large-file filters (LFS) do
// not run, such files appear as their pointers.
//
// Threads: a Git is immutable; any thread. Objects and refs are synced before a command counts as done.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agents/file_lock.h"
#include "agents/process.h"
#include "base/result.h"

namespace ez::agents {

struct GitCall {
  std::vector<std::string> arguments;  // after `git`
  std::string git_dir;                 // empty: the common directory
  std::string work_tree;               // empty: none
  std::string index_file;              // empty: git's own choice
  std::string input;
  std::size_t max_output_bytes = 8 * 1024 * 1024;
  std::chrono::milliseconds timeout{600'000};
  // For calls that write references or worktree records. Killed halfway, git leaves locks that stop every
  // later git; so when ez dies, such a call goes on to its end, and holds the repository's lock until then.
  const FileLock* lock = nullptr;
};

class Git {
 public:
  // Looks a repository up by the path of its working tree or git directory. REPOSITORY_INVALID: no
  // repository, not owned by this user (and not listed in the user's safe.directory), or no git.
  [[nodiscard]] static Result<Git> open(const std::string& repository);

  // The directory that all working trees of the repository share, absolute.
  [[nodiscard]] const std::string& common_dir() const { return common_dir_; }

  // Any exit status; errors only when git could not run to its end: GIT_FAILED, TASK_CANCELLED.
  [[nodiscard]] Result<ProcessOutcome> run(const GitCall& call, const CancelToken* cancel = nullptr) const;
  // Its output without the last line end; GIT_FAILED (command and what git said) on any exit status but 0.
  [[nodiscard]] Result<std::string> text(const GitCall& call, const CancelToken* cancel = nullptr) const;
  [[nodiscard]] Result<std::string> text(std::initializer_list<std::string> arguments) const;

  // The commit that a name stands for; empty when there is none.
  [[nodiscard]] Result<std::string> commit_of(const std::string& name) const;
  [[nodiscard]] Result<bool> is_ancestor(const std::string& older, const std::string& newer) const;
  // Compare-and-swap of refs/heads/<branch>. An empty `before` means that it must not exist, an empty `after`
  // deletes it. False when it was not at `before`. GIT_FAILED otherwise (for example a branch a/b where a
  // exists). The caller holds the repository's lock.
  [[nodiscard]] Result<bool> move_branch(const std::string& branch, const std::string& after,
                                         const std::string& before, const std::string& reason,
                                         const FileLock& lock) const;
  // Where a branch is checked out; empty when nowhere. Git looks at the records of all worktrees and gives up
  // at one that is being made. Ours are made under the repository's lock, which the first of these takes only
  // when it has met such a record, and waits for at most so long (REPOSITORY_BUSY); the caller of the second
  // holds it.
  [[nodiscard]] Result<std::string> checked_out_at(const std::string& branch,
                                                   std::chrono::milliseconds wait) const;
  [[nodiscard]] Result<std::string> checked_out_at(const std::string& branch, const FileLock& lock) const;
  // INVALID_ARGUMENT when git would not take it as the name of a branch.
  [[nodiscard]] Status check_branch_name(const std::string& branch) const;

 private:
  Git() = default;
  std::string program_;
  std::string common_dir_;
  std::vector<std::pair<std::string, std::string>> overrides_;  // configuration
};

// A commit of ez itself, as author and committer.
inline constexpr std::string_view kGitName = "Ez Aigent";
inline constexpr std::string_view kGitEmail = "ez@localhost";

}  // namespace ez::agents
