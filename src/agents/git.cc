#include "agents/git.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <thread>

#include "agents/files.h"

namespace ez::agents {
namespace {

// A git that was killed (the machine lost its power) leaves the lock of its reference behind for ever. Git
// holds such a lock for milliseconds, and everything below ez/ is written under our own lock: one this old
// has no owner.
constexpr std::int64_t kStaleLockSeconds = 3;
constexpr std::int64_t kStalePackingSeconds = 600;
constexpr auto kStaleLockPause = std::chrono::milliseconds(100);

// True when the lock of that reference was orphaned and is gone now. Waits at most a little over
// kStaleLockSeconds for one that is young.
bool clear_orphaned_lock(const std::string& common_dir, const std::string& branch) {
  if (!branch.starts_with("ez/")) return false;
  const std::string path = common_dir + "/refs/heads/" + branch + ".lock";
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(kStaleLockSeconds + 1);
  while (std::chrono::steady_clock::now() < limit) {
    struct stat found {};
    if (::lstat(path.c_str(), &found) != 0) return true;  // its owner has finished
    if (std::time(nullptr) - found.st_mtime >= kStaleLockSeconds) return ::unlink(path.c_str()) == 0;
    std::this_thread::sleep_for(kStaleLockPause);
  }
  return false;
}

// The lock of packed-refs belongs to everybody's git, which may hold it for seconds in a large repository.
bool clear_orphaned_packing(const std::string& common_dir) {
  const std::string path = common_dir + "/packed-refs.lock";
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) return false;
  return std::time(nullptr) - found.st_mtime >= kStalePackingSeconds && ::unlink(path.c_str()) == 0;
}

// Records of worktrees are not written at once: one that another git is making cannot be read for a moment.
constexpr int kRecordTries = 6;
constexpr auto kRecordPause = std::chrono::milliseconds(10);  // twice as long each time

constexpr int kLockFd = 3;
constexpr std::string_view kPath = "/usr/local/bin:/usr/bin:/bin";

// Switches that are set for every call, whatever the repository says.
const std::vector<std::pair<std::string, std::string>>& fixed_overrides() {
  static const std::vector<std::pair<std::string, std::string>> list = {
      {"core.hooksPath", "/dev/null"},
      {"core.fsmonitor", "false"},
      {"core.untrackedCache", "false"},
      {"core.pager", "cat"},
      {"core.editor", "false"},
      {"core.askPass", "false"},
      {"core.sshCommand", "false"},
      {"core.attributesFile", "/dev/null"},
      {"core.excludesFile", "/dev/null"},
      {"core.splitIndex", "false"},
      {"core.fsync", "committed,loose-object,reference"},
      {"core.fsyncMethod", "batch"},
      {"commit.gpgSign", "false"},
      {"tag.gpgSign", "false"},
      {"gc.auto", "0"},
      {"maintenance.auto", "false"},
      {"protocol.allow", "never"},
      {"submodule.recurse", "false"},
      {"diff.external", ""},
      {"diff.ignoreSubmodules", "all"},
      {"status.submoduleSummary", "false"},
      {"advice.detachedHead", "false"},
      {"index.threads", "2"},
      {"feature.manyFiles", "false"},
      {"core.alternateRefsCommand", ""},
      {"rerere.enabled", "false"}};
  return list;
}

bool ends_with_any(std::string_view key, std::initializer_list<std::string_view> endings) {
  for (const std::string_view ending : endings) {
    if (key.ends_with(ending)) return true;
  }
  return false;
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

std::string first_lines(const ProcessOutcome& outcome) {
  std::string said = trimmed(outcome.err.empty() ? outcome.out : outcome.err);
  if (said.size() > 600) said = said.substr(0, 600) + " …";
  return said;
}

Error failed(const GitCall& call, const std::string& what) {
  std::string command = "git";
  for (std::size_t i = 0; i < call.arguments.size() && i < 8; ++i) command += " " + call.arguments[i];
  return Error(Code::GitFailed, command + ": " + what);
}

}  // namespace

Result<Git> Git::open(const std::string& repository) {
  Git git;
  git.program_ = find_program("git", kPath);
  if (git.program_.empty()) return Error(Code::RepositoryInvalid, "the git command is not installed");
  if (repository.empty() || repository[0] != '/') {
    return Error(Code::RepositoryInvalid,
                 "the repository needs an absolute path, got \"" + repository + "\"");
  }
  // The only call that reads the user's own configuration, for safe.directory: git refuses a repository of
  // somebody else.
  ProcessSpec look;
  look.argv = {git.program_, "rev-parse", "--path-format=absolute", "--git-common-dir"};
  look.directory = repository;
  const char* home = std::getenv("HOME");
  look.environment = {"PATH=" + std::string(kPath), "LC_ALL=C",
                      "HOME=" + std::string(home == nullptr ? "/nonexistent" : home)};
  look.timeout = std::chrono::milliseconds(60'000);
  auto found = run_process(look);
  if (!found.ok()) return Error(Code::RepositoryInvalid, repository + ": " + found.error().message());
  git.common_dir_ = trimmed(found->out);
  if (!found->succeeded() || git.common_dir_.empty() || git.common_dir_[0] != '/') {
    return Error(Code::RepositoryInvalid, repository + ": " + first_lines(*found));
  }
  git.overrides_ = fixed_overrides();
  GitCall list;
  list.arguments = {"config", "--includes", "--null", "--name-only", "--list"};
  EZ_ASSIGN(const std::string names, git.text(list));
  std::size_t at = 0;
  while (at < names.size()) {
    const std::size_t end = std::min(names.find('\0', at), names.size());
    const std::string key = names.substr(at, end - at);
    at = end + 1;
    if (key.starts_with("filter.")) {
      if (ends_with_any(key, {".clean", ".smudge", ".process"})) git.overrides_.emplace_back(key, "");
      if (key.ends_with(".required")) git.overrides_.emplace_back(key, "false");
    } else if (key.starts_with("merge.") && key.ends_with(".driver")) {
      git.overrides_.emplace_back(key, "git merge-file --marker-size=%L %A %O %B");
    } else if (key.starts_with("diff.") && ends_with_any(key, {".command", ".textconv"})) {
      git.overrides_.emplace_back(key, "");
    } else if (key.starts_with("trailer.") && ends_with_any(key, {".cmd", ".command"})) {
      git.overrides_.emplace_back(key, "false");
    }
  }
  return git;
}

Result<ProcessOutcome> Git::run(const GitCall& call, const CancelToken* cancel) const {
  ProcessSpec spec;
  spec.argv = {program_};
  spec.argv.insert(spec.argv.end(), call.arguments.begin(), call.arguments.end());
  spec.directory = call.work_tree.empty() ? "/" : call.work_tree;
  spec.input = call.input;
  spec.timeout = call.timeout;
  spec.max_capture_bytes = call.max_output_bytes;
  if (call.lock != nullptr) {
    spec.outlives_us = true;
    spec.descriptors = {{call.lock->fd(), kLockFd}};
  }
  const auto add = [&spec](std::string_view name, std::string_view value) {
    spec.environment.push_back(std::string(name) + "=" + std::string(value));
  };
  add("PATH", kPath);
  add("HOME", "/nonexistent");
  add("LC_ALL", "C.UTF-8");
  add("GIT_DIR", call.git_dir.empty() ? common_dir_ : call.git_dir);
  if (!call.work_tree.empty()) add("GIT_WORK_TREE", call.work_tree);
  if (!call.index_file.empty()) add("GIT_INDEX_FILE", call.index_file);
  add("GIT_CONFIG_NOSYSTEM", "1");
  add("GIT_CONFIG_GLOBAL", "/dev/null");
  add("GIT_ATTR_NOSYSTEM", "1");
  add("GIT_NO_REPLACE_OBJECTS", "1");
  add("GIT_TERMINAL_PROMPT", "0");
  add("GIT_OPTIONAL_LOCKS", "0");
  add("GIT_ALLOW_PROTOCOL", "none");
  add("GIT_AUTHOR_NAME", kGitName);
  add("GIT_AUTHOR_EMAIL", kGitEmail);
  add("GIT_COMMITTER_NAME", kGitName);
  add("GIT_COMMITTER_EMAIL", kGitEmail);
  add("GIT_CONFIG_COUNT", std::to_string(overrides_.size()));
  for (std::size_t i = 0; i < overrides_.size(); ++i) {
    add("GIT_CONFIG_KEY_" + std::to_string(i), overrides_[i].first);
    add("GIT_CONFIG_VALUE_" + std::to_string(i), overrides_[i].second);
  }
  auto outcome = run_process(spec, nullptr, cancel);
  if (!outcome.ok()) return failed(call, outcome.error().message());
  if (outcome->stopped) {
    if (outcome->stopped->code() == Code::TaskCancelled) return *outcome->stopped;
    return failed(call, outcome->stopped->message());
  }
  return outcome;
}

Result<std::string> Git::text(const GitCall& call, const CancelToken* cancel) const {
  EZ_ASSIGN(ProcessOutcome outcome, run(call, cancel));
  if (outcome.exit_code != 0) return failed(call, first_lines(outcome));
  if (outcome.cut) return failed(call, "more output than expected");
  if (!outcome.out.empty() && outcome.out.back() == '\n') outcome.out.pop_back();
  return std::move(outcome.out);
}

Result<std::string> Git::text(std::initializer_list<std::string> arguments) const {
  GitCall call;
  call.arguments = arguments;
  return text(call);
}

Result<std::string> Git::commit_of(const std::string& name) const {
  GitCall call;
  call.arguments = {"rev-parse", "--verify", "--quiet", "--end-of-options", name + "^{commit}"};
  EZ_ASSIGN(const ProcessOutcome outcome, run(call));
  return outcome.exit_code == 0 ? trimmed(outcome.out) : std::string();
}

Result<bool> Git::is_ancestor(const std::string& older, const std::string& newer) const {
  GitCall call;
  call.arguments = {"merge-base", "--is-ancestor", older, newer};
  EZ_ASSIGN(const ProcessOutcome outcome, run(call));
  if (outcome.exit_code > 1) return failed(call, first_lines(outcome));
  return outcome.exit_code == 0;
}

Result<bool> Git::move_branch(const std::string& branch, const std::string& after, const std::string& before,
                              const std::string& reason, const FileLock& lock) const {
  const std::string ref = "refs/heads/" + branch;
  const std::string zero(after.empty() ? before.size() : after.size(), '0');
  GitCall call;
  call.lock = &lock;
  call.arguments = {"update-ref", "-m", reason};
  if (after.empty()) {
    call.arguments.insert(call.arguments.end(), {"-d", ref, before});
  } else {
    call.arguments.insert(call.arguments.end(), {ref, after, before.empty() ? zero : before});
  }
  EZ_ASSIGN(ProcessOutcome outcome, run(call));
  if (outcome.exit_code == 0) return true;
  EZ_ASSIGN(const std::string now, commit_of(ref));
  if (now != before) return false;
  if (clear_orphaned_lock(common_dir(), branch) || clear_orphaned_packing(common_dir())) {
    EZ_ASSIGN(outcome, run(call));
    if (outcome.exit_code == 0) return true;
  }
  return failed(call, first_lines(outcome));
}

Result<std::string> Git::checked_out_at(const std::string& branch, std::chrono::milliseconds wait) const {
  auto found = text({"for-each-ref", "--format=%(worktreepath)", "refs/heads/" + branch});
  if (found.ok()) return found;
  EZ_ASSIGN(const FileLock lock, FileLock::acquire(common_dir() + "/ez.lock", wait));
  return checked_out_at(branch, lock);
}

Result<std::string> Git::checked_out_at(const std::string& branch, const FileLock&) const {
  auto pause = kRecordPause;
  for (int tries = 1;; ++tries) {
    auto found = text({"for-each-ref", "--format=%(worktreepath)", "refs/heads/" + branch});
    if (found.ok() || tries == kRecordTries) return found;
    std::this_thread::sleep_for(pause);  // a git of the user's, which our lock does not hold
    pause *= 2;
  }
}

Status Git::check_branch_name(const std::string& branch) const {
  GitCall call;
  call.arguments = {"check-ref-format", "refs/heads/" + branch};
  EZ_ASSIGN(const ProcessOutcome outcome, run(call));
  if (outcome.exit_code != 0 || branch.empty() || branch[0] == '-') {
    return Error(Code::InvalidArgument, "\"" + branch + "\" cannot be the name of a branch");
  }
  return {};
}

}  // namespace ez::agents
