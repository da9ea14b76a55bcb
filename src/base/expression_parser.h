// Builds the syntax tree of an expression (CEL specification, "Syntax"). Internal to the expression rooms.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/expression.h"
#include "base/expression_ast.h"
#include "base/expression_lexer.h"

namespace ez::expression {

class Parser {
 public:
  // Begins at `start`; offsets of nodes and problems count from the beginning of `text`, which must outlive
  // the parser.
  Parser(std::string_view text, std::size_t start, const ExpressionLimits& limits)
      : text_(text), limits_(limits), lexer_(text, start) {}

  // The whole rest of the text is one expression.
  [[nodiscard]] std::optional<Node> parse_all();

  // An expression that ends with `}}`. `end` is the offset behind these.
  [[nodiscard]] std::optional<Node> parse_until_braces(std::size_t& end);

  // Why the last call gave nothing.
  [[nodiscard]] const Problem& problem() const { return problem_; }

 private:
  // Each production puts its tree into `out`; false after a problem.
  bool parse_expression(Node& out);
  bool parse_or(Node& out);
  bool parse_and(Node& out);
  bool parse_relation(Node& out);
  bool parse_sum(Node& out);
  bool parse_product(Node& out);
  bool parse_unary(Node& out);
  bool parse_member(Node& out);
  bool parse_primary(Node& out);
  bool parse_name(Node& out);
  bool parse_list(Node& out);
  bool parse_map(Node& out);
  bool parse_selection(Node& out);
  bool parse_arguments(std::vector<Node>& out);
  bool make_call(Node& out, std::string_view name, std::size_t offset, std::optional<Node> receiver,
                 std::vector<Node> arguments);
  bool make_has(Node& out, std::size_t offset, std::vector<Node> arguments);
  bool make_macro(Node& out, Macro macro, std::string_view name, std::size_t offset, Node receiver,
                  std::vector<Node> arguments);
  bool finish(Node& node);

  using Production = bool (Parser::*)(Node&);
  bool parse_chain(Node& out, Production operand, std::string_view symbol, Op op);

  bool advance();
  bool fail(std::size_t offset, std::string message);
  bool fail_here(std::string_view expected);
  bool expect(std::string_view symbol);

  std::string_view text_;
  const ExpressionLimits& limits_;
  Lexer lexer_;
  Token token_;
  std::size_t nesting_ = 0;
  Problem problem_;
};

}  // namespace ez::expression
