#include "agents/llm/file_tools.h"

#include <algorithm>
#include <memory>

#include "agents/llm/patch.h"
#include "agents/llm/search.h"

namespace ez::agents {
namespace {

constexpr std::size_t kMaxLineBytes = 2'000;

// What the tools of one attempt share.
struct Desk {
  TreeFiles files;
  std::uint64_t left_bytes;

  // Writes, as long as there is room.
  Status write(std::string_view path, const std::string& bytes) {
    if (bytes.size() > left_bytes)
      return Error(Code::DiskLimit, "the file tools have written as much as this attempt may");
    left_bytes -= bytes.size();
    return files.write(path, bytes);
  }
};
using DeskPtr = std::shared_ptr<Desk>;

std::string text_of(const Value& input, std::string_view key) {
  return std::string(input.string_or(key, ""));
}

bool is_binary(const std::string& text) { return text.substr(0, 8'000).find('\0') != std::string::npos; }

ToolAnswer read_file_tool(const Desk& desk, const Value& input) {
  const auto text = desk.files.read(text_of(input, "path"));
  if (!text.ok()) return tool_failure(text.error());
  if (is_binary(*text)) return tool_error("the file is binary (" + std::to_string(text->size()) + " bytes)");
  const auto first = static_cast<std::size_t>(std::max<std::int64_t>(1, input.int_or("first_line", 1)));
  const auto most = static_cast<std::size_t>(
      std::clamp<std::int64_t>(input.int_or("lines", kMaxReadLines), 1, kMaxReadLines));
  std::string out;
  std::size_t number = 0;
  std::size_t shown = 0;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (++number < first) continue;
    if (shown == most || out.size() > kMaxReadBytes) {
      const auto left = static_cast<std::size_t>(std::count(rest.begin(), rest.end(), '\n')) + 1;
      out += "[… " + std::to_string(left) + " more lines; go on with first_line " + std::to_string(number) +
             "]\n";
      break;
    }
    std::string label = std::to_string(number);
    label.insert(0, 6 - std::min<std::size_t>(6, label.size()), ' ');
    out += label + "\t";
    out += line.size() > kMaxLineBytes ? shortened(line, kMaxLineBytes) : std::string(line);
    out += '\n';
    ++shown;
  }
  if (text->empty()) return {"(the file is empty)", false, std::nullopt};
  if (shown == 0) return tool_error("the file has " + std::to_string(number) + " lines");
  return {shortened(out, kMaxReadBytes + kMaxLineBytes + 1'000), false, std::nullopt};
}

ToolAnswer list_files_tool(const Desk& desk, const Value& input) {
  const auto list = desk.files.list(text_of(input, "folder"), text_of(input, "glob"));
  if (!list.ok()) return tool_failure(list.error());
  std::string out;
  std::size_t shown = 0;
  for (const std::string& path : list->files) {
    if (shown++ == kMaxListed) break;
    out += path + "\n";
  }
  if (list->files.size() > kMaxListed)
    out += "[… " + std::to_string(list->files.size() - kMaxListed) + " more; give a folder or a glob]\n";
  if (!list->complete) out += "[the tree is too large to be listed whole]\n";
  for (std::size_t i = 0; i < std::min<std::size_t>(50, list->refused.size()); ++i)
    out += list->refused[i] + " (a link or special file, not readable here)\n";
  if (out.empty()) out = "(no files)\n";
  return {shortened(out, kMaxReadBytes), false, std::nullopt};
}

std::size_t count_of(const std::string& text, const std::string& part, std::size_t most) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos && count < most;
       at = text.find(part, at + part.size()))
    ++count;
  return count;
}

ToolAnswer edit_file_tool(Desk& desk, const Value& input) {
  const std::string path = text_of(input, "path");
  const std::string old_text = text_of(input, "old_text");
  const std::string new_text = text_of(input, "new_text");
  if (old_text.empty()) return tool_error("old_text is empty; use write_file for a new file");
  if (old_text == new_text) return tool_error("old_text and new_text are the same");
  const auto text = desk.files.read(path);
  if (!text.ok()) return tool_failure(text.error());
  const std::size_t found = count_of(*text, old_text, 100'000);
  const bool all = input.bool_or("all", false);
  if (found == 0) {
    return tool_error("old_text is not in " + path +
                      ", to the byte; read the file again (blanks and tabs count, line numbers do not)");
  }
  if (found > 1 && !all) {
    return tool_error("old_text is in " + path + " " + std::to_string(found) +
                      " times; give more of the text around it, or set all");
  }
  std::string out;
  std::size_t from = 0;
  for (std::size_t at = text->find(old_text); at != std::string::npos; at = text->find(old_text, from)) {
    out.append(*text, from, at - from).append(new_text);
    from = at + old_text.size();
    if (out.size() > kMaxToolFileBytes) return tool_error("the file would become too large");
  }
  out.append(*text, from, std::string::npos);
  if (Status wrote = desk.write(path, out); !wrote.ok()) return tool_failure(wrote.error());
  return {"replaced " + std::to_string(found) + (found == 1 ? " place in " : " places in ") + path, false,
          std::nullopt};
}

ToolAnswer write_file_tool(Desk& desk, const Value& input) {
  const std::string path = text_of(input, "path");
  const std::string content = text_of(input, "content");
  const bool there = desk.files.exists(path);
  if (Status wrote = desk.write(path, content); !wrote.ok()) return tool_failure(wrote.error());
  return {(there ? "replaced " : "created ") + path + ", " + std::to_string(content.size()) + " bytes", false,
          std::nullopt};
}

// All files are read and all hunks fitted before the first file is written.
ToolAnswer apply_patch_tool(Desk& desk, const Value& input) {
  auto parsed = parse_patch(text_of(input, "patch"));
  if (!parsed.ok()) return tool_failure(parsed.error());
  struct Change {
    std::string path;
    std::optional<std::string> text;  // none: removed
  };
  std::vector<Change> changes;
  for (const FilePatch& file : *parsed) {
    const std::string& path = file.new_path.empty() ? file.old_path : file.new_path;
    const auto same = [&](const Change& other) { return other.path == path; };
    if (std::any_of(changes.begin(), changes.end(), same))
      return tool_error("the patch names " + path + " twice; nothing was changed");
    std::string old;
    if (file.old_path.empty()) {
      if (desk.files.exists(path))
        return tool_error(path + " is there already, the patch would create it; nothing was changed");
      if (auto clean = TreeFiles::clean(path); !clean.ok()) return tool_failure(clean.error());
    } else {
      auto text = desk.files.read(file.old_path);
      if (!text.ok()) return tool_failure(text.error());
      old = std::move(*text);
    }
    auto text = apply_hunks(old, file.hunks);
    if (!text.ok()) return tool_error(path + ": " + text.error().message() + "; nothing was changed");
    if (file.new_path.empty()) {
      if (!text->empty() && !file.hunks.empty())
        return tool_error(path + " would be removed, but the patch leaves text in it; nothing was changed");
      changes.push_back({path, std::nullopt});
    } else {
      changes.push_back({path, std::move(*text)});
    }
  }
  std::string done;
  for (const Change& change : changes) {
    const Status status =
        change.text ? desk.write(change.path, *change.text) : desk.files.remove(change.path);
    if (!status.ok()) {
      ToolAnswer answer = tool_failure(status.error());
      if (!done.empty()) answer.text += "; changed before that:" + done;
      return answer;
    }
    done += (change.text ? "\nchanged " : "\nremoved ") + change.path;
  }
  return {"patched:" + done, false, std::nullopt};
}

}  // namespace

Status add_file_tools(ToolBox& box, TreeFiles files, const FileToolLimits& limits,
                      std::function<bool()> cancelled) {
  const DeskPtr desk = std::make_shared<Desk>(Desk{std::move(files), limits.max_written_bytes});
  EZ_TRY(box.add("read_file",
                 "Reads a text file of the workspace, with line numbers. Long files are given in parts.",
                 object_schema({{"path", "string", "relative to the workspace"},
                                {"first_line", "integer", "where to begin; 1 is the first", false},
                                {"lines", "integer", "how many lines; at most 2000", false}}),
                 [desk](const Value& input) { return read_file_tool(*desk, input); }));
  EZ_TRY(box.add("list_files", "Lists files of the workspace.",
                 object_schema({{"folder", "string", "only below this folder", false},
                                {"glob", "string",
                                 "only paths or names that match, such as *.ts or src/**/*.c", false}}),
                 [desk](const Value& input) { return list_files_tool(*desk, input); }));
  EZ_TRY(box.add("search",
                 "Finds lines of text files in the workspace that match a regular expression (RE2).",
                 object_schema({{"pattern", "string", "the regular expression"},
                                {"folder", "string", "only below this folder", false},
                                {"glob", "string", "only paths or names that match", false},
                                {"ignore_case", "boolean", "upper and lower case are the same", false}}),
                 [desk, cancelled = std::move(cancelled)](const Value& input) {
                   return search_tree(desk->files,
                                      {text_of(input, "pattern"), text_of(input, "folder"),
                                       text_of(input, "glob"), input.bool_or("ignore_case", false)},
                                      cancelled);
                 }));
  EZ_TRY(
      box.add("edit_file",
              "Replaces a piece of a file. old_text has to be in the file exactly once, to the byte, unless "
              "all is set.",
              object_schema({{"path", "string", "relative to the workspace"},
                             {"old_text", "string", "what is there now"},
                             {"new_text", "string", "what is to be there"},
                             {"all", "boolean", "replace every place", false}}),
              [desk](const Value& input) { return edit_file_tool(*desk, input); }));
  EZ_TRY(
      box.add("apply_patch",
              "Applies a unified diff to one or more files, all of it or nothing. Context lines must be "
              "exactly as in the file, and the counts of a hunk must be right. /dev/null creates or removes.",
              object_schema({{"patch", "string", "the unified diff"}}),
              [desk](const Value& input) { return apply_patch_tool(*desk, input); }));
  return box.add("write_file", "Writes a whole file, which may be new. Folders are made as needed.",
                 object_schema({{"path", "string", "relative to the workspace"},
                                {"content", "string", "the whole text"}}),
                 [desk](const Value& input) { return write_file_tool(*desk, input); });
}

}  // namespace ez::agents
