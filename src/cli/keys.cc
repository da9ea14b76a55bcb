#include "cli/keys.h"

#include <map>

namespace ez::cli {
namespace {

Key key_of_sequence(std::string_view body) {  // without its ESC
  static const std::map<std::string_view, Key> keys{
      {"[A", Key::kUp},      {"[B", Key::kDown},      {"[C", Key::kRight},   {"[D", Key::kLeft},
      {"OA", Key::kUp},      {"OB", Key::kDown},      {"OC", Key::kRight},   {"OD", Key::kLeft},
      {"[H", Key::kHome},    {"[F", Key::kEnd},       {"OH", Key::kHome},    {"OF", Key::kEnd},
      {"[1~", Key::kHome},   {"[4~", Key::kEnd},      {"[7~", Key::kHome},   {"[8~", Key::kEnd},
      {"[5~", Key::kPageUp}, {"[6~", Key::kPageDown}, {"[Z", Key::kBackTab}, {"OM", Key::kEnter}};
  const auto found = keys.find(body);
  return found == keys.end() ? Key::kUnknown : found->second;
}

// The length of the sequence at the start of `text` (which begins with ESC); 0: its end has not come.
std::size_t sequence_length(std::string_view text) {
  if (text.size() < 2) return 0;
  if (text[1] == 'O') return text.size() < 3 ? 0 : 3;
  if (text[1] != '[') return 1;  // Escape, then another key
  for (std::size_t i = 2; i < text.size(); ++i) {
    if (text[i] >= 0x40 && text[i] <= 0x7e) return i + 1;
    if (text[i] < 0x20) return i;  // broken off
  }
  return 0;
}

KeyPress plain_key(char c) {
  if (c == '\r' || c == '\n') return {Key::kEnter, 0};
  if (c == '\t') return {Key::kTab, 0};
  if (c == 0x7f || c == 0x08) return {Key::kBackspace, 0};
  if (c >= 0x20 && c < 0x7f) return {Key::kCharacter, c};
  return {Key::kUnknown, 0};
}

}  // namespace

std::vector<KeyPress> KeyReader::take(std::string_view bytes) {
  kept_.append(bytes);
  std::vector<KeyPress> keys;
  std::string_view rest = kept_;
  while (!rest.empty()) {
    if (rest[0] != 0x1b) {
      keys.push_back(plain_key(rest[0]));
      rest.remove_prefix(1);
      continue;
    }
    const std::size_t length = sequence_length(rest);
    if (length == 0 && rest.size() < kMaxSequence) break;
    if (length <= 1) {
      keys.push_back({length == 1 ? Key::kEscape : Key::kUnknown, 0});
      rest.remove_prefix(length == 1 ? 1 : rest.size());
      continue;
    }
    keys.push_back({key_of_sequence(rest.substr(1, length - 1)), 0});
    rest.remove_prefix(length);
  }
  kept_ = std::string(rest);
  return keys;
}

std::vector<KeyPress> KeyReader::flush() {
  std::vector<KeyPress> keys;
  if (!kept_.empty()) keys.push_back({kept_.size() == 1 ? Key::kEscape : Key::kUnknown, 0});
  kept_.clear();
  return keys;
}

}  // namespace ez::cli
