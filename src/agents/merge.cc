// Merging an attempt into the run's branch; see workspace.h.
//
// The merge itself needs no working tree: `git merge-tree --write-tree` (git 2.38) computes it from the
// object store, so a crash at any point leaves at most objects that nothing refers to, and the branch moves
// in one compare-and-swap.
#include <algorithm>

#include "agents/file_lock.h"
#include "agents/files.h"
#include "agents/merge_problem.h"
#include "agents/work_item.h"
#include "agents/workspace.h"
#include "base/sha256.h"

namespace ez::agents {
namespace {

constexpr int kMaxRounds = 8;  // the branch moved under us that often
constexpr std::size_t kMaxConflictFiles = 40;

std::vector<std::string> split_zero(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find('\0', at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

void append_bounded(std::string& out, std::string_view more) {
  out.append(more.substr(0, kMaxConflictBytes - std::min(kMaxConflictBytes, out.size())));
}

// The regions between conflict markers of one file.
void append_hunks(std::string& out, const std::string& path, const std::string& content) {
  append_bounded(out, "\n--- " + path + "\n");
  bool inside = false;
  std::size_t at = 0;
  std::size_t line_number = 0;
  while (at < content.size() && out.size() < kMaxConflictBytes) {
    const std::size_t end = std::min(content.find('\n', at), content.size());
    const std::string_view line(content.data() + at, end - at);
    at = end + 1;
    ++line_number;
    if (line.starts_with("<<<<<<< ")) {
      inside = true;
      append_bounded(out, "@@ line " + std::to_string(line_number) + "\n");
    }
    if (inside) {
      append_bounded(out, line);
      append_bounded(out, "\n");
    }
    if (line.starts_with(">>>>>>> ")) inside = false;
  }
}

// "100644 <blob> 2\t<path>": one side of a path that conflicts.
bool take_side(const std::string& part, std::vector<MergeFile>& files) {
  const std::size_t tab = part.find('\t');
  const std::size_t blob = part.find(' ');
  if (tab == std::string::npos || blob == std::string::npos || tab < blob + 3 || part[tab - 2] != ' ')
    return false;
  const int stage = part[tab - 1] - '1';
  if (stage < 0 || stage > 2) return false;
  const std::string path = part.substr(tab + 1);
  if (files.empty() || files.back().path != path) files.push_back({path, {}});
  files.back().sides[static_cast<std::size_t>(stage)] = {part.substr(0, blob),
                                                         part.substr(blob + 1, tab - blob - 3)};
  return true;
}

// Whether a resolver may settle it: regular files of which each side has one text or none.
bool may_settle(const std::vector<MergeFile>& files) {
  if (files.empty() || files.size() > kMaxSettledFiles) return false;
  return std::all_of(files.begin(), files.end(), [](const MergeFile& file) {
    for (const MergeSide& side : file.sides) {
      if (!side.mode.empty() && side.mode != "100644" && side.mode != "100755") return false;
    }
    return is_safe_path(file.path) && file.path.find('\n') == std::string::npos &&
           !(file.sides[1].mode.empty() && file.sides[2].mode.empty());
  });
}

bool is_known_kind(const std::string& kind) {
  return kind == "CONFLICT (contents)" || kind == "CONFLICT (binary)" || kind == "CONFLICT (modify/delete)" ||
         kind == "CONFLICT (rename/delete)";
}

// `git merge-tree -z --messages` with conflicts: tree, NUL, each side of each file, NUL, one more NUL, then
// for each message: the number of paths, the paths, a short type, the text, each ended by NUL
// (git-merge-tree(1), "OUTPUT").
MergeProblem problem_of(const Git& git, const std::string& output) {
  const std::vector<std::string> parts = split_zero(output);
  MergeProblem problem;
  problem.tree = parts[0];
  std::size_t at = 1;
  for (; at < parts.size() && !parts[at].empty(); ++at) {
    if (!take_side(parts[at], problem.files)) problem.may_settle = false;
  }
  for (++at; at < parts.size();) {
    std::size_t paths = 0;
    for (const char c : parts[at]) {
      if (c < '0' || c > '9' || paths > 1'000'000) {
        problem.may_settle = false;
        return problem;
      }
      paths = paths * 10 + static_cast<std::size_t>(c - '0');
    }
    if (at + paths + 2 >= parts.size()) break;
    const std::string& kind = parts[at + paths + 1];
    if (kind.starts_with("CONFLICT")) {
      append_bounded(problem.text, parts[at + paths + 2]);
      if (!is_known_kind(kind)) problem.may_settle = false;
    }
    at += paths + 3;
  }
  const std::vector<MergeFile>& files = problem.files;
  for (std::size_t i = 0;
       i < files.size() && i < kMaxConflictFiles && problem.text.size() < kMaxConflictBytes; ++i) {
    GitCall show;
    show.arguments = {"cat-file", "blob", parts[0] + ":" + files[i].path};
    show.max_output_bytes = 1024 * 1024;
    auto blob = git.run(show);
    if (blob.ok() && blob->exit_code == 0) append_hunks(problem.text, files[i].path, blob->out);
  }
  if (problem.text.empty()) problem.text = "conflict";
  problem.may_settle = problem.may_settle && may_settle(files);
  for (const MergeFile& file : files) problem.allowed.push_back(file.path);
  std::sort(problem.allowed.begin(), problem.allowed.end());
  return problem;
}

// The .gitattributes files of a commit, and nothing else, laid out in an empty folder: they say how paths
// merge (binary, union).
Result<GitCall> attribute_view(const Git& git, const std::string& commit, const Workspace& scratch) {
  GitCall view;
  view.index_file = scratch.home() + "/index";
  view.work_tree = scratch.tree();
  view.arguments = {"read-tree", commit};
  EZ_ASSIGN(std::string said, git.text(view));
  view.arguments = {"ls-files", "-z", "--", ":(glob)**/.gitattributes"};
  EZ_ASSIGN(const std::string names, git.text(view));
  if (!names.empty()) {
    view.arguments = {"checkout-index", "-z", "--stdin", "--quiet"};
    view.input = names;
    EZ_ASSIGN(said, git.text(view));
    view.input.clear();
  }
  return view;
}

std::string merge_message(const MergeRequest& request) {
  std::string first =
      request.message.empty() ? "Merge task " + request.task + " of run " + request.run : request.message;
  std::replace(first.begin(), first.end(), '\n', ' ');
  return first + "\n\nEz-Run: " + request.run + "\nEz-Task: " + request.task +
         "\nEz-Attempt: " + std::to_string(request.attempt) + "\n";
}

}  // namespace

std::string merge_turn_path(const Git& git, const std::string& branch) {
  return git.common_dir() + "/ez-merge-" + sha256_hex(branch).substr(0, 16) + ".lock";
}

// The merged tree; with `files` where it conflicts.
Result<MergeProblem> WorkspaceManager::merge_trees(const Git& git, const MergeRequest& request,
                                                   const std::string& base, bool for_resolver) {
  EZ_ASSIGN(Workspace scratch, create(WorkspaceRequest{WorkspaceMode::kNone, request.run, request.task,
                                                       request.attempt, "", "", "", "", ""}));
  const auto merge = [&]() -> Result<MergeProblem> {
    EZ_ASSIGN(GitCall view, attribute_view(git, base, scratch));
    view.arguments = {"merge-tree", "--write-tree", "--messages", "-z", base, request.commit};
    EZ_ASSIGN(const ProcessOutcome merged, git.run(view));
    const std::string tree = merged.out.substr(0, merged.out.find('\0'));
    if ((merged.exit_code != 0 && merged.exit_code != 1) || tree.empty()) {
      return Error(Code::GitFailed,
                   "git merge-tree " + request.into + " " + request.commit + ": " + merged.err);
    }
    MergeProblem problem;
    if (merged.exit_code == 1) problem = problem_of(git, merged.out);
    problem.tree = tree;
    problem.ours = base;
    problem.theirs = request.commit;
    problem.may_settle = problem.may_settle && !merged.cut;
    if (merged.exit_code == 1 && for_resolver && problem.may_settle)
      EZ_TRY(mark_conflicts(git, problem, scratch));
    return problem;
  };
  auto problem = merge();
  EZ_TRY(remove(std::move(scratch)));
  return problem;
}

Status WorkspaceManager::look_at(const MergeRequest& request, const std::string& head, const Verify& verify) {
  EZ_ASSIGN(Workspace checked,
            create(WorkspaceRequest{WorkspaceMode::kRead, request.run, request.task, request.attempt,
                                    request.repository, "", "", "", head}));
  const Status verdict = verify(checked);
  EZ_TRY(remove(std::move(checked)));
  return verdict;
}

// Nullopt when the branch had moved.
Result<std::optional<MergeResult>> WorkspaceManager::move_run_branch(const Git& git,
                                                                     const MergeRequest& request,
                                                                     MergeResult result,
                                                                     const std::string& tree,
                                                                     const std::string& head) {
  GitCall changed;
  changed.arguments = {"diff-tree", "-r", "--no-renames", "--name-only", "-z", result.base, tree};
  EZ_ASSIGN(const ProcessOutcome names, git.run(changed));
  result.changed_files = std::count(names.out.begin(), names.out.end(), '\0');
  auto lock = FileLock::acquire(git.common_dir() + "/ez.lock", options_.lock_wait);
  if (!lock.ok()) return lock.error();
  // Once more: a person may have checked it out while the check ran, and moving it would make their tree look
  // changed.
  EZ_ASSIGN(const std::string now_at, git.checked_out_at(request.into, *lock));
  if (!now_at.empty()) {
    return Error(Code::BranchCheckedOut, "the run's branch " + request.into + " is checked out at " + now_at);
  }
  EZ_ASSIGN(const bool moved,
            git.move_branch(request.into, head, result.base, "ez: merge of " + request.task, *lock));
  if (!moved) return std::optional<MergeResult>();
  result.merged = true;
  result.head = head;
  if (!request.branch.empty()) {
    // Already safe in the run's branch; a failure to tidy up is no failure of the merge. A person who settled
    // a conflict may still stand on it.
    const auto where = git.checked_out_at(request.branch, *lock);
    if (where.ok() && where->empty()) {
      [[maybe_unused]] const auto gone =
          git.move_branch(request.branch, "", request.commit, "ez: merged", *lock);
    }
  }
  return std::optional(result);
}

// One round; nullopt when the branch moved before ours could.
Result<std::optional<MergeResult>> WorkspaceManager::try_merge(const Git& git, const MergeRequest& request,
                                                               const Verify& verify,
                                                               MergeResolver* resolver) {
  const std::string ref = "refs/heads/" + request.into;
  MergeResult result;
  EZ_ASSIGN(result.base, git.commit_of(ref));
  if (result.base.empty())
    return Error(Code::GitFailed, "the run's branch " + request.into + " does not exist");
  result.head = result.base;
  EZ_ASSIGN(const bool already, git.is_ancestor(request.commit, result.base));
  if (already) return std::optional(result);
  EZ_ASSIGN(const std::string where, git.checked_out_at(request.into, options_.lock_wait));
  if (!where.empty()) {
    return Error(Code::BranchCheckedOut, "the run's branch " + request.into + " is checked out at " + where);
  }
  EZ_ASSIGN(MergeProblem problem, merge_trees(git, request, result.base, resolver != nullptr));
  std::string tree = problem.tree;
  bool settled = problem.files.empty() && problem.text.empty();
  if (!settled) result.conflict = problem.text;
  while (true) {
    if (!settled) {
      std::optional<std::string> made;
      if (resolver != nullptr && problem.may_settle) {
        EZ_ASSIGN(made, settle(git, request, problem, *resolver));
      }
      if (!made) return std::optional(result);
      tree = std::move(*made);
    }
    GitCall write;
    write.arguments = {"commit-tree", tree, "-p", result.base, "-p", request.commit, "-F", "-"};
    write.input = merge_message(request);
    EZ_ASSIGN(const std::string head, git.text(write));
    const Status verdict = verify ? look_at(request, head, verify) : Status();
    if (verdict.ok()) {
      result.conflict.clear();
      return move_run_branch(git, request, std::move(result), tree, head);
    }
    if (resolver == nullptr || verdict.error().code() != Code::VerifyFailed) return verdict.error();
    if (!settled) resolver->refused(verdict.error());
    settled = false;
    problem.check_failed = true;
    problem.tree = tree;
    result.check_failed = true;
    result.conflict = "The texts merge; the check fails on the merged tree.";
  }
}

Result<MergeResult> WorkspaceManager::merge(const MergeRequest& request, const Verify& verify,
                                            MergeResolver* resolver) {
  EZ_ASSIGN(const Git git, Git::open(request.repository));
  EZ_TRY(git.check_branch_name(request.into));
  MergeRequest exact = request;
  EZ_ASSIGN(exact.commit, git.commit_of(request.commit));
  if (exact.commit.empty())
    return Error(Code::GitFailed, "no commit " + request.commit + " in " + request.repository);
  auto lock = FileLock::acquire(merge_turn_path(git, request.into), options_.merge_wait);
  if (!lock.ok()) return lock.error();
  struct Release {
    FileLock& turn;
    ~Release() { turn.remove(); }  // one file for each run would pile up in the user's repository
  } release{*lock};
  for (int round = 0; round < kMaxRounds; ++round) {
    EZ_ASSIGN(std::optional<MergeResult> result, try_merge(git, exact, verify, resolver));
    if (result) return std::move(*result);
  }
  return Error(Code::RepositoryBusy, "the branch " + request.into + " was moved by others during each of " +
                                         std::to_string(kMaxRounds) + " merges");
}

}  // namespace ez::agents
