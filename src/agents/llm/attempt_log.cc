#include "agents/llm/attempt_log.h"

#include <algorithm>

namespace ez::agents {

void AttemptLog::text(std::string_view bytes) {
  if (bytes.empty()) return;
  const std::string_view part = bytes.substr(0, std::min<std::uint64_t>(left_, bytes.size()));
  left_ -= part.size();
  if (!part.empty()) {
    spool_.append(part);
    open_line_ = part.back() != '\n';
  }
  if (part.size() == bytes.size() || said_full_) return;
  said_full_ = true;
  note("the log is full: what the model and its commands print is left out from here on");
}

void AttemptLog::end_line() {
  if (open_line_) spool_.append("\n");
  open_line_ = false;
}

void AttemptLog::note(std::string_view line) {
  end_line();
  std::string text(line.substr(0, kMaxNoteBytes));
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  spool_.note(text);
}

}  // namespace ez::agents
