// What a task printed, made safe for a terminal: colours (SGR sequences), tabs and line ends pass, every
// other control sequence is left out, because it could move the cursor, set the title or answer as if
// somebody had typed. Not for pipes and files: those get the bytes as they are.
#pragma once

#include <string>
#include <string_view>

namespace ez::cli {

class LogFilter {
 public:
  // With `active` false everything passes.
  explicit LogFilter(bool active) : active_(active) {}
  // The next bytes, in any pieces; sequences may be split between calls.
  [[nodiscard]] std::string take(std::string_view bytes);

 private:
  enum class Place { kText, kEscape, kSequence, kString, kStringEscape };
  static constexpr std::size_t kMaxSequence = 64;

  const bool active_;
  Place place_ = Place::kText;
  std::string sequence_;
};

}  // namespace ez::cli
