// Splits the source of an expression into tokens (CEL specification, "Syntax"). Internal to the expression
// rooms.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/expression_ast.h"

namespace ez::expression {

enum class TokenKind : std::uint8_t {
  kEnd,
  kName,      // an identifier or a reserved word; text
  kSelector,  // a name in backticks; text
  kInt,       // magnitude
  kDouble,    // number
  kString,    // text, with escapes resolved
  kSymbol,    // symbol
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::size_t offset = 0;  // of its first byte
  std::size_t end = 0;     // behind its last byte
  std::string text;
  std::string_view symbol;  // one of a fixed set: "(", "<=", "&&" …
  std::uint64_t magnitude = 0;
  double number = 0;

  [[nodiscard]] bool is(std::string_view expected) const {
    return kind == TokenKind::kSymbol && symbol == expected;
  }
};

// Reads one token after the other and never looks beyond the one that it gives: what follows an expression
// inside a template need not be an expression.
class Lexer {
 public:
  // `text` must outlive the lexer.
  Lexer(std::string_view text, std::size_t start) : text_(text), at_(start) {}

  // False when there is a problem.
  [[nodiscard]] bool next(Token& token);
  [[nodiscard]] const Problem& problem() const { return problem_; }

 private:
  bool fail(std::size_t offset, std::string message);
  bool fail_at_end(std::size_t offset, std::string message);
  [[nodiscard]] char peek(std::size_t ahead = 0) const;
  void skip_space();
  bool read_number(Token& token);
  bool read_string(Token& token, bool raw);
  bool read_escape(std::string& out);
  bool read_code_point(std::size_t start, std::size_t digits, std::string& out);
  bool read_selector(Token& token);
  bool read_symbol(Token& token);

  std::string_view text_;
  std::size_t at_;
  Problem problem_;
};

}  // namespace ez::expression
