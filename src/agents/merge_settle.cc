// The repository's side of a merge that a resolver settles; see merge_problem.h.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "agents/files.h"
#include "agents/merge_problem.h"

namespace ez::agents {
namespace {

constexpr std::size_t kMarkerWidth = 7;
constexpr std::size_t kMaxNamedPaths = 5;

// Calls each(line, number) without line ends until it gives false.
template <typename Each>
void each_line(std::string_view text, const Each& each) {
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!each(line, ++number)) return;
  }
}

// How many of the same sign a line begins with.
std::size_t run_of(std::string_view line, char sign) {
  return std::min(line.find_first_not_of(sign), line.size());
}

bool is_marker(std::string_view line) {
  if (line.empty()) return false;
  const std::size_t width = run_of(line, line[0]);
  switch (line[0]) {
    case '<':
    case '>':
    case '|':
      return width >= kMarkerWidth && (width == line.size() || line[width] == ' ');
    case '=':
      return width == kMarkerWidth && width == line.size();
    default:
      return false;
  }
}

// The labels that git gave to the sides are commits; texts that models and people see are the same each time.
std::string with_labels(std::string_view text, const std::string& ours, const std::string& theirs) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end);
    const std::size_t width = run_of(line, line[0]);
    const std::string_view label = line.substr(std::min(width + 1, line.size()));
    const bool marker = width >= kMarkerWidth && width < line.size() && line[width] == ' ';
    const std::string* side = line[0] == '<' ? &ours : line[0] == '>' ? &theirs : nullptr;
    if (marker && line[0] == '|') {
      out.append(line.substr(0, width + 1)) += "base\n";
    } else if (marker && side != nullptr && label.starts_with(*side)) {
      out.append(line.substr(0, width + 1)).append(side == &ours ? "ours" : "theirs");
      out += label.substr(side->size());
    } else {
      out += line;
    }
  }
  return out;
}

bool is_text(const std::string& bytes) { return bytes.find('\0') == std::string::npos; }

// Of a conflict that git shows by no markers.
std::string made_markers(const MergeFile& file, const std::vector<std::string>& sides) {
  const auto side = [&](std::size_t i) {
    if (file.sides[i].mode.empty()) return std::string();
    if (!is_text(sides[1]) || !is_text(sides[2]))
      return "binary: /ez/merge/" + std::string(kMergeSides[i]) + "/" + file.path + "\n";
    return sides[i].empty() || sides[i].back() == '\n' ? sides[i] : sides[i] + "\n";
  };
  const auto label = [&](std::size_t i) {
    return std::string(kMergeSides[i]) + (file.sides[i].mode.empty() ? " (deleted)\n" : "\n");
  };
  return "<<<<<<< " + label(1) + side(1) + "=======\n" + side(2) + ">>>>>>> " + label(2);
}

Result<std::string> blob_text(const Git& git, const std::string& name) {
  GitCall show;
  show.arguments = {"cat-file", "blob", name};
  show.max_output_bytes = kMaxSettledBytes;
  EZ_ASSIGN(ProcessOutcome outcome, git.run(show));
  if (outcome.exit_code != 0) return Error(Code::GitFailed, "git cat-file blob " + name + ": " + outcome.err);
  if (outcome.cut) return Error(Code::PayloadTooLarge, name + " has more than 1 MiB");
  return std::move(outcome.out);
}

Result<std::vector<std::string>> contents_of(const Git& git, const MergeFile& file) {
  std::vector<std::string> out(file.sides.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (file.sides[i].mode.empty()) continue;
    EZ_ASSIGN(out[i], blob_text(git, file.sides[i].blob));
  }
  return out;
}

struct Change {
  std::string path;
  std::string old_mode;  // empty: it was not there
  std::string new_mode;  // empty: it is gone
  std::string old_blob;
  std::string new_blob;
};

// `git diff-tree -r -z`: ":<mode> <mode> <blob> <blob> <letter>", NUL, path, NUL.
Result<std::vector<Change>> changes_between(const Git& git, const std::string& before,
                                            const std::string& after) {
  GitCall call;
  call.arguments = {"diff-tree", "-r", "-z", "--no-renames", "--full-index", before, after};
  call.max_output_bytes = 64 * 1024 * 1024;
  EZ_ASSIGN(const std::string out, git.text(call));
  std::vector<Change> changes;
  std::size_t at = 0;
  while (at < out.size()) {
    const std::size_t end = out.find('\0', at);
    const std::size_t last = end == std::string::npos ? end : out.find('\0', end + 1);
    if (last == std::string::npos || out[at] != ':')
      return Error(Code::GitFailed, "git diff-tree: an unknown form");
    std::vector<std::string> words;
    std::size_t from = at + 1;
    while (from < end) {
      const std::size_t blank = std::min(out.find(' ', from), end);
      words.push_back(out.substr(from, blank - from));
      from = blank + 1;
    }
    if (words.size() != 5) return Error(Code::GitFailed, "git diff-tree: an unknown form");
    const auto mode = [](const std::string& word) { return word == "000000" ? std::string() : word; };
    changes.push_back(
        {out.substr(end + 1, last - end - 1), mode(words[0]), mode(words[1]), words[2], words[3]});
    at = last + 1;
  }
  return changes;
}

std::string named(const std::vector<std::string>& paths) {
  std::string out;
  for (std::size_t i = 0; i < paths.size() && i < kMaxNamedPaths; ++i) out += (i == 0 ? "" : ", ") + paths[i];
  if (paths.size() > kMaxNamedPaths) out += " and " + std::to_string(paths.size() - kMaxNamedPaths) + " more";
  return out;
}

const MergeFile* find_file(const MergeProblem& problem, const std::string& path) {
  for (const MergeFile& file : problem.files) {
    if (file.path == path) return &file;
  }
  return nullptr;
}

Result<bool> is_in(const Git& git, const std::string& commit, const std::string& path) {
  GitCall call;
  call.arguments = {"cat-file", "-e", commit + ":" + path};
  EZ_ASSIGN(const ProcessOutcome outcome, git.run(call));
  return outcome.exit_code == 0;
}

bool is_file_mode(const std::string& mode) { return mode == "100644" || mode == "100755"; }

// Only what the conflict needs.
Status check_scope(const Git& git, const MergeProblem& problem, const std::vector<Change>& changes) {
  std::vector<std::string> outside;
  for (const Change& change : changes) {
    if (!std::binary_search(problem.allowed.begin(), problem.allowed.end(), change.path))
      outside.push_back(change.path);
  }
  if (!outside.empty())
    return Error(Code::MergeConflict, "it changed files that are no part of this: " + named(outside));
  for (const Change& change : changes) {
    if (!change.new_mode.empty()) {
      if (is_file_mode(change.new_mode)) continue;
      return Error(Code::MergeConflict, change.path + " is no regular file any more");
    }
    EZ_ASSIGN(const bool in_ours, is_in(git, problem.ours, change.path));
    EZ_ASSIGN(const bool in_theirs, is_in(git, problem.theirs, change.path));
    if (in_ours && in_theirs)
      return Error(Code::MergeConflict, "it deleted " + change.path + ", which both sides have");
  }
  return {};
}

Status check_markers(const Git& git, const MergeProblem& problem, const std::string& tree,
                     const std::vector<Change>& changes) {
  std::set<std::string> paths;
  for (const MergeFile& file : problem.files) paths.insert(file.path);
  for (const Change& change : changes) paths.insert(change.path);
  for (const std::string& path : paths) {
    EZ_ASSIGN(const bool there, is_in(git, tree, path));
    if (!there) continue;
    auto text = blob_text(git, tree + ":" + path);
    if (!text.ok() && text.error().code() == Code::PayloadTooLarge)
      return Error(Code::MergeConflict, path + " has more than 1 MiB now");
    if (!text.ok()) return text.error();
    std::vector<std::string> sides;
    if (const MergeFile* file = find_file(problem, path)) {
      EZ_ASSIGN(sides, contents_of(git, *file));
    } else if (const auto change = std::find_if(changes.begin(), changes.end(),
                                                [&](const Change& each) { return each.path == path; });
               !change->old_mode.empty()) {
      EZ_ASSIGN(std::string before, blob_text(git, change->old_blob));
      sides.push_back(std::move(before));
    }
    if (const std::size_t line = marker_line(*text, sides); line != 0)
      return Error(Code::MergeConflict,
                   "a conflict marker is left in " + path + ", line " + std::to_string(line));
  }
  return {};
}

// What either side changed since they parted, sorted.
Result<std::vector<std::string>> changed_by_sides(const Git& git, const MergeProblem& problem) {
  GitCall call;
  call.arguments = {"merge-base", problem.ours, problem.theirs};
  EZ_ASSIGN(const ProcessOutcome found, git.run(call));
  std::vector<std::string> out = problem.allowed;
  const std::string base = found.out.substr(0, found.out.find('\n'));
  if (found.exit_code != 0 || base.empty()) return out;
  for (const std::string& side : {problem.ours, problem.theirs}) {
    EZ_ASSIGN(const std::vector<Change> changes, changes_between(git, base, side));
    for (const Change& change : changes) out.push_back(change.path);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace

std::size_t marker_line(std::string_view text, const std::vector<std::string>& sides) {
  std::set<std::string_view> known;
  bool looked = false;
  std::size_t found = 0;
  each_line(text, [&](std::string_view line, std::size_t number) {
    if (!is_marker(line)) return true;
    if (!looked) {
      for (const std::string& side : sides) {
        each_line(side, [&](std::string_view other, std::size_t) {
          if (is_marker(other)) known.insert(other);
          return true;
        });
      }
      looked = true;
    }
    if (!known.contains(line)) found = number;
    return found == 0;
  });
  return found;
}

// Puts markers of ours into every file that conflicts. Where that cannot be, only a person may settle it.
Status WorkspaceManager::mark_conflicts(const Git& git, MergeProblem& problem,
                                        const Workspace& scratch) const {
  GitCall call;
  call.index_file = scratch.home() + "/index-of-conflicts";
  call.arguments = {"read-tree", problem.tree};
  EZ_ASSIGN(std::string said, git.text(call));
  std::string changes;
  for (const MergeFile& file : problem.files) {
    auto sides = contents_of(git, file);
    if (!sides.ok() && sides.error().code() == Code::PayloadTooLarge) {
      problem.may_settle = false;
      return {};
    }
    if (!sides.ok()) return sides.error();
    EZ_ASSIGN(const bool there, is_in(git, problem.tree, file.path));
    std::string text;
    if (there) {
      EZ_ASSIGN(text, blob_text(git, problem.tree + ":" + file.path));
    }
    const bool marked = there && is_text(text) && marker_line(text, *sides) != 0;
    GitCall store;
    store.arguments = {"hash-object", "-w", "--stdin"};
    store.input = marked ? with_labels(text, problem.ours, problem.theirs) : made_markers(file, *sides);
    if (marker_line(store.input, *sides) == 0) {
      problem.may_settle = false;  // it holds markers of its own already
      return {};
    }
    EZ_ASSIGN(const std::string blob, git.text(store));
    const std::string& mode = file.sides[1].mode.empty() ? file.sides[2].mode : file.sides[1].mode;
    changes.append(mode + " " + blob + "\t" + file.path).push_back('\0');
  }
  call.arguments = {"update-index", "-z", "--index-info"};
  call.input = std::move(changes);
  EZ_ASSIGN(said, git.text(call));
  call.input.clear();
  call.arguments = {"write-tree"};
  EZ_ASSIGN(problem.tree, git.text(call));
  return {};
}

// The merge in progress, as `git merge` leaves it.
Status WorkspaceManager::lay_out_merge(const Workspace& place, const MergeProblem& problem) const {
  const Git& git = *place.git_;
  GitCall call;
  call.git_dir = place.git_dir_;
  call.work_tree = place.tree_;
  call.arguments = {"read-tree", "--reset", "-u", problem.tree};
  EZ_ASSIGN(std::string said, git.text(call));
  for (const MergeFile& file : problem.files) {
    call.input.append("0 " + std::string(problem.ours.size(), '0') + "\t" + file.path).push_back('\0');
    for (std::size_t i = 0; i < file.sides.size(); ++i) {
      if (file.sides[i].mode.empty()) continue;
      call.input.append(file.sides[i].mode + " " + file.sides[i].blob + " " + std::to_string(i + 1) + "\t" +
                        file.path);
      call.input.push_back('\0');
    }
  }
  if (!call.input.empty()) {
    call.arguments = {"update-index", "-z", "--index-info"};
    EZ_ASSIGN(said, git.text(call));
  }
  return write_file(place.git_dir_ + "/MERGE_HEAD", problem.theirs + "\n");
}

// The tree that the resolver left, or MERGE_CONFLICT.
Result<std::string> WorkspaceManager::take_resolution(const Workspace& place,
                                                      const MergeProblem& problem) const {
  const Git& git = *place.git_;
  EZ_ASSIGN(const std::vector<std::string> planted, nested_git(place.tree_));
  if (!planted.empty())
    return Error(Code::MergeConflict, "it made a repository of its own: " + named(planted));
  ::unlink((place.git_dir_ + "/index.lock").c_str());
  GitCall call;
  call.git_dir = place.git_dir_;
  call.work_tree = place.tree_;
  call.arguments = {"read-tree", "--reset", problem.tree};
  EZ_ASSIGN(std::string said, git.text(call));
  call.arguments = {"add", "--all", "--", "."};
  EZ_ASSIGN(said, git.text(call));
  call.arguments = {"write-tree"};
  EZ_ASSIGN(std::string tree, git.text(call));
  if (problem.check_failed && tree == problem.tree)
    return Error(Code::MergeConflict, "it changed nothing, so the check would fail again");
  EZ_ASSIGN(const std::vector<Change> changes, changes_between(git, problem.tree, tree));
  EZ_TRY(check_scope(git, problem, changes));
  EZ_TRY(check_markers(git, problem, tree, changes));
  return tree;
}

Result<std::optional<std::string>> WorkspaceManager::settle(const Git& git, const MergeRequest& request,
                                                            MergeProblem& problem, MergeResolver& resolver) {
  if (problem.check_failed) {
    EZ_ASSIGN(problem.allowed, changed_by_sides(git, problem));
  }
  while (resolver.may_try()) {
    // Read mode: it has no branch, and what a worker that dies leaves of it is thrown away.
    EZ_ASSIGN(Workspace place,
              create(WorkspaceRequest{WorkspaceMode::kRead, request.run, request.task, request.attempt,
                                      request.repository, "", "", "", problem.ours}));
    Result<bool> worked = false;
    Result<std::string> tree = std::string();
    if (Status laid = lay_out_merge(place, problem); !laid.ok()) {
      worked = laid.error();
    } else {
      worked = resolver.settle(place, problem);
    }
    if (worked.ok() && *worked) tree = take_resolution(place, problem);
    place.ready_ = false;  // its git directory holds a merge: it is not used again
    const Status gone = discard(place);
    if (!worked.ok()) return worked.error();
    EZ_TRY(gone);
    if (!*worked) continue;
    if (tree.ok()) return std::optional(std::move(*tree));
    if (tree.error().code() != Code::MergeConflict) return tree.error();
    resolver.refused(tree.error());
  }
  return std::optional<std::string>();
}

}  // namespace ez::agents
