#include "agents/llm/patch.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace ez::agents {
namespace {

// A text as lines with their ends; "a\nb" has the lines "a\n" and "b".
std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::size_t size = end == std::string_view::npos ? text.size() : end + 1;
    lines.push_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return lines;
}

std::string_view without_end(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  return line;
}

struct Range {
  std::size_t start = 0;
  std::size_t count = 1;
};

// "12" or "12,3" at the front of text, which loses it.
bool take_range(std::string_view& text, Range& range) {
  const auto number = [&](std::size_t& out) {
    const auto got = std::from_chars(text.data(), text.data() + text.size(), out);
    if (got.ec != std::errc() || out > 100'000'000) return false;
    text.remove_prefix(static_cast<std::size_t>(got.ptr - text.data()));
    return true;
  };
  if (!number(range.start)) return false;
  if (!text.starts_with(',')) return true;
  text.remove_prefix(1);
  return number(range.count);
}

// The path of a "--- " or "+++ " line; empty for /dev/null.
std::string path_of(std::string_view text) {
  text = without_end(text.substr(4));
  text = text.substr(0, text.find('\t'));
  while (text.ends_with(' ') || text.ends_with('\r')) text.remove_suffix(1);
  if (text == "/dev/null") return {};
  if (text.starts_with("a/") || text.starts_with("b/")) text.remove_prefix(2);
  return std::string(text);
}

class PatchParser {
 public:
  explicit PatchParser(std::string_view patch) : lines_(lines_of(patch)) {}

  Result<std::vector<FilePatch>> parse() {
    std::vector<FilePatch> files;
    while (at_ < lines_.size()) {
      const std::string_view line = lines_[at_];
      if (line.starts_with("--- ")) {
        EZ_ASSIGN(FilePatch file, file_patch());
        files.push_back(std::move(file));
        continue;
      }
      for (const std::string_view bad : {"rename ", "copy ", "GIT binary patch", "Binary files "}) {
        if (line.starts_with(bad))
          return wrong("renames, copies and binary patches are not taken; use write_file or run_command");
      }
      if (line.starts_with("@@")) return wrong("a hunk without \"--- \" and \"+++ \" lines before it");
      if (line.starts_with("+") || line.starts_with("-")) return wrong("a changed line outside of a hunk");
      ++at_;  // "diff --git", "index", mode lines, text around the patch
    }
    if (files.empty())
      return Error(Code::InvalidArgument, "the patch names no file: it needs \"--- \" lines");
    return files;
  }

 private:
  Error wrong(const std::string& what) const {
    return Error(Code::InvalidArgument, "line " + std::to_string(at_ + 1) + " of the patch: " + what);
  }

  Result<FilePatch> file_patch() {
    FilePatch file;
    file.old_path = path_of(lines_[at_++]);
    if (at_ >= lines_.size() || !lines_[at_].starts_with("+++ "))
      return wrong("a \"+++ \" line has to follow \"--- \"");
    file.new_path = path_of(lines_[at_]);
    if (file.old_path.empty() && file.new_path.empty()) return wrong("both sides are /dev/null");
    if (!file.old_path.empty() && !file.new_path.empty() && file.old_path != file.new_path)
      return wrong("renames are not taken");
    ++at_;
    while (at_ < lines_.size() && lines_[at_].starts_with("@@")) {
      EZ_ASSIGN(PatchHunk hunk, this->hunk());
      file.hunks.push_back(std::move(hunk));
    }
    if (file.hunks.empty() && !file.new_path.empty())
      return wrong("the file has no hunk (\"@@ -1,3 +1,4 @@\")");
    return file;
  }

  Result<PatchHunk> hunk() {
    std::string_view head = lines_[at_];
    const std::size_t began = at_;
    head.remove_prefix(std::min<std::size_t>(4, head.size()));
    Range old_range;
    Range new_range;
    bool good = lines_[at_].starts_with("@@ -") && take_range(head, old_range) && head.starts_with(" +");
    if (good) head.remove_prefix(2);
    good = good && take_range(head, new_range) && head.starts_with(" @@");
    if (!good) return wrong("a hunk begins with a line of the form \"@@ -12,3 +12,4 @@\"");
    ++at_;
    PatchHunk hunk;
    hunk.old_start = old_range.start;
    std::size_t old_lines = 0;
    std::size_t new_lines = 0;
    while (at_ < lines_.size() &&
           (old_lines < old_range.count || new_lines < new_range.count || lines_[at_].starts_with("\\"))) {
      const std::string_view line = without_end(lines_[at_]);
      if (line.starts_with("\\")) {
        if (hunk.lines.empty()) return wrong("\"\\ No newline\" without a line before it");
        hunk.lines.back().newline = false;
        ++at_;
        continue;
      }
      // An empty line stands for an empty line of context: editors strip the blank.
      const char kind = line.empty() ? ' ' : line[0];
      if (kind != ' ' && kind != '-' && kind != '+') break;
      if (kind != '+') ++old_lines;
      if (kind != '-') ++new_lines;
      hunk.lines.push_back({kind, std::string(line.substr(std::min<std::size_t>(1, line.size()))), true});
      ++at_;
    }
    if (old_lines != old_range.count || new_lines != new_range.count) {
      at_ = began;
      return wrong("the hunk says " + std::to_string(old_range.count) + " old and " +
                   std::to_string(new_range.count) + " new lines, it has " + std::to_string(old_lines) +
                   " and " + std::to_string(new_lines));
    }
    return hunk;
  }

  const std::vector<std::string_view> lines_;
  std::size_t at_ = 0;
};

std::string with_end(const PatchHunk::Line& line) { return line.newline ? line.text + "\n" : line.text; }

}  // namespace

Result<std::vector<FilePatch>> parse_patch(std::string_view patch) { return PatchParser(patch).parse(); }

Result<std::string> apply_hunks(const std::string& text, const std::vector<PatchHunk>& hunks) {
  const std::vector<std::string_view> old = lines_of(text);
  std::string out;
  std::size_t taken = 0;  // lines of old that are in out
  for (std::size_t number = 0; number < hunks.size(); ++number) {
    const PatchHunk& hunk = hunks[number];
    std::vector<std::string> wanted;
    for (const PatchHunk::Line& line : hunk.lines) {
      if (line.kind != '+') wanted.push_back(with_end(line));
    }
    const auto fits = [&](std::size_t at) {
      return at >= taken && at + wanted.size() <= old.size() &&
             std::equal(wanted.begin(), wanted.end(), old.begin() + static_cast<std::ptrdiff_t>(at));
    };
    // "@@ -0,0 +1,3 @@" and a pure insertion "@@ -5,0 +6,2 @@" stand after the line that they name.
    const std::size_t named =
        wanted.empty() ? hunk.old_start : hunk.old_start - std::min<std::size_t>(1, hunk.old_start);
    std::size_t at = named;
    if (!fits(named)) {
      std::vector<std::size_t> places;
      for (std::size_t i = taken; !wanted.empty() && i + wanted.size() <= old.size() && places.size() < 2;
           ++i) {
        if (fits(i)) places.push_back(i);
      }
      if (places.size() != 1) {
        return Error(Code::InvalidArgument,
                     "hunk " + std::to_string(number + 1) + " does not fit: its old lines are " +
                         (places.empty() ? "not in the file" : "at several places, none of them line ") +
                         (places.empty() ? "" : std::to_string(hunk.old_start)) +
                         "; read the file and write the hunk anew");
      }
      at = places[0];
    }
    for (; taken < at; ++taken) out.append(old[taken]);
    for (const PatchHunk::Line& line : hunk.lines) {
      if (line.kind != '-') {
        if (!out.empty() && out.back() != '\n') out += '\n';
        out += with_end(line);
      }
      if (line.kind != '+') ++taken;
    }
  }
  for (; taken < old.size(); ++taken) {
    if (!out.empty() && out.back() != '\n') out += '\n';
    out.append(old[taken]);
  }
  return out;
}

}  // namespace ez::agents
