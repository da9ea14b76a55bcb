#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>

namespace ez::cli {
namespace {

// Terminals that know the private mode 2026 show everything between these at once; others ignore them.
constexpr std::string_view kBeginUpdate = "\x1b[?2026h", kEndUpdate = "\x1b[?2026l";
constexpr std::string_view kHideCursor = "\x1b[?25l", kShowCursor = "\x1b[?25h";
constexpr std::string_view kClearLine = "\x1b[K", kClearBelow = "\x1b[J";

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : value;
}

}  // namespace

bool is_live_terminal() {
  return ::isatty(STDOUT_FILENO) == 1 && variable("TERM") != "dumb" && !variable("TERM").empty();
}

bool wants_color() {
  return ::isatty(STDOUT_FILENO) == 1 && variable("NO_COLOR").empty() && variable("TERM") != "dumb";
}

bool writes_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string_view value = variable(name);
    if (value.empty()) continue;
    return value.find("UTF-8") != std::string_view::npos || value.find("utf8") != std::string_view::npos;
  }
  return true;  // nothing is set: containers of today
}

TerminalSize terminal_size() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {};
  return {size.ws_col, size.ws_row};
}

Screen::Screen(int fd) : fd_(fd), size_(terminal_size()) { write_all(std::string(kHideCursor)); }

Screen::~Screen() { write_all(std::string(kShowCursor)); }

void Screen::write_all(const std::string& text) const {
  std::string_view left = text;
  while (!left.empty()) {
    const ssize_t written = ::write(fd_, left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // the terminal is gone
    left.remove_prefix(static_cast<std::size_t>(written));
  }
}

void Screen::draw(const std::vector<std::string>& lines) {
  const TerminalSize now = terminal_size();
  if (now == size_ && lines == lines_) return;
  std::string text(kBeginUpdate);
  if (now != size_) {
    // The terminal has wrapped our lines in its own way: where the block begins is not known any more.
    text += "\x1b[2J\x1b[H";
    size_ = now;
  } else if (drawn_ > 0) {
    text += "\x1b[" + std::to_string(drawn_) + "A\r";
  }
  for (const std::string& line : lines) {
    text += line;
    text += kClearLine;
    text += "\r\n";
  }
  text += kClearBelow;
  text += kEndUpdate;
  write_all(text);
  drawn_ = lines.size();
  lines_ = lines;
}

void Screen::clear() {
  if (drawn_ > 0) write_all("\x1b[" + std::to_string(drawn_) + "A\r" + std::string(kClearBelow));
  drawn_ = 0;
  lines_.clear();
}

void Screen::print_above(const std::string& text) {
  const std::vector<std::string> lines = lines_;
  clear();
  write_all(text + "\r\n");
  draw(lines);
}

}  // namespace ez::cli
