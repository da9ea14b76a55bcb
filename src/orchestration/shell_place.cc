#include "orchestration/shell_place.h"

#include <cctype>
#include <deque>
#include <vector>

namespace ez::orchestration {
namespace {

class Scanner {
 public:
  void read(std::string_view text) {
    for (const char c : text) step(c);
  }

  // Empty where a word may stand.
  [[nodiscard]] std::string_view place() const {
    if (in_document_) return "a here-document";
    switch (frames_.back().kind) {
      case Kind::kSingle:
      case Kind::kDollarSingle:
        return "single quotes";
      case Kind::kDouble:
        return "double quotes";
      case Kind::kComment:
        return "a comment";
      default:
        break;
    }
    for (const Frame& frame : frames_) {
      if (frame.kind == Kind::kBackquotes) return "backquotes";
    }
    return {};
  }

  // An insert was made here: it is a part of a word.
  void insert() {
    word_begins_ = false;
    previous_ = 'x';
  }

 private:
  enum class Kind { kCommand, kArithmetic, kBackquotes, kSingle, kDollarSingle, kDouble, kComment };
  struct Frame {
    Kind kind;
    int parentheses = 0;
  };
  struct Document {
    std::string end;
    bool tabs = false;  // <<-
  };

  void push(Kind kind) {
    frames_.push_back({kind});
    word_begins_ = true;
  }
  void pop() {
    frames_.pop_back();
    word_begins_ = false;
  }

  void step(char c) {
    if (in_document_) return document(c);
    if (reading_end_) {
      if (read_end(c)) return;
    }
    if (escaped_) {
      escaped_ = false;
      word_begins_ = false;
      previous_ = 0;
      return;
    }
    const char before = previous_;
    previous_ = c;
    switch (frames_.back().kind) {
      case Kind::kSingle:
        if (c == '\'') pop();
        return;
      case Kind::kDollarSingle:
        if (c == '\\') escaped_ = true;
        if (c == '\'') pop();
        return;
      case Kind::kComment:
        if (c != '\n') return;
        frames_.pop_back();
        break;
      case Kind::kDouble:
        if (c == '\\') escaped_ = true;
        if (c == '"') pop();
        if (c == '(' && before == '$') push(Kind::kCommand);
        if (c == '`') backquote();
        return;
      default:
        break;
    }
    command(c, before);
  }

  void command(char c, char before) {
    const bool began = word_begins_;
    word_begins_ = std::isspace(static_cast<unsigned char>(c)) != 0 || c == ';' || c == '&' || c == '|' ||
                   c == '(' || c == ')' || c == '<' || c == '>';
    Frame& frame = frames_.back();
    switch (c) {
      case '\\':
        escaped_ = true;
        return;
      case '\'':
        return push(before == '$' ? Kind::kDollarSingle : Kind::kSingle);
      case '"':
        return push(Kind::kDouble);
      case '`':
        return backquote();
      case '#':
        if (began && frame.kind != Kind::kArithmetic) push(Kind::kComment);
        return;
      case '(':
        if (before == '$') return push(Kind::kCommand);
        // "$((": the frame that "$(" has begun is arithmetic, unless something stands in it already.
        if (before == '(' && frames_.size() > 1 && frame.kind == Kind::kCommand && frame.parentheses == 0)
          frame.kind = Kind::kArithmetic;
        ++frame.parentheses;
        return;
      case ')':
        if (frame.parentheses > 0) {
          --frame.parentheses;
        } else if (frames_.size() > 1 && frame.kind != Kind::kBackquotes) {
          pop();
        }
        return;
      case '<':
        if (frame.kind != Kind::kArithmetic) less_than(before);
        return;
      case '\n':
        if (!waiting_.empty()) {
          in_document_ = true;
          line_.clear();
        }
        return;
      default:
        return;
    }
  }

  void backquote() {
    for (std::size_t i = frames_.size(); i-- > 0;) {
      if (frames_[i].kind != Kind::kBackquotes) continue;
      frames_.resize(i);
      word_begins_ = false;
      return;
    }
    push(Kind::kBackquotes);
  }

  // "<<" begins a here-document, "<<<" a word.
  void less_than(char before) {
    if (before != '<') {
      less_ = 1;
    } else if (++less_ == 2) {
      reading_end_ = true;
      end_ = {};
      quote_ = 0;
    }
  }

  // The word behind "<<". False: the character was not a part of it.
  bool read_end(char c) {
    if (quote_ != 0) {
      if (c == quote_) {
        quote_ = 0;
      } else {
        end_.end.push_back(c);
      }
      return true;
    }
    if (end_.end.empty()) {
      if (c == '<') {
        reading_end_ = false;
        ++less_;
        previous_ = c;
        return true;
      }
      if (c == '-' && previous_ == '<') {
        end_.tabs = true;
        previous_ = c;
        return true;
      }
      if (c == ' ' || c == '\t') return true;
    }
    if (c == '\'' || c == '"') {
      quote_ = c;
      return true;
    }
    if (c == '\\') return true;
    if (std::isspace(static_cast<unsigned char>(c)) == 0 && c != ';' && c != '&' && c != '|' && c != '<' &&
        c != '>' && c != '(' && c != ')') {
      end_.end.push_back(c);
      return true;
    }
    reading_end_ = false;
    previous_ = 0;
    waiting_.push_back(std::move(end_));
    return false;
  }

  void document(char c) {
    if (c != '\n') {
      line_.push_back(c);
      return;
    }
    std::string_view line = line_;
    const Document& document = waiting_.front();
    while (document.tabs && line.starts_with('\t')) line.remove_prefix(1);
    if (line == document.end) {
      waiting_.pop_front();
      in_document_ = !waiting_.empty();
      word_begins_ = true;
      previous_ = '\n';
    }
    line_.clear();
  }

  std::vector<Frame> frames_{{Kind::kCommand}};
  std::deque<Document> waiting_;  // here-documents whose lines begin after this one
  Document end_;
  std::string line_;
  bool in_document_ = false;
  bool reading_end_ = false;
  bool escaped_ = false;
  bool word_begins_ = true;
  char quote_ = 0;
  char previous_ = 0;
  int less_ = 0;
};

}  // namespace

std::optional<UnsafeInsert> find_unsafe_insert(const Template& script) {
  Scanner scanner;
  for (std::size_t i = 0; i < script.expressions().size(); ++i) {
    scanner.read(script.pieces()[i]);
    if (const std::string_view place = scanner.place(); !place.empty()) return UnsafeInsert{i, place};
    scanner.insert();
  }
  return std::nullopt;
}

}  // namespace ez::orchestration
