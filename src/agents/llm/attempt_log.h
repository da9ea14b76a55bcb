// What a model says and what its commands print, in the task's log, within bounds: beyond `max_bytes`
// together the rest is left out, with one line that says so. Lines of ez itself are always written. One
// thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agents/log_spool.h"

namespace ez::agents {

class AttemptLog {
 public:
  // The spool outlives it.
  AttemptLog(LogSpool& spool, std::uint64_t max_bytes) : spool_(spool), left_(max_bytes) {}

  void text(std::string_view bytes);
  // Ends the line that text() may have left open.
  void end_line();
  // A line of ez; control characters are replaced, at most kMaxNoteBytes.
  void note(std::string_view line);

  static constexpr std::size_t kMaxNoteBytes = 400;

 private:
  LogSpool& spool_;
  std::uint64_t left_;
  bool open_line_ = false;
  bool said_full_ = false;
};

}  // namespace ez::agents
