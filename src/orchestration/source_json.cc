// JSON (RFC 8259) into a tree: strict, iterative, positions counted as it goes.
#include <cstring>

#include "base/utf8.h"
#include "orchestration/tree_builder.h"

namespace ez::orchestration {
namespace {

class JsonReader {
 public:
  JsonReader(std::string_view source, TreeBuilder& builder) : source_(source), builder_(builder) {}

  bool read() {
    skip_space();
    for (;;) {
      if (!read_value()) return false;
      // Close what ends here and find the next value.
      for (;;) {
        skip_space();
        if (closers_.empty()) {
          return at_ == source_.size() ||
                 builder_.fail(here(), "there is text after the end of the document");
        }
        const char closer = closers_.back();
        if (peek() == closer) {
          ++at_;
          closers_.pop_back();
          if (!builder_.end()) return false;
          continue;
        }
        if (peek() != ',') return unexpected(closer == '}' ? "`,` or `}`" : "`,` or `]`");
        ++at_;
        skip_space();
        if (closer == '}' && !read_key()) return false;
        break;
      }
    }
  }

 private:
  [[nodiscard]] char peek() const { return at_ < source_.size() ? source_[at_] : '\0'; }

  void skip_space() {
    while (at_ < source_.size() && std::strchr(" \t\r\n", source_[at_]) != nullptr && source_[at_] != '\0')
      ++at_;
  }

  // The position of at_; positions are asked for in file order, so that the whole file is walked once.
  Position here() {
    while (counted_ < at_) {
      const char c = source_[counted_];
      if (c == '\n' || (c == '\r' && (counted_ + 1 >= source_.size() || source_[counted_ + 1] != '\n'))) {
        ++position_.line;
        position_.column = 1;
      } else if ((static_cast<unsigned char>(c) & 0xC0U) != 0x80U) {
        ++position_.column;
      }
      ++counted_;
    }
    return position_;
  }

  bool unexpected(std::string_view wanted) {
    if (at_ >= source_.size()) {
      return builder_.fail(here(), "the JSON text ends where " + std::string(wanted) + " is expected");
    }
    const std::size_t length = std::max<std::size_t>(1, utf8_sequence_length(source_.substr(at_)));
    return builder_.fail(here(), "found `" + std::string(source_.substr(at_, length)) + "` where " +
                                     std::string(wanted) + " is expected");
  }

  // One value, or the opening of a collection and what stands before its first value.
  bool read_value() {
    for (;;) {
      skip_space();
      const char c = peek();
      if (c == '{' || c == '[') {
        const bool is_map = c == '{';
        if (!builder_.begin(here(), is_map ? SourceTree::Kind::kMap : SourceTree::Kind::kList)) return false;
        ++at_;
        closers_.push_back(is_map ? '}' : ']');
        skip_space();
        if (peek() == closers_.back()) return true;  // empty: the caller closes it
        if (is_map && !read_key()) return false;
        continue;
      }
      if (c == '"') return read_string();
      return read_word();
    }
  }

  bool read_key() {
    if (peek() != '"') return unexpected("a key in double quotes");
    if (!read_string()) return false;
    skip_space();
    if (peek() != ':') return unexpected("`:`");
    ++at_;
    return true;
  }

  bool read_word() {
    const std::size_t start = at_;
    while (at_ < source_.size() && std::strchr("+-.", source_[at_]) != nullptr && source_[at_] != '\0') ++at_;
    while (at_ < source_.size() && (is_alphanumeric(source_[at_]) || is_number_mark(source_[at_]))) ++at_;
    const std::string_view word = source_.substr(start, at_ - start);
    at_ = start;
    const Position at = here();
    if (word.empty()) return unexpected("a value");
    if (word != "true" && word != "false" && word != "null" && !is_number(word)) {
      return builder_.fail(at, "`" + std::string(word.substr(0, 40)) + "` is no JSON value",
                           "Texts stand in double quotes.");
    }
    at_ += word.size();
    return builder_.add_scalar(at, SourceTree::Kind::kPlain, word);
  }

  static bool is_alphanumeric(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  }
  static bool is_number_mark(char c) { return c == '+' || c == '-' || c == '.'; }

  static bool is_number(std::string_view text) {
    std::size_t i = text.starts_with('-') ? 1 : 0;
    const auto digits = [&] {
      const std::size_t start = i;
      while (i < text.size() && text[i] >= '0' && text[i] <= '9') ++i;
      return i - start;
    };
    const bool zero = i < text.size() && text[i] == '0';
    const std::size_t whole = digits();
    if (whole == 0 || (zero && whole > 1)) return false;
    if (i < text.size() && text[i] == '.') {
      ++i;
      if (digits() == 0) return false;
    }
    if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
      ++i;
      if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
      if (digits() == 0) return false;
    }
    return i == text.size();
  }

  bool read_string() {
    const Position at = here();
    ++at_;
    text_.clear();
    for (;;) {
      const std::size_t start = at_;
      while (at_ < source_.size() && source_[at_] != '"' && source_[at_] != '\\' &&
             static_cast<unsigned char>(source_[at_]) >= 0x20) {
        ++at_;
      }
      text_.append(source_.substr(start, at_ - start));
      if (at_ >= source_.size()) return builder_.fail(at, "a text in double quotes has no end");
      if (source_[at_] == '"') break;
      if (source_[at_] != '\\') {
        return builder_.fail(here(), "a control character inside a text", "Write a line break as \\n.");
      }
      if (!read_escape()) return false;
    }
    ++at_;
    return builder_.add_scalar(at, SourceTree::Kind::kQuoted, text_);
  }

  bool read_escape() {
    static constexpr std::string_view kNames = "\"\\/bfnrt";
    static constexpr std::string_view kValues = "\"\\/\b\f\n\r\t";
    const char c = at_ + 1 < source_.size() ? source_[at_ + 1] : '\0';
    if (const std::size_t index = kNames.find(c); index != std::string_view::npos) {
      text_ += kValues[index];
      at_ += 2;
      return true;
    }
    if (c != 'u') return builder_.fail(here(), "an unknown escape in a text", "Write a backslash as \\\\.");
    std::uint32_t point = 0;
    if (!read_unit(point)) return builder_.fail(here(), "\\u needs four hexadecimal digits");
    if (point >= 0xD800 && point <= 0xDBFF) {
      std::uint32_t low = 0;
      if (!source_.substr(at_).starts_with("\\u") || !read_unit(low) || low < 0xDC00 || low > 0xDFFF) {
        return builder_.fail(here(), "half of a surrogate pair in a text");
      }
      point = 0x10000 + ((point - 0xD800) << 10U) + (low - 0xDC00);
    } else if (is_surrogate(point)) {
      return builder_.fail(here(), "half of a surrogate pair in a text");
    }
    append_utf8(text_, point);
    return true;
  }

  // \uXXXX at at_; moves behind it.
  bool read_unit(std::uint32_t& unit) {
    if (source_.size() - at_ < 6) return false;
    unit = 0;
    for (std::size_t i = 2; i < 6; ++i) {
      const char c = source_[at_ + i];
      const char lower = static_cast<char>(c | 0x20);
      if (c >= '0' && c <= '9') {
        unit = unit * 16 + static_cast<std::uint32_t>(c - '0');
      } else if (lower >= 'a' && lower <= 'f') {
        unit = unit * 16 + static_cast<std::uint32_t>(lower - 'a' + 10);
      } else {
        return false;
      }
    }
    at_ += 6;
    return true;
  }

  std::string_view source_;
  TreeBuilder& builder_;
  std::size_t at_ = 0;
  std::size_t counted_ = 0;
  Position position_{1, 1};
  std::vector<char> closers_;
  std::string text_;
};

}  // namespace

bool build_from_json(std::string_view source, TreeBuilder& builder) {
  return JsonReader(source, builder).read();
}

}  // namespace ez::orchestration
