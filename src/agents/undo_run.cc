#include "agents/undo_run.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "agents/file_lock.h"
#include "agents/files.h"
#include "agents/workspace.h"

namespace ez::agents {
namespace {

std::string short_id(const std::string& commit) { return commit.substr(0, 12); }

std::vector<std::string> parts_of(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

Error refused(const std::string& what, const std::string& hint = "") {
  return hint.empty() ? Error(Code::RollbackRefused, what) : Error(Code::RollbackRefused, what, hint);
}

class Undoing {
 public:
  Undoing(const UndoRequest& request, const Git& git) : request_(request), git_(git) {}

  Result<UndoResult> undo() {
    if (place_.path().empty()) return Error(Code::IoFailed, "no place for a folder in /tmp");
    EZ_TRY(find());
    EZ_TRY(build());
    EZ_TRY(compare());
    if (!request_.dry_run && result_.after != result_.before) EZ_TRY(move());
    return std::move(result_);
  }

 private:
  struct Merged {
    std::string tree;                // empty: conflicts
    std::vector<std::string> files;  // with conflicts
  };

  Status find() {
    EZ_ASSIGN(result_.before, git_.commit_of("refs/heads/" + request_.branch));
    if (result_.before.empty()) {
      return refused(request_.repository + " has no branch " + request_.branch,
                     "Name the branch that has the run's work with --branch.");
    }
    result_.after = result_.before;
    EZ_ASSIGN(RunMerges found, find_run_merges(git_, request_.run, request_.tasks, request_.since_s));
    if (!found.missing.empty()) {
      std::string names;
      for (const std::string& task : found.missing) names += (names.empty() ? "" : ", ") + task;
      return refused("the repository does not have the merges of " + names);
    }
    if (found.merges.empty()) return refused(request_.run + " merged no work: there is nothing to undo");
    merges_ = std::move(found.merges);
    EZ_TRY(find_undone());
    for (const RunMerge& merge : merges_) {
      EZ_ASSIGN(const bool part, git_.is_ancestor(merge.commit, result_.before));
      if (part) continue;
      return refused("the merge of " + merge.task + " (" + short_id(merge.commit) + ") is not part of " +
                         request_.branch,
                     "Name the branch that has it with --branch; what was squashed or rebased has to be "
                     "undone by hand.");
    }
    return {};
  }

  // Merges that an earlier call has undone, and nobody has taken that back since (`git revert` says so in its
  // message). Looking at the tree would not do: after later merges are undone too, it fits no more.
  Status find_undone() {
    GitCall list;
    list.arguments = {"log",
                      "-z",
                      "--no-merges",
                      "--topo-order",
                      "--reverse",
                      "--format=%H%x00%B",
                      "--grep=^Ez-Undoes: ",
                      "--grep=^This reverts commit ",
                      result_.before,
                      "^" + merges_.back().before};
    list.max_output_bytes = kMaxMergeListBytes;
    EZ_ASSIGN(const std::string text, git_.text(list));
    const std::vector<std::string> parts = parts_of(text, '\0');
    constexpr std::string_view kTakenBack = "This reverts commit ", kUndoes = "Ez-Undoes: ";
    for (std::size_t i = 0; i + 1 < parts.size(); i += 2) {
      for (const std::string& line : parts_of(parts[i + 1], '\n')) {
        if (line.starts_with(kUndoes)) undone_[line.substr(kUndoes.size())] = parts[i];
        if (!line.starts_with(kTakenBack)) continue;
        const std::string back = line.substr(kTakenBack.size(), line.find('.') - kTakenBack.size());
        std::erase_if(undone_, [&](const auto& entry) { return entry.second == back; });
      }
    }
    return {};
  }

  // What comes of undoing one merge on a commit. The state before the merge, as a child of the merge, makes
  // the merge the base of the three: git-merge-tree(1) of git 2.39 takes no other base.
  Result<Merged> without(const std::string& head, const RunMerge& merge) const {
    GitCall child;
    child.arguments = {"commit-tree", merge.before + "^{tree}", "-p", merge.commit, "-m", "before the merge"};
    EZ_ASSIGN(const std::string undone, git_.text(child));
    GitCall call;
    call.work_tree = place_.path();
    call.index_file = place_.path() + "/index";
    call.arguments = {"merge-tree", "--write-tree", "--no-messages", "-z", "--name-only", head, undone};
    EZ_ASSIGN(const ProcessOutcome outcome, git_.run(call));
    std::vector<std::string> parts = parts_of(outcome.out, '\0');
    if (outcome.exit_code > 1 || parts.empty())
      return Error(Code::GitFailed, "git merge-tree " + head + " " + undone + ": " + outcome.err);
    if (outcome.exit_code == 0) return Merged{parts[0], {}};
    parts.erase(parts.begin());
    parts.erase(std::remove(parts.begin(), parts.end(), ""), parts.end());
    return Merged{"", std::move(parts)};
  }

  Result<std::string> commit(const std::string& tree, const std::string& head, const RunMerge& merge) const {
    GitCall call;
    call.arguments = {"commit-tree", tree, "-p", head, "-F", "-"};
    call.input = "Undo task " + merge.task + " of run " + request_.run +
                 "\n\nThis takes back what the merge " + merge.commit +
                 " brought.\n\nEz-Run: " + request_.run + "\nEz-Task: " + merge.task +
                 "\nEz-Undoes: " + merge.commit + "\n";
    return git_.text(call);
  }

  Result<std::string> tree_of(const std::string& commit) const {
    return git_.text({"rev-parse", "--verify", "--end-of-options", commit + "^{tree}"});
  }

  Status build() {
    for (std::size_t i = 0; i < merges_.size(); ++i) {
      const RunMerge& merge = merges_[i];
      UndoStep step{merge.task, merge.commit, "", 0};
      if (undone_.contains(merge.commit)) {
        result_.steps.push_back(std::move(step));
        continue;
      }
      EZ_ASSIGN(const Merged merged, without(result_.after, merge));
      if (merged.tree.empty()) return explain(i, merged.files);
      EZ_ASSIGN(const std::string now, tree_of(result_.after));
      if (merged.tree != now) {
        GitCall changed;
        changed.arguments = {"diff-tree", "-r", "--no-renames", "--name-only", "-z", now, merged.tree};
        EZ_ASSIGN(const std::string names, git_.text(changed));
        step.changed_files = std::count(names.begin(), names.end(), '\0');
        EZ_ASSIGN(step.commit, commit(merged.tree, result_.after, merge));
        result_.after = step.commit;
      }
      result_.steps.push_back(std::move(step));
    }
    return {};
  }

  // Whether undoing the first `count` merges, as far as `commit` has them, ends without a conflict.
  Result<bool> is_clean(const std::string& commit_id, std::size_t count) const {
    std::string head = commit_id;
    for (std::size_t i = 0; i < count; ++i) {
      EZ_ASSIGN(const bool has, git_.is_ancestor(merges_[i].commit, commit_id));
      if (!has || undone_.contains(merges_[i].commit)) continue;
      EZ_ASSIGN(const Merged merged, without(head, merges_[i]));
      if (merged.tree.empty()) return false;
      EZ_ASSIGN(head, commit(merged.tree, head, merges_[i]));
    }
    return true;
  }

  // The refusal: which later commits stand in the way. Those after which the merge can still be undone do
  // not.
  Error explain(std::size_t place, const std::vector<std::string>& files) const {
    const RunMerge& merge = merges_[place];
    std::string what = "the merge of " + merge.task + " (" + short_id(merge.commit) +
                       ") cannot be undone on " + request_.branch +
                       ", because the same lines were changed later";
    std::string where;
    for (std::size_t i = 0; i < files.size() && i < kMaxNamedCommits; ++i)
      where += (i == 0 ? "" : ", ") + files[i];
    const Result<std::vector<std::string>> named = later_commits(place, files);
    if (!named.ok()) return named.error();
    for (std::size_t i = 0; i < named->size(); ++i) what += (i == 0 ? ": " : "; ") + (*named)[i];
    return refused(what + " (in " + where + ")");
  }

  Result<std::vector<std::string>> later_commits(std::size_t place,
                                                 const std::vector<std::string>& files) const {
    const RunMerge& merge = merges_[place];
    GitCall list;
    list.arguments = {"log",
                      "-z",
                      "--no-merges",
                      "--full-history",
                      "--reverse",
                      "--max-count=" + std::to_string(kMaxNamedCommits),
                      "--format=%H%x00%P%x00%s",
                      "--stdin",
                      "--"};
    for (const std::string& file : files) list.arguments.push_back(":(top,literal)" + file);
    list.input = result_.before + "\n^" + merge.commit + "\n";
    for (const RunMerge& own : merges_) list.input += "^" + own.work + "\n";
    EZ_ASSIGN(const std::string text, git_.text(list));
    const std::vector<std::string> parts = parts_of(text, '\0');
    std::vector<std::string> out;
    for (std::size_t i = 0; i + 2 < parts.size(); i += 3) {
      EZ_ASSIGN(const bool clean_after, is_clean(parts[i], place + 1));
      EZ_ASSIGN(const bool follows, git_.is_ancestor(merge.commit, parts[i]));
      if (clean_after && follows) continue;
      out.push_back(short_id(parts[i]) + " \"" + parts[i + 2].substr(0, 80) + "\"");
    }
    return out;
  }

  Status compare() {
    std::vector<std::string> own;
    for (const RunMerge& merge : merges_) own.push_back(merge.commit);
    const std::string& begin = merges_.back().before;
    EZ_ASSIGN(const std::string since,
              git_.text({"rev-list", "--first-parent", begin + ".." + result_.before}));
    std::vector<std::string> all = parts_of(since, '\n');
    std::sort(own.begin(), own.end());
    std::sort(all.begin(), all.end());
    if (own != all) return {};
    EZ_ASSIGN(const std::string was, tree_of(begin));
    EZ_ASSIGN(const std::string is, tree_of(result_.after));
    if (was != is) {
      return Error(Code::GitFailed, "undoing " + request_.run + " gives the tree " + is +
                                        ", but before the run it was " + was + "; nothing was changed");
    }
    result_.exact = true;
    return {};
  }

  Status move() {
    EZ_ASSIGN(const FileLock lock, FileLock::acquire(git_.common_dir() + "/ez.lock", request_.wait));
    const std::string reason = "ez: rollback of " + request_.run;
    if (!request_.into.empty()) {
      EZ_ASSIGN(const bool made, git_.move_branch(request_.into, result_.after, "", reason, lock));
      if (made) return {};
      return refused("there is a branch " + request_.into + " already", "Give another name for --into.");
    }
    EZ_ASSIGN(const std::string where, git_.checked_out_at(request_.branch, lock));
    if (!where.empty()) {
      return Error(
          Code::BranchCheckedOut, request_.branch + " is checked out at " + where,
          "Check out another branch there, or put the result on a new one, which you then merge yourself: "
          "--into NAME.");
    }
    EZ_ASSIGN(const bool moved,
              git_.move_branch(request_.branch, result_.after, result_.before, reason, lock));
    if (moved) return {};
    return Error(Code::RepositoryBusy,
                 "the branch " + request_.branch + " was moved by somebody else meanwhile");
  }

  const UndoRequest& request_;
  const Git& git_;
  TemporaryFolder place_{"undo"};  // without an index: git then believes no attributes but its own
  std::vector<RunMerge> merges_;
  std::map<std::string, std::string> undone_;  // merge → the commit that undid it
  UndoResult result_;
};

}  // namespace

Result<UndoResult> undo_run(const UndoRequest& request) {
  EZ_ASSIGN(const Git git, Git::open(request.repository));
  EZ_TRY(git.check_branch_name(request.branch));
  if (!request.into.empty()) EZ_TRY(git.check_branch_name(request.into));
  EZ_ASSIGN(FileLock turn, FileLock::acquire(merge_turn_path(git, request.branch), request.wait));
  Result<UndoResult> result = Undoing(request, git).undo();
  turn.remove();
  return result;
}

}  // namespace ez::agents
