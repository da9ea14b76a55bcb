// The live view of a run as lines of a terminal. Pure: the same picture, time and limits give the same text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cli/run_picture.h"

namespace ez::cli {

struct FrameLimits {
  std::size_t width = 80;   // columns; no line is longer
  std::size_t height = 24;  // lines; there are never more
  bool color = true;        // SGR sequences, which take no columns
  bool unicode = true;      // false: ASCII only
};

// Head line, progress bar, then a line for each task: symbol, id, state, attempt, elapsed time, agent or
// error. The instances of a for_each are one line with counts, and one line for each that runs, failed or
// waits for a person. When the height does not suffice, finished tasks are folded first, then those that
// wait; what is left over is counted in the last line. What waits for a person is followed by the command to
// type.
[[nodiscard]] std::vector<std::string> draw_frame(const RunPicture& run, std::int64_t now_ms,
                                                  const FrameLimits& limits);

// One line for a log without a terminal, when a task has come into this state; empty for states that nobody
// misses.
[[nodiscard]] std::string change_line(const RunPicture& run, const TaskPicture& task);

// The symbol of a state of a task or a run, in its colour.
[[nodiscard]] std::string state_mark(std::string_view state, const FrameLimits& limits);

// How many calls of models were answered from a recording (a line, ended); empty when none was.
[[nodiscard]] std::string replayed_line(const RunPicture& run);

// What happened, at the end: outcome, counts, failed tasks, artifacts, where to look.
[[nodiscard]] std::string summary_text(const RunPicture& run, const FrameLimits& limits);

}  // namespace ez::cli
