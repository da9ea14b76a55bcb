#include "agents/workspace.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <sstream>

#include "agents/file_lock.h"
#include "agents/files.h"
#include "base/random.h"

namespace ez::agents {
namespace {

constexpr std::size_t kMaxOwnerBytes = 16 * 1024;
constexpr std::size_t kMaxKnownRepositories = 1024;
constexpr std::uint64_t kMaxMeasuredEntries = 5'000'000;
constexpr std::string_view kIdPrefix = "ez-";

std::string new_id() {
  static constexpr char kDigits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
  std::string id(kIdPrefix);
  for (int i = 0; i < 12; ++i) id += kDigits[system_random().below(36)];
  return id;
}

std::string line_safe(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

std::string_view mode_name(WorkspaceMode mode) {
  return mode == WorkspaceMode::kWrite ? "write" : mode == WorkspaceMode::kRead ? "read" : "none";
}

// When this process began, in clock ticks after boot (proc(5), field 22 of stat): with the pid it names a
// process for ever.
std::string start_time() {
  auto stat = read_file("/proc/self/stat", 4096);
  if (!stat.ok()) return "0";
  std::istringstream rest(stat->substr(stat->rfind(')') + 1));
  std::string word;
  for (int field = 3; field <= 22; ++field) rest >> word;
  return word;
}

std::map<std::string, std::string> parse_owner(const std::string& text) {
  std::map<std::string, std::string> fields;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    const std::size_t space = line.find(' ');
    if (space != std::string::npos) fields[line.substr(0, space)] = line.substr(space + 1);
  }
  return fields;
}

std::uint64_t to_number(const std::string& text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string trailers(const WorkspaceRequest& request) {
  return "\n\nEz-Run: " + line_safe(request.run) + "\nEz-Task: " + line_safe(request.task) +
         "\nEz-Attempt: " + std::to_string(request.attempt) + "\n";
}

// Only what git worktree itself would have made may be removed from a repository.
bool is_our_git_dir(const std::string& git_dir, const std::string& common_dir) {
  const std::string prefix = common_dir + "/worktrees/";
  return git_dir.starts_with(prefix + std::string(kIdPrefix)) &&
         git_dir.find('/', prefix.size()) == std::string::npos;
}

std::vector<std::string> owner_ids(const std::string& root) {
  std::vector<std::string> ids;
  constexpr std::string_view kSuffix = ".owner";
  DIR* dir = ::opendir(root.c_str());
  if (dir == nullptr) return ids;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string_view name = entry->d_name;
    if (name.starts_with(kIdPrefix) && name.ends_with(kSuffix))
      ids.emplace_back(name.substr(0, name.size() - kSuffix.size()));
  }
  ::closedir(dir);
  return ids;
}

}  // namespace

// The file is created and locked before anything that it owns exists, and removed last.
Result<UniqueFd> WorkspaceManager::new_owner(std::string& id) {
  while (true) {
    id = new_id();
    const std::string path = options_.root + "/" + id + ".owner";
    UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!file.valid()) {
      if (errno == EEXIST) continue;
      return system_error(Code::IoFailed, Code::DiskFull, "creation of " + path, errno);
    }
    struct stat info {};
    // A recover() of another process may have taken it for a leaked one in between: then it is gone, try
    // another.
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0 || ::fstat(file.get(), &info) != 0 || info.st_nlink == 0)
      continue;
    return file;
  }
}

Status WorkspaceManager::write_owner(const Workspace& workspace, std::uint64_t bytes) const {
  const WorkspaceRequest& request = workspace.request_;
  std::string text = "pid " + std::to_string(::getpid()) + "\nstarted " + start_time() + "\nbytes " +
                     std::to_string(bytes) + "\nmode " + std::string(mode_name(request.mode)) + "\nrun " +
                     line_safe(request.run) + "\ntask " + line_safe(request.task) + "\nattempt " +
                     std::to_string(request.attempt) + "\nrepository " + line_safe(request.repository) +
                     "\nrun_branch " + line_safe(request.run_branch) + "\nbranch " +
                     line_safe(workspace.branch_) + "\nstart " + workspace.start_ + "\ngit_dir " +
                     line_safe(workspace.git_dir_) + "\nready " + (workspace.ready_ ? "1" : "0") + "\n";
  if (text.size() > kMaxOwnerBytes)
    return Error(Code::InvalidArgument, "the names of this workspace are too long");
  if (::pwrite(workspace.owner_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()) ||
      ::ftruncate(workspace.owner_.get(), static_cast<off_t>(text.size())) != 0) {
    return system_error(Code::IoFailed, Code::DiskFull, "record of workspace " + workspace.id_, errno);
  }
  return {};
}

std::uint64_t WorkspaceManager::used_bytes() const {
  std::uint64_t used = 0;
  for (const std::string& id : owner_ids(options_.root)) {
    auto text = read_file(options_.root + "/" + id + ".owner", kMaxOwnerBytes);
    if (text.ok()) used += to_number(parse_owner(*text)["bytes"]);
  }
  return used;
}

void WorkspaceManager::note_usage(const Workspace& workspace, std::uint64_t bytes) {
  [[maybe_unused]] const Status best_effort = write_owner(workspace, bytes);
}

Status WorkspaceManager::check_budget(const std::string& repository) {
  std::uint64_t need = 0;
  {
    std::lock_guard lock(mutex_);
    const auto known = typical_bytes_.find(repository);
    if (known != typical_bytes_.end()) need = known->second;
  }
  const std::uint64_t used = used_bytes();
  if (used + need > options_.budget_bytes) {
    return Error(Code::WorkspaceBudget, "workspaces use " + std::to_string(used >> 20) +
                                            " MiB, one more needs about " + std::to_string(need >> 20) +
                                            ", the budget is " + std::to_string(options_.budget_bytes >> 20));
  }
  struct statvfs disk {};
  if (::statvfs(options_.root.c_str(), &disk) == 0) {
    const std::uint64_t free = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
    if (free < options_.reserve_bytes + need) {
      return Error(Code::WorkspaceBudget,
                   "the disk of " + options_.root + " has only " + std::to_string(free >> 20) + " MiB left");
    }
  }
  return {};
}

Result<std::string> WorkspaceManager::run_head(const Git& git, const WorkspaceRequest& request,
                                               const FileLock& lock) const {
  const std::string ref = "refs/heads/" + request.run_branch;
  EZ_ASSIGN(std::string head, git.commit_of(ref));
  if (!head.empty()) return head;
  const std::string base = request.base.empty() ? "HEAD" : request.base;
  EZ_ASSIGN(head, git.commit_of(base));
  if (head.empty()) {
    return Error(Code::RepositoryInvalid,
                 request.repository + " has no commit \"" + base + "\" to start from");
  }
  EZ_ASSIGN(const bool made,
            git.move_branch(request.run_branch, head, "", "ez: start of " + request.run, lock));
  if (made) return head;
  return git.commit_of(ref);  // somebody without our lock was faster
}

// Creates the attempt's branch at workspace.start_. An older one of that name (the lease was given out again)
// is kept aside when it holds work.
Status WorkspaceManager::claim_branch(const Git& git, Workspace& workspace, const FileLock& lock) const {
  const std::string& branch = workspace.branch_;
  EZ_ASSIGN(const std::string old, git.commit_of("refs/heads/" + branch));
  if (!old.empty() && old != workspace.start_) {
    EZ_ASSIGN(const bool merged, git.is_ancestor(old, workspace.start_));
    if (!merged) {
      const std::string aside = branch + "-kept-" + old.substr(0, 10);
      EZ_ASSIGN([[maybe_unused]] const bool moved,
                git.move_branch(aside, old, "", "ez: kept before a new attempt", lock));
    }
  }
  EZ_ASSIGN(const std::string where, git.checked_out_at(branch, lock));
  if (!where.empty()) {
    return Error(Code::BranchCheckedOut, "the attempt's branch " + branch + " is checked out at " + where);
  }
  if (old == workspace.start_) return {};
  EZ_ASSIGN(const bool done, git.move_branch(branch, workspace.start_, old, "ez: start of an attempt", lock));
  if (!done) return Error(Code::GitFailed, "the branch " + branch + " changed while it was created");
  return {};
}

Status WorkspaceManager::add_worktree(Workspace& workspace, bool reused) {
  const WorkspaceRequest& request = workspace.request_;
  const Git& git = *workspace.git_;
  auto lock = FileLock::acquire(git.common_dir() + "/ez.lock", options_.lock_wait);
  if (!lock.ok()) return lock.error();
  GitCall add;
  add.lock = &*lock;
  if (request.mode == WorkspaceMode::kWrite) {
    EZ_ASSIGN(workspace.start_, run_head(git, request, *lock));
    EZ_TRY(claim_branch(git, workspace, *lock));
    add.arguments = {"worktree", "add", "--quiet", "--no-checkout", workspace.tree_, workspace.branch_};
    if (reused) add.arguments = {"symbolic-ref", "HEAD", "refs/heads/" + workspace.branch_};
  } else {
    if (request.commit.empty()) {
      EZ_ASSIGN(workspace.start_, run_head(git, request, *lock));
    } else {
      EZ_ASSIGN(workspace.start_, git.commit_of(request.commit));
      if (workspace.start_.empty())
        return Error(Code::RepositoryInvalid, "no commit " + request.commit + " in " + request.repository);
    }
    add.arguments = {"worktree", "add",           "--quiet",       "--no-checkout",
                     "--detach", workspace.tree_, workspace.start_};
    if (reused) add.arguments = {"update-ref", "--no-deref", "HEAD", workspace.start_};
  }
  if (reused) add.git_dir = workspace.git_dir_;
  EZ_ASSIGN([[maybe_unused]] const std::string said, git.text(add));
  if (reused) return {};
  EZ_ASSIGN(std::string pointer, read_file(workspace.tree_ + "/.git", PATH_MAX + 16));
  constexpr std::string_view kPointer = "gitdir: ";
  if (!pointer.starts_with(kPointer))
    return Error(Code::GitFailed, "git made a working tree without a pointer to its repository");
  pointer = pointer.substr(kPointer.size());
  while (!pointer.empty() && pointer.back() == '\n') pointer.pop_back();
  workspace.git_dir_ = pointer;
  if (!is_our_git_dir(pointer, git.common_dir()))
    return Error(Code::GitFailed, "unexpected git directory " + pointer);
  return {};
}

// What will be made, checked as far as that goes without making it.
Result<Workspace> WorkspaceManager::describe(const WorkspaceRequest& request) const {
  Workspace workspace;
  workspace.request_ = request;
  if (request.mode == WorkspaceMode::kNone) return workspace;
  EZ_ASSIGN(workspace.git_, Git::open(request.repository));
  if (request.mode == WorkspaceMode::kWrite || request.commit.empty()) {
    EZ_TRY(workspace.git_->check_branch_name(request.run_branch));
  }
  if (request.mode != WorkspaceMode::kWrite) return workspace;
  workspace.branch_ = request.branch;
  // refs/heads/x is a file, so refs/heads/x/y cannot be one below it.
  const std::string below = request.run_branch + "/";
  if (request.branch.starts_with(below)) {
    workspace.branch_ = request.run_branch + ".tasks/" + request.branch.substr(below.size());
  }
  EZ_TRY(workspace.git_->check_branch_name(workspace.branch_));
  EZ_ASSIGN(const std::string where, workspace.git_->checked_out_at(request.run_branch, options_.lock_wait));
  if (!where.empty()) {
    return Error(Code::BranchCheckedOut,
                 "the run's branch " + request.run_branch + " is checked out at " + where);
  }
  return workspace;
}

// Makes the tree and its index those of start_. Of a reused tree only what differs is written.
Status WorkspaceManager::fill(const Workspace& workspace) const {
  GitCall call;
  call.arguments = {"read-tree", "--reset", "-u", workspace.start_};
  call.git_dir = workspace.git_dir_;
  call.work_tree = workspace.tree_;
  auto filled = workspace.git_->text(call);
  return filled.ok() ? Status() : Status(filled.error());
}

Result<Workspace> WorkspaceManager::create(const WorkspaceRequest& request) {
  EZ_TRY(make_folders(options_.root));
  if (Status room = check_budget(request.repository); !room.ok()) {
    drop_idle();
    EZ_TRY(check_budget(request.repository));
  }
  EZ_ASSIGN(Workspace workspace, describe(request));
  auto created = create_from(std::move(workspace), true);
  if (created.ok() || request.mode == WorkspaceMode::kNone || created.error().code() != Code::GitFailed)
    return created;
  // Whatever was wrong with a used worktree, a new one does not have it.
  EZ_ASSIGN(workspace, describe(request));
  return create_from(std::move(workspace), false);
}

Result<Workspace> WorkspaceManager::create_from(Workspace workspace, bool may_reuse) {
  const WorkspaceRequest& request = workspace.request_;
  const bool reused = may_reuse && request.mode != WorkspaceMode::kNone && take_idle(workspace);
  if (!reused) {
    char resolved[PATH_MAX];
    if (::realpath(options_.root.c_str(), resolved) == nullptr) {
      return system_error(Code::IoFailed, Code::DiskFull, "path of " + options_.root, errno);
    }
    EZ_ASSIGN(workspace.owner_, new_owner(workspace.id_));
    workspace.root_ = std::string(resolved) + "/" + workspace.id_;
    workspace.tree_ = workspace.root_ + "/" + workspace.id_;  // git names its record after the last component
  }
  Status ready = write_owner(workspace, 0);
  for (const std::string& folder : {workspace.root_, workspace.home(), workspace.tmp()}) {
    if (ready.ok()) ready = make_folders(folder);
  }
  if (ready.ok() && request.mode == WorkspaceMode::kNone) ready = make_folders(workspace.tree_);
  if (ready.ok() && request.mode != WorkspaceMode::kNone) {
    ready = add_worktree(workspace, reused);
    if (ready.ok()) ready = write_owner(workspace, 0);
    if (ready.ok()) ready = fill(workspace);
  }
  if (!ready.ok()) {
    [[maybe_unused]] const Status best_effort = discard(workspace);
    return ready.error();
  }
  workspace.ready_ = true;
  std::uint64_t bytes = 0;
  {
    std::lock_guard lock(mutex_);
    const auto known = typical_bytes_.find(request.repository);
    if (known != typical_bytes_.end()) bytes = known->second;
  }
  if (bytes == 0 && request.mode != WorkspaceMode::kNone) {
    bytes = tree_size(workspace.root_, kMaxMeasuredEntries).bytes;
    std::lock_guard lock(mutex_);
    if (typical_bytes_.size() >= kMaxKnownRepositories) typical_bytes_.clear();
    typical_bytes_[request.repository] = bytes;
  }
  EZ_TRY(write_owner(workspace, bytes));
  return workspace;
}

Result<Commit> WorkspaceManager::commit(Workspace& workspace, const std::string& message) {
  EZ_CHECK(workspace.request_.mode == WorkspaceMode::kWrite, "commit in a workspace that is not for writing");
  const Git& git = *workspace.git_;
  Commit commit;
  // Git would open a repository planted below the tree with that repository's own configuration. Its files
  // are kept, as ordinary ones.
  EZ_ASSIGN(const std::vector<std::string> planted, nested_git(workspace.tree_));
  for (const std::string& path : planted) {
    EZ_TRY(remove_tree(workspace.tree_ + "/" + path));
    if (commit.notes.size() < 20)
      commit.notes.push_back("removed " + path +
                             ": a nested repository's files are committed as ordinary files");
  }
  ::unlink((workspace.git_dir_ + "/index.lock")
               .c_str());  // of a git of ours that was killed; nobody else can write here
  GitCall call;
  call.git_dir = workspace.git_dir_;
  call.work_tree = workspace.tree_;
  call.arguments = {"add", "--all", "--", "."};
  EZ_ASSIGN(std::string said, git.text(call));
  call.arguments = {"write-tree"};
  EZ_ASSIGN(const std::string tree, git.text(call));
  EZ_ASSIGN(const std::string before, git.text({"rev-parse", "--verify", workspace.start_ + "^{tree}"}));
  if (tree == before) return commit;
  GitCall changed;
  changed.arguments = {"diff-tree", "-r", "--no-renames", "--name-only", "-z", before, tree};
  EZ_ASSIGN(const ProcessOutcome names, git.run(changed));
  commit.changed_files = std::count(names.out.begin(), names.out.end(), '\0');
  call.work_tree.clear();
  call.arguments = {"commit-tree", tree, "-p", workspace.start_, "-F", "-"};
  call.input = line_safe(message) + trailers(workspace.request_);
  EZ_ASSIGN(commit.id, git.text(call));
  auto lock = FileLock::acquire(git.common_dir() + "/ez.lock", options_.lock_wait);
  if (!lock.ok()) return lock.error();
  EZ_ASSIGN(const bool moved,
            git.move_branch(workspace.branch_, commit.id, workspace.start_, "ez: work of an attempt", *lock));
  if (!moved)
    return Error(Code::GitFailed,
                 "the attempt's branch " + workspace.branch_ + " was moved by somebody else");
  workspace.start_ = commit.id;
  return commit;
}

// The attempt's branch goes when nothing on it is missing from the run's branch. Under the repository's lock.
Status WorkspaceManager::drop_branch(Workspace& workspace, const FileLock& lock) const {
  if (workspace.branch_.empty() || workspace.start_.empty()) return {};
  const Git& git = *workspace.git_;
  EZ_ASSIGN(const std::string head, git.commit_of("refs/heads/" + workspace.branch_));
  EZ_ASSIGN(const std::string run, git.commit_of("refs/heads/" + workspace.request_.run_branch));
  if (head.empty() || run.empty()) return {};
  EZ_ASSIGN(const bool merged, git.is_ancestor(head, run));
  if (!merged) return {};
  EZ_ASSIGN([[maybe_unused]] const bool gone,
            git.move_branch(workspace.branch_, "", head, "ez: attempt ended", lock));
  return {};
}

Status WorkspaceManager::discard(Workspace& workspace) {
  Status result;
  const auto keep_first = [&result](const Status& status) {
    if (result.ok() && !status.ok()) result = status;
  };
  if (workspace.ready_ && workspace.owner_.valid()) {
    // Should we die in the middle, a half-removed tree must not be taken for work that removed files.
    workspace.ready_ = false;
    [[maybe_unused]] const Status best_effort = write_owner(workspace, 0);
  }
  keep_first(remove_tree(workspace.root_));
  if (workspace.git_) {
    const Git& git = *workspace.git_;
    auto lock = FileLock::acquire(git.common_dir() + "/ez.lock", options_.lock_wait);
    if (!lock.ok()) return lock.error();
    if (is_our_git_dir(workspace.git_dir_, git.common_dir())) keep_first(remove_tree(workspace.git_dir_));
    keep_first(drop_branch(workspace, *lock));
  }
  if (!result.ok()) return result;  // the owner file stays, so that a later recover() finds the rest
  ::unlink((options_.root + "/" + workspace.id_ + ".owner").c_str());
  workspace.owner_.reset();
  return result;
}

Status WorkspaceManager::remove(Workspace workspace) {
  if (park(workspace)) return {};
  return discard(workspace);
}

// What a worker that died had not committed yet becomes a commit on the attempt's branch, which stays.
Status WorkspaceManager::keep_unfinished(Workspace& workspace) {
  struct stat info {};
  if (::lstat(workspace.tree_.c_str(), &info) != 0 && errno == ENOENT) return {};
  EZ_ASSIGN(const std::string head, workspace.git_->commit_of("refs/heads/" + workspace.branch_));
  if (head.empty()) return {};
  workspace.start_ = head;
  auto kept = commit(workspace, workspace.request_.task + ": unfinished work of a worker that died");
  return kept.ok() ? Status() : Status(kept.error());
}

Result<std::size_t> WorkspaceManager::recover() {
  EZ_TRY(make_folders(options_.root));
  char resolved[PATH_MAX];
  if (::realpath(options_.root.c_str(), resolved) == nullptr) {
    return system_error(Code::IoFailed, Code::DiskFull, "path of " + options_.root, errno);
  }
  std::size_t found = 0;
  Status first_failure;
  for (const std::string& id : owner_ids(options_.root)) {
    Workspace workspace;
    workspace.id_ = id;
    workspace.owner_ =
        UniqueFd(::open((options_.root + "/" + id + ".owner").c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (!workspace.owner_.valid() || ::flock(workspace.owner_.get(), LOCK_EX | LOCK_NB) != 0)
      continue;  // its owner lives
    auto text = read_all(workspace.owner_.get(), kMaxOwnerBytes);
    std::map<std::string, std::string> fields;
    if (text.ok()) fields = parse_owner(*text);
    workspace.root_ = std::string(resolved) + "/" + id;
    workspace.tree_ = workspace.root_ + "/" + id;
    WorkspaceRequest& request = workspace.request_;
    request.mode = fields["mode"] == "write" ? WorkspaceMode::kWrite : WorkspaceMode::kRead;
    request.run = fields["run"];
    request.task = fields["task"];
    request.attempt = to_number(fields["attempt"]);
    request.repository = fields["repository"];
    request.run_branch = fields["run_branch"];
    workspace.branch_ = fields["branch"];
    workspace.start_ = fields["start"];
    workspace.git_dir_ = fields["git_dir"];
    if (fields["mode"] != "none" && !request.repository.empty()) {
      auto git = Git::open(request.repository);
      if (git.ok())
        workspace.git_ =
            std::move(git).value();  // otherwise the repository is gone, and its worktree records with it
    }
    if (workspace.git_ && workspace.git_dir_.empty()) {
      // It died between `git worktree add` and the second record: the name is known all the same.
      workspace.git_dir_ = workspace.git_->common_dir() + "/worktrees/" + id;
    }
    if (workspace.git_) {
      // Its last git may still be at work, and hold this lock.
      auto lock = FileLock::acquire(workspace.git_->common_dir() + "/ez.lock", options_.lock_wait);
      if (!lock.ok()) {
        if (first_failure.ok()) first_failure = lock.error();
        continue;
      }
    }
    const bool ready = fields["ready"] == "1";  // a half-made tree would look like work that removed files
    if (workspace.git_ && ready && request.mode == WorkspaceMode::kWrite && !workspace.start_.empty() &&
        is_our_git_dir(workspace.git_dir_, workspace.git_->common_dir())) {
      workspace.ready_ = true;
      if (Status kept = keep_unfinished(workspace); !kept.ok()) {
        if (first_failure.ok()) first_failure = kept;
        continue;  // losing work is worse than losing disk; the next start tries again
      }
    }
    if (Status gone = discard(workspace); gone.ok()) {
      ++found;
    } else if (first_failure.ok()) {
      first_failure = gone;
    }
  }
  if (!first_failure.ok()) return first_failure.error();
  return found;
}

}  // namespace ez::agents
