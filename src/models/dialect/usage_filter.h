// Takes the chunk with usage out of a Chat stream on its way to a client that did not ask for one. The
// gateway asks every provider for usage; a client that did not may read choices[0] of every chunk, and that
// one has none.
//
// Bytes are handed on unchanged, in whole events. Not thread-safe; holds at most one event of kMaxHeldBytes,
// and lets everything pass from the first event on that is larger.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ez::models {

class UsageFilter {
 public:
  static constexpr std::size_t kMaxHeldBytes = 1024 * 1024;

  // Appends to `out` what of these bytes, and of those held back before, may go on.
  void pass(std::string_view bytes, std::string& out);
  // The stream has ended: appends what is left.
  void end(std::string& out);

 private:
  std::string held_;
  bool open_ = false;  // an event was too large: nothing is looked at any more
};

}  // namespace ez::models
