// The terminal of the live view: size, and a block of lines that is drawn again in place.
//
// A Screen hides the cursor and shows it again when it goes, so it must be destroyed on every way out;
// signals that end the process have to be caught by the caller (cli/signals.h). One thread.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace ez::cli {

struct TerminalSize {
  std::size_t columns = 80;
  std::size_t rows = 24;
  bool operator==(const TerminalSize&) const = default;
};

// Standard output is a terminal that understands cursor movements.
[[nodiscard]] bool is_live_terminal();
// Colours are wanted: a terminal, and NO_COLOR is not set (no-color.org).
[[nodiscard]] bool wants_color();
// The locale writes UTF-8.
[[nodiscard]] bool writes_utf8();
[[nodiscard]] TerminalSize terminal_size();

class Screen {
 public:
  explicit Screen(int fd);
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // Replaces the block. Lines must fit the width, and be fewer than the rows. Written in one piece, so
  // nothing flickers.
  void draw(const std::vector<std::string>& lines);
  // Lines that stay, above the block.
  void print_above(const std::string& text);
  // Removes the block.
  void clear();

 private:
  void write_all(const std::string& text) const;

  const int fd_;
  std::size_t drawn_ = 0;
  TerminalSize size_;
  std::vector<std::string> lines_;
};

}  // namespace ez::cli
