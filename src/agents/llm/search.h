// Searching the text files of a working tree with a regular expression (RE2: linear time).
#pragma once

#include <functional>
#include <string>

#include "agents/llm/tool_box.h"
#include "agents/llm/tree_files.h"

namespace ez::agents {

inline constexpr std::size_t kMaxSearchedBytes = 512ULL << 20;  // of all files together

struct SearchRequest {
  std::string pattern;
  std::string folder;
  std::string glob;
  bool ignore_case = false;
};

// "path:line: text" for each match, at most kMaxMatches. Binary files and files over 2 MiB are passed over.
[[nodiscard]] ToolAnswer search_tree(const TreeFiles& files, const SearchRequest& request,
                                     const std::function<bool()>& cancelled);

}  // namespace ez::agents
