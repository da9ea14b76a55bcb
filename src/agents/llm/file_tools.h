// The tools that read and change the working tree: read_file, list_files, search, edit_file, apply_patch,
// write_file. They run in the worker and reach nothing but the tree (tree_files.h).
#pragma once

#include <cstdint>
#include <functional>

#include "agents/llm/tool_box.h"
#include "agents/llm/tree_files.h"

namespace ez::agents {

inline constexpr std::size_t kMaxReadBytes = 48 * 1024;  // of one read_file answer
inline constexpr std::size_t kMaxReadLines = 2'000;
inline constexpr std::size_t kMaxListed = 1'000;
inline constexpr std::size_t kMaxMatches = 200;

struct FileToolLimits {
  // Of all that is written by these tools in one attempt; DISK_LIMIT beyond.
  std::uint64_t max_written_bytes = 256ULL << 20;
};

// `files` and `cancelled` are kept by the tools.
[[nodiscard]] Status add_file_tools(ToolBox& box, TreeFiles files, const FileToolLimits& limits,
                                    std::function<bool()> cancelled);

}  // namespace ez::agents
