#include "cli/full_screen.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <string_view>

namespace ez::cli {
namespace {

// Alternate screen, no line wrap, hidden cursor; and back.
constexpr std::string_view kTakeScreen = "\x1b[?1049h\x1b[?7l\x1b[?25l\x1b[2J";
constexpr std::string_view kGiveScreen = "\x1b[0m\x1b[?25h\x1b[?7h\x1b[?1049l";
constexpr std::string_view kBeginFrame = "\x1b[?2026h", kEndFrame = "\x1b[?2026l";
constexpr int kDeadly[] = {SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};

// For the handlers: whatever is interrupted, these hold what the terminal was like.
termios former_terminal{};
termios raw_terminal{};
std::atomic<int> screen_event{-1};
std::atomic<bool> screen_taken{false};
std::atomic<bool> screen_stale{false};
struct sigaction former_actions[NSIG];

// Async-signal-safe, like all that the handlers call.
void put_terminal(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // the terminal is gone
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void take_terminal() {
  ::tcsetattr(STDIN_FILENO, TCSANOW, &raw_terminal);
  put_terminal(kTakeScreen);
  screen_taken.store(true);
  screen_stale.store(true);
}

void give_terminal() {
  if (!screen_taken.exchange(false)) return;
  put_terminal(kGiveScreen);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &former_terminal);
}

void note_event() {
  const std::uint64_t one = 1;
  if (screen_event.load() >= 0) (void)!::write(screen_event.load(), &one, sizeof one);
}

extern "C" void screen_dies(int signal) {
  give_terminal();
  std::signal(signal, SIG_DFL);
  ::raise(signal);
}

extern "C" void screen_stops(int) {
  const int saved = errno;
  give_terminal();
  ::raise(SIGSTOP);
  take_terminal();
  note_event();
  errno = saved;
}

extern "C" void screen_changes(int) {
  const int saved = errno;
  note_event();
  errno = saved;
}

void handle(int signal, void (*handler)(int), int flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  action.sa_flags = flags;
  ::sigaction(signal, &action, &former_actions[signal]);
}

}  // namespace

Result<std::unique_ptr<FullScreen>> FullScreen::enter() {
  if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDOUT_FILENO) != 1 ||
      ::tcgetattr(STDIN_FILENO, &former_terminal) != 0) {
    return Error(Code::InvalidArgument, "standard input and output are not a terminal");
  }
  raw_terminal = former_terminal;
  raw_terminal.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON | IEXTEN);  // Ctrl-C and Ctrl-Z stay signals
  raw_terminal.c_iflag &= ~static_cast<tcflag_t>(IXON | ICRNL);
  raw_terminal.c_cc[VMIN] = 0;
  raw_terminal.c_cc[VTIME] = 0;
  const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return system_error(Code::IoFailed, Code::IoFailed, "eventfd", errno);
  screen_event.store(fd);
  for (const int signal : kDeadly) handle(signal, screen_dies, SA_NODEFER);
  handle(SIGTSTP, screen_stops, 0);
  handle(SIGWINCH, screen_changes, 0);
  take_terminal();
  return std::unique_ptr<FullScreen>(new FullScreen(fd));
}

FullScreen::~FullScreen() {
  give_terminal();
  for (const int signal : kDeadly) ::sigaction(signal, &former_actions[signal], nullptr);
  ::sigaction(SIGTSTP, &former_actions[SIGTSTP], nullptr);
  ::sigaction(SIGWINCH, &former_actions[SIGWINCH], nullptr);
  screen_event.store(-1);
  ::close(event_fd_);
}

void FullScreen::draw(const std::vector<std::string>& lines) {
  std::uint64_t events = 0;
  (void)!::read(event_fd_, &events, sizeof events);
  const TerminalSize now = terminal_size();
  std::string text(kBeginFrame);
  if (screen_stale.exchange(false) || now != size_) {
    text += "\x1b[2J";
    lines_.clear();
    size_ = now;
  }
  bool changed = lines_.empty();
  for (std::size_t i = 0; i < lines.size() && i < now.rows; ++i) {
    if (i < lines_.size() && lines_[i] == lines[i]) continue;
    text += "\x1b[" + std::to_string(i + 1) + ";1H" + lines[i] + "\x1b[K";
    changed = true;
  }
  if (lines_.size() > lines.size()) {
    text += "\x1b[" + std::to_string(lines.size() + 1) + ";1H\x1b[J";
    changed = true;
  }
  text += kEndFrame;
  if (changed) put_terminal(text);
  lines_ = lines;
}

bool FullScreen::read_keys(std::string& bytes) {
  pollfd ready{STDIN_FILENO, POLLIN, 0};
  if (::poll(&ready, 1, 0) <= 0) return true;
  char piece[256];
  const ssize_t got = ::read(STDIN_FILENO, piece, sizeof piece);
  if (got < 0) return errno == EINTR || errno == EAGAIN;
  if (got == 0) return (ready.revents & POLLHUP) == 0;
  bytes.append(piece, static_cast<std::size_t>(got));
  return true;
}

}  // namespace ez::cli
