// Keys of a terminal, from the bytes that it sends (ECMA-48 and what xterm made usual). Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ez::cli {

enum class Key {
  kCharacter,
  kUp,
  kDown,
  kLeft,
  kRight,
  kPageUp,
  kPageDown,
  kHome,
  kEnd,
  kEnter,
  kTab,
  kBackTab,
  kEscape,
  kBackspace,
  kUnknown
};

struct KeyPress {
  Key key = Key::kUnknown;
  char character = 0;  // of kCharacter: printable ASCII
  bool operator==(const KeyPress&) const = default;
};

class KeyReader {
 public:
  // The keys that are complete. What may be the beginning of a sequence is kept for the next bytes.
  [[nodiscard]] std::vector<KeyPress> take(std::string_view bytes);
  // Something is kept: a lone Escape, or a sequence whose rest is on its way.
  [[nodiscard]] bool pending() const { return !kept_.empty(); }
  // Nothing more came within a moment: what is kept is a key.
  [[nodiscard]] std::vector<KeyPress> flush();

 private:
  static constexpr std::size_t kMaxSequence = 32;
  std::string kept_;
};

}  // namespace ez::cli
