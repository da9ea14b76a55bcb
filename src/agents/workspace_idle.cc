// Worktrees between two attempts; see Options::max_idle in workspace.h.
//
// Creating ten thousand files costs more than everything else about a workspace. A worktree whose attempt has
// ended is therefore put back to its commit, checked, and given to the next attempt on the same repository.
// What could carry something over is removed or makes it unfit: untracked and ignored files, nested
// repositories, unusual modes, hard links, another .git. Git compares tracked files by size, inode and change
// time, which a command cannot set, so a changed file is always written anew.
#include <unistd.h>

#include "agents/file_lock.h"
#include "agents/files.h"
#include "agents/workspace.h"

namespace ez::agents {

WorkspaceManager::~WorkspaceManager() { drop_idle(); }

void WorkspaceManager::drop_idle() {
  std::vector<Workspace> idle;
  {
    std::lock_guard lock(mutex_);
    idle.swap(idle_);
  }
  for (Workspace& workspace : idle) {
    [[maybe_unused]] const Status best_effort = discard(workspace);  // recover() finds what stays
  }
}

// Gives the new workspace an idle worktree of its repository.
bool WorkspaceManager::take_idle(Workspace& workspace) {
  std::lock_guard lock(mutex_);
  for (std::size_t i = idle_.size(); i-- > 0;) {
    Workspace& idle = idle_[i];
    if (idle.git_->common_dir() != workspace.git_->common_dir()) continue;
    workspace.id_ = std::move(idle.id_);
    workspace.root_ = std::move(idle.root_);
    workspace.tree_ = std::move(idle.tree_);
    workspace.git_dir_ = std::move(idle.git_dir_);
    workspace.owner_ = std::move(idle.owner_);
    idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(i));
    return true;
  }
  return false;
}

// As after a fresh checkout of start_, with HEAD detached; an error means unfit.
Status WorkspaceManager::restore(Workspace& workspace) const {
  const Git& git = *workspace.git_;
  EZ_ASSIGN(const std::string pointer, read_file(workspace.tree_ + "/.git", 8192));
  if (pointer != "gitdir: " + workspace.git_dir_ + "\n") return Error(Code::GitFailed, "another .git");
  EZ_ASSIGN(const std::vector<std::string> planted, nested_git(workspace.tree_));
  for (const std::string& path : planted) EZ_TRY(remove_tree(workspace.tree_ + "/" + path));
  ::unlink((workspace.git_dir_ + "/index.lock").c_str());
  EZ_TRY(fill(workspace));
  GitCall clean;
  clean.git_dir = workspace.git_dir_;
  clean.work_tree = workspace.tree_;
  clean.arguments = {"clean", "-ffdxq"};
  EZ_ASSIGN(std::string said, git.text(clean));
  if (!is_plain_tree(workspace.tree_)) return Error(Code::GitFailed, "an unusual tree");
  GitCall detach;
  detach.git_dir = workspace.git_dir_;
  detach.arguments = {"update-ref", "--no-deref", "HEAD", workspace.start_};
  EZ_ASSIGN(said, git.text(detach));
  for (const char* name : {"/home", "/tmp", "/ez"}) EZ_TRY(remove_tree(workspace.root_ + name));
  return {};
}

bool WorkspaceManager::park(Workspace& workspace) {
  if (workspace.request_.mode == WorkspaceMode::kNone || !workspace.ready_) return false;
  {
    std::lock_guard lock(mutex_);
    if (idle_.size() >= options_.max_idle) return false;
  }
  if (!restore(workspace).ok()) return false;
  {
    auto lock = FileLock::acquire(workspace.git_->common_dir() + "/ez.lock", options_.lock_wait);
    if (!lock.ok() || !drop_branch(workspace, *lock).ok()) return false;
  }
  workspace.request_.mode = WorkspaceMode::kRead;  // for a recover() after our death: nothing in it is work
  workspace.branch_.clear();
  workspace.ready_ = false;
  std::lock_guard lock(mutex_);
  const auto known = typical_bytes_.find(workspace.request_.repository);
  if (idle_.size() >= options_.max_idle ||
      !write_owner(workspace, known == typical_bytes_.end() ? 0 : known->second).ok()) {
    return false;
  }
  idle_.push_back(std::move(workspace));
  return true;
}

}  // namespace ez::agents
