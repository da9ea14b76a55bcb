#include "agents/llm/search.h"

#include <re2/re2.h>

#include <algorithm>

#include "agents/llm/file_tools.h"

namespace ez::agents {
namespace {

constexpr std::size_t kMaxSearchedFile = 2 * 1024 * 1024;
constexpr std::size_t kMaxShownLine = 300;

}  // namespace

ToolAnswer search_tree(const TreeFiles& files, const SearchRequest& request,
                       const std::function<bool()>& cancelled) {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_case_sensitive(!request.ignore_case);
  options.set_max_mem(8 << 20);
  const RE2 pattern(request.pattern, options);
  if (!pattern.ok()) return tool_error("the pattern is not a regular expression (RE2): " + pattern.error());
  const auto list = files.list(request.folder, request.glob);
  if (!list.ok()) return tool_failure(list.error());
  std::string out;
  std::size_t matches = 0;
  std::size_t searched = 0;
  for (const std::string& path : list->files) {
    if (cancelled() || matches >= kMaxMatches || searched > kMaxSearchedBytes) break;
    const auto text = files.read(path);
    if (!text.ok() || text->size() > kMaxSearchedFile) continue;
    searched += text->size();
    if (text->substr(0, 8'000).find('\0') != std::string::npos) continue;
    std::size_t number = 0;
    std::string_view rest = *text;
    while (!rest.empty() && matches < kMaxMatches) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      const std::string_view line = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      ++number;
      if (!RE2::PartialMatch(line, pattern)) continue;
      ++matches;
      out += path + ":" + std::to_string(number) + ": " + shortened(line, kMaxShownLine) + "\n";
    }
  }
  if (matches >= kMaxMatches) out += "[more matches were left out; narrow the search]\n";
  if (searched > kMaxSearchedBytes)
    out += "[the search ended early: too much text; give a folder or a glob]\n";
  if (out.empty()) out = "(no match in " + std::to_string(list->files.size()) + " files)\n";
  return {shortened(out, kMaxReadBytes), false, std::nullopt};
}

}  // namespace ez::agents
