#include "base/expression_lexer.h"

#include <algorithm>
#include <charconv>

#include "base/json.h"
#include "base/utf8.h"

namespace ez::expression {
namespace {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
constexpr bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
constexpr bool is_name(char c) { return is_name_start(c) || is_digit(c); }

// Longer ones first.
constexpr std::string_view kSymbols[] = {"==", "!=", "<=", ">=", "&&", "||", "(", ")", "[", "]", "{", "}",
                                         ",",  ".",  ":",  "?",  "!",  "-",  "+", "*", "/", "%", "<", ">"};

}  // namespace

std::string place_in(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  const std::string column = "column " + std::to_string(count_code_points(before.substr(line_start)) + 1);
  if (text.find('\n') == std::string_view::npos) return column;
  return "line " + std::to_string(std::count(before.begin(), before.end(), '\n') + 1) + ", " + column;
}

std::string quoted(std::string_view text) {
  constexpr std::size_t kLongest = 80;
  std::string out;
  if (text.size() <= kLongest) {
    append_json_string(out, text);
    return out;
  }
  std::size_t end = kLongest;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  append_json_string(out, text.substr(0, end));
  return out + "…";
}

bool Lexer::fail(std::size_t offset, std::string message) {
  problem_ = {offset, std::move(message), false};
  return false;
}

bool Lexer::fail_at_end(std::size_t offset, std::string message) {
  problem_ = {offset, std::move(message), true};
  return false;
}

char Lexer::peek(std::size_t ahead) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

void Lexer::skip_space() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f') {
      ++at_;
    } else if (c == '/' && peek(1) == '/') {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else {
      return;
    }
  }
}

bool Lexer::next(Token& token) {
  skip_space();
  token = Token{};
  token.offset = at_;
  bool read = true;
  if (at_ < text_.size()) {
    const char c = peek();
    const char after = peek(1);
    const bool prefixed = (after == '"' || after == '\'');
    if (c == '"' || c == '\'') {
      read = read_string(token, false);
    } else if ((c == 'r' || c == 'R') && prefixed) {
      ++at_;
      read = read_string(token, true);
    } else if ((c == 'b' || c == 'B') && prefixed) {
      read = fail(at_, "bytes literals are not supported; write a string");
    } else if (is_name_start(c)) {
      while (is_name(peek())) ++at_;
      token.kind = TokenKind::kName;
      token.text = text_.substr(token.offset, at_ - token.offset);
    } else if (is_digit(c) || (c == '.' && is_digit(after))) {
      read = read_number(token);
    } else if (c == '`') {
      read = read_selector(token);
    } else {
      read = read_symbol(token);
    }
  }
  token.end = at_;
  return read;
}

bool Lexer::read_number(Token& token) {
  const std::size_t start = at_;
  std::from_chars_result parsed{};
  if (peek() == '0' && (peek(1) == 'x' || peek(1) == 'X')) {
    at_ += 2;
    const std::size_t digits = at_;
    while (is_hex(peek())) ++at_;
    if (at_ == digits) return fail(start, "0x needs hexadecimal digits");
    token.kind = TokenKind::kInt;
    parsed = std::from_chars(text_.data() + digits, text_.data() + at_, token.magnitude, 16);
  } else {
    token.kind = TokenKind::kInt;
    while (is_digit(peek())) ++at_;
    if (peek() == '.' && is_digit(peek(1))) {
      token.kind = TokenKind::kDouble;
      ++at_;
      while (is_digit(peek())) ++at_;
    }
    if (peek() == 'e' || peek() == 'E') {
      const std::size_t sign = peek(1) == '+' || peek(1) == '-' ? 1 : 0;
      if (is_digit(peek(1 + sign))) {
        token.kind = TokenKind::kDouble;
        at_ += 1 + sign;
        while (is_digit(peek())) ++at_;
      }
    }
    if (token.kind == TokenKind::kInt) {
      parsed = std::from_chars(text_.data() + start, text_.data() + at_, token.magnitude);
    }
  }
  if ((peek() == 'u' || peek() == 'U') && token.kind == TokenKind::kInt && !is_name(peek(1))) {
    return fail(at_, "unsigned numbers are not supported; leave out the 'u'");
  }
  if (is_name(peek())) return fail(start, "this is not a number");
  if (token.kind == TokenKind::kDouble) {
    const std::optional<double> number = parse_double(text_.substr(start, at_ - start));
    if (!number) return fail(start, "this number is too large for a double");
    token.number = *number;
  } else if (parsed.ec != std::errc()) {
    return fail(start, "this number is too large for an int");
  }
  return true;
}

bool Lexer::read_string(Token& token, bool raw) {
  const char quote = peek();
  const std::string_view rest = text_.substr(at_);
  const std::string fence(3, quote);
  const bool triple = rest.starts_with(fence);
  const std::string_view closing = triple ? std::string_view(fence) : std::string_view(fence).substr(0, 1);
  at_ += closing.size();
  token.kind = TokenKind::kString;
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (text_.substr(at_).starts_with(closing)) {
      at_ += closing.size();
      return true;
    }
    if (c == '\\' && !raw) {
      if (!read_escape(token.text)) return false;
      continue;
    }
    if ((c == '\n' || c == '\r') && !triple) {
      return fail(token.offset,
                  "this string does not end on its line; one with three quotes may have several");
    }
    const std::size_t length = utf8_sequence_length(text_.substr(at_));
    if (length == 0) return fail(at_, "the text is not UTF-8");
    token.text += text_.substr(at_, length);
    at_ += length;
  }
  return fail_at_end(token.offset, "this string has no end");
}

bool Lexer::read_escape(std::string& out) {
  const std::size_t start = at_;
  at_ += 2;
  if (at_ > text_.size()) return fail_at_end(start, "this escape sequence has no end");
  switch (text_[start + 1]) {
    case 'a':
      out.push_back('\a');
      return true;
    case 'b':
      out.push_back('\b');
      return true;
    case 'f':
      out.push_back('\f');
      return true;
    case 'n':
      out.push_back('\n');
      return true;
    case 'r':
      out.push_back('\r');
      return true;
    case 't':
      out.push_back('\t');
      return true;
    case 'v':
      out.push_back('\v');
      return true;
    case '\\':
    case '?':
    case '"':
    case '\'':
    case '`':
      out.push_back(text_[start + 1]);
      return true;
    case 'x':
    case 'X':
      return read_code_point(start, 2, out);
    case 'u':
      return read_code_point(start, 4, out);
    case 'U':
      return read_code_point(start, 8, out);
    case '0':
    case '1':
    case '2':
    case '3': {
      std::uint32_t code_point = 0;
      const std::string_view digits = text_.substr(start + 1, 3);
      const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), code_point, 8);
      if (digits.size() != 3 || parsed.ptr != digits.data() + 3) {
        return fail(start, "an octal escape sequence has three digits");
      }
      at_ = start + 4;
      append_utf8(out, code_point);
      return true;
    }
    default:
      return fail(start, "there is no such escape sequence; write \\\\ for a backslash");
  }
}

bool Lexer::read_code_point(std::size_t start, std::size_t digits, std::string& out) {
  const std::string_view text = text_.substr(at_, digits);
  std::uint32_t code_point = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), code_point, 16);
  if (text.size() != digits || parsed.ec != std::errc() || parsed.ptr != text.data() + digits) {
    return fail(start, "this escape sequence needs " + std::to_string(digits) + " hexadecimal digits");
  }
  if (code_point > kMaxCodePoint || is_surrogate(code_point))
    return fail(start, "there is no such character");
  at_ += digits;
  append_utf8(out, code_point);
  return true;
}

bool Lexer::read_selector(Token& token) {
  const std::size_t end = text_.find('`', at_ + 1);
  if (end == std::string_view::npos) return fail_at_end(at_, "this name in backticks has no end");
  token.kind = TokenKind::kSelector;
  token.text = text_.substr(at_ + 1, end - at_ - 1);
  for (const char c : token.text) {
    if (!is_name(c) && c != '.' && c != '-' && c != '/' && c != ' ') {
      return fail(at_, "a name in backticks has only letters, digits, '_', '.', '-', '/' and spaces");
    }
  }
  if (token.text.empty()) return fail(at_, "a name in backticks is not empty");
  at_ = end + 1;
  return true;
}

bool Lexer::read_symbol(Token& token) {
  const std::string_view rest = text_.substr(at_);
  for (const std::string_view symbol : kSymbols) {
    if (rest.starts_with(symbol)) {
      token.kind = TokenKind::kSymbol;
      token.symbol = symbol;
      at_ += symbol.size();
      return true;
    }
  }
  switch (rest.front()) {
    case '=':
      return fail(at_, "'=' is no operator; compare with '=='");
    case '&':
      return fail(at_, "'&' is no operator; write '&&'");
    case '|':
      return fail(at_, "'|' is no operator; write '||'");
    default:
      break;
  }
  const std::size_t length = utf8_sequence_length(rest);
  if (length == 0) return fail(at_, "the text is not UTF-8");
  return fail(at_, "unexpected " + quoted(rest.substr(0, length)));
}

}  // namespace ez::expression
