#include "cli/log_filter.h"

namespace ez::cli {

// ECMA-48: CSI is ESC [ parameters final; strings begin with ESC and one of ] P X ^ _ and end with BEL or ESC
// backslash.
std::string LogFilter::take(std::string_view bytes) {
  if (!active_) return std::string(bytes);
  std::string out;
  out.reserve(bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    switch (place_) {
      case Place::kText:
        if (byte == 0x1b) {
          place_ = Place::kEscape;
        } else if (byte >= 0x20 ? byte != 0x7f : c == '\n' || c == '\t' || c == '\r') {
          out.push_back(c);
        }
        break;
      case Place::kEscape:
        sequence_.clear();
        if (c == '[') {
          place_ = Place::kSequence;
        } else if (c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_') {
          place_ = Place::kString;
        } else if (byte != 0x1b) {
          place_ = Place::kText;
        }
        break;
      case Place::kSequence:
        if (byte >= 0x40 && byte <= 0x7e) {
          if (c == 'm' && sequence_.find_first_not_of("0123456789;:") == std::string::npos) {
            out += "\x1b[" + sequence_ + "m";
          }
          place_ = Place::kText;
        } else if (sequence_.size() >= kMaxSequence || byte < 0x20) {
          place_ = Place::kText;
        } else {
          sequence_.push_back(c);
        }
        break;
      case Place::kString:
        if (byte == 0x07) place_ = Place::kText;
        if (byte == 0x1b) place_ = Place::kStringEscape;
        break;
      case Place::kStringEscape:
        place_ = c == '\\' ? Place::kText : Place::kString;
        break;
    }
  }
  return out;
}

}  // namespace ez::cli
