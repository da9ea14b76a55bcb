// The whole terminal for a program with keys: alternate screen, no echo, no line editing, hidden cursor.
//
// However the program ends, the terminal is as it was before: the destructor restores it on every return
// (signals that end the process have to be caught by the caller, cli/signals.h), and for what cannot be
// caught that way (an abort, a fault, SIGQUIT) handlers restore it before the process dies. A stop (Ctrl-Z)
// restores it, and going on takes it again. Only SIGKILL leaves it as it is; `reset` helps then.
//
// One at a time in a process; one thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/terminal.h"

namespace ez::cli {

class FullScreen {
 public:
  // Standard input and output, which must be terminals: INVALID_ARGUMENT otherwise.
  [[nodiscard]] static Result<std::unique_ptr<FullScreen>> enter();
  ~FullScreen();
  FullScreen(const FullScreen&) = delete;
  FullScreen& operator=(const FullScreen&) = delete;

  // Lines from the top; each must fit the width, and there must not be more than rows. Only what differs from
  // the last call is written, in one piece.
  void draw(const std::vector<std::string>& lines);
  // Readable when the size has changed or the process goes on after a stop; draw() then draws everything.
  [[nodiscard]] int event_fd() const { return event_fd_; }
  // The bytes of keys that were pressed; empty: none. False: the terminal is gone.
  [[nodiscard]] bool read_keys(std::string& bytes);

 private:
  explicit FullScreen(int event_fd) : event_fd_(event_fd) {}

  const int event_fd_;
  TerminalSize size_{0, 0};
  std::vector<std::string> lines_;
};

}  // namespace ez::cli
