#include <algorithm>
#include <utility>

#include "base/expression.h"
#include "base/expression_ast.h"
#include "base/expression_parser.h"
#include "base/expression_program.h"
#include "base/json.h"

namespace ez {
namespace {

constexpr std::string_view kOpening = "${{";

Error invalid(std::string_view text, const expression::Problem& problem) {
  return Error(Code::ExpressionInvalid, expression::place_in(text, problem.offset) + ": " + problem.message);
}

void shift(expression::Node& node, std::size_t by) {
  node.offset -= static_cast<std::uint32_t>(by);
  for (expression::Node& child : node.children) shift(child, by);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\r\f";
  const std::size_t first = text.find_first_not_of(kSpace);
  return first == std::string_view::npos ? text.substr(text.size())
                                         : text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// One POSIX shell word. Nothing is special between single quotes; a single quote itself has to stand outside
// of them.
void append_shell_word(std::string& out, std::string_view text) {
  out.push_back('\'');
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out.push_back(c);
    }
  }
  out.push_back('\'');
}

}  // namespace

Result<Template> Template::parse(std::string_view text, const ExpressionLimits& limits) {
  Template result;
  std::string literal;
  std::size_t at = 0;
  while (true) {
    const std::size_t opening = text.find(kOpening, at);
    if (opening == std::string_view::npos) break;
    if (opening > at && text[opening - 1] == '$') {
      literal += text.substr(at, opening - 1 - at);
      literal += kOpening;
      at = opening + kOpening.size();
      continue;
    }
    literal += text.substr(at, opening - at);
    const std::size_t start = opening + kOpening.size();
    std::size_t end = 0;
    // What stands behind the limit is never looked at: it cannot belong to the expression.
    const std::string_view seen = text.substr(0, start + limits.max_source_bytes + 2);
    expression::Parser parser(seen, start, limits);
    std::optional<expression::Node> root = parser.parse_until_braces(end);
    if (!root) {
      expression::Problem problem = parser.problem();
      if (seen.size() < text.size() && (problem.at_end || problem.offset + 4 > seen.size())) {
        const std::string most = std::to_string(limits.max_source_bytes);
        problem = {opening, "this ${{ has no }} within " + most + " bytes", true};
      } else if (problem.offset >= text.size()) {
        problem = {opening, "this ${{ has no }}", true};
      }
      return invalid(text, problem);
    }
    const std::string_view source = trimmed(text.substr(start, end - 2 - start));
    const auto source_start = static_cast<std::size_t>(source.data() - text.data());
    shift(*root, source_start);
    expression::Problem problem;
    auto program = Expression::Program::make(std::string(source), std::move(*root), problem);
    if (program == nullptr) return invalid(text, {source_start + problem.offset, problem.message, false});
    result.pieces_.push_back(std::move(literal));
    literal.clear();
    result.expressions_.push_back(Expression(std::move(program)));
    at = end;
  }
  literal += text.substr(at);
  if (!literal.empty()) result.pieces_.push_back(std::move(literal));
  return result;
}

Result<std::string> Template::render(const Variables& variables, Quoting quoting,
                                     const ExpressionLimits& limits) const {
  std::string out;
  for (std::size_t i = 0; i < std::max(pieces_.size(), expressions_.size()); ++i) {
    if (i < pieces_.size()) out += pieces_[i];
    if (i >= expressions_.size()) continue;
    const Expression& inserted = expressions_[i];
    const auto context = [&inserted]() { return "in ${{ " + expression::quoted(inserted.source()) + " }}"; };
    const Result<Value> value = inserted.evaluate(variables, limits);
    if (!value.ok()) return value.error().in(context());
    std::string json;
    if (!value->is_string()) append_json(json, *value);
    const std::string& text = value->is_string() ? value->as_string() : json;
    if (quoting == Quoting::kPlain) {
      out += text;
    } else if (text.find('\0') != std::string::npos) {
      return Error(Code::ExpressionFailed, "a shell word cannot hold a zero byte").in(context());
    } else {
      append_shell_word(out, text);
    }
    if (out.size() > limits.max_result_bytes) {
      return Error(Code::ExpressionCost,
                   "the text has more than " + std::to_string(limits.max_result_bytes) + " bytes")
          .in(context());
    }
  }
  return out;
}

std::string Template::source() const {
  std::string out;
  for (std::size_t i = 0; i < std::max(pieces_.size(), expressions_.size()); ++i) {
    if (i < pieces_.size()) {
      std::size_t from = 0;
      for (std::size_t at = pieces_[i].find(kOpening); at != std::string::npos;
           at = pieces_[i].find(kOpening, from)) {
        out.append(pieces_[i], from, at - from).append("$").append(kOpening);
        from = at + kOpening.size();
      }
      out.append(pieces_[i], from);
    }
    if (i >= expressions_.size()) continue;
    // A comment at the end would swallow the braces.
    const std::string& source = expressions_[i].source();
    const bool has_comment = source.find("//") != std::string::npos;
    out.append(kOpening).append(" ").append(source).append(has_comment ? "\n}}" : " }}");
  }
  return out;
}

Result<Value> Template::evaluate(const Variables& variables, const ExpressionLimits& limits) const {
  const bool alone = expressions_.size() == 1 && pieces_.size() == 1 && pieces_[0].empty();
  if (alone) return expressions_[0].evaluate(variables, limits);
  EZ_ASSIGN(std::string text, render(variables, Quoting::kPlain, limits));
  return Value(std::move(text));
}

}  // namespace ez
