#include "base/expression.h"

#include <utility>

#include "base/expression_ast.h"
#include "base/expression_evaluator.h"
#include "base/expression_parser.h"
#include "base/expression_program.h"
#include "base/expression_resolver.h"

namespace ez {

Result<Expression> Expression::parse(std::string_view source, const ExpressionLimits& limits) {
  if (source.size() > limits.max_source_bytes) {
    return Error(Code::ExpressionInvalid, "the expression has " + std::to_string(source.size()) +
                                              " bytes, at most " + std::to_string(limits.max_source_bytes) +
                                              " are allowed");
  }
  expression::Parser parser(source, 0, limits);
  expression::Problem problem;
  if (std::optional<expression::Node> root = parser.parse_all()) {
    auto program = Program::make(std::string(source), std::move(*root), problem);
    if (program != nullptr) return Expression(std::move(program));
  } else {
    problem = parser.problem();
  }
  return Error(Code::ExpressionInvalid,
               expression::place_in(source, problem.offset) + ": " + problem.message);
}

std::shared_ptr<const Expression::Program> Expression::Program::make(std::string source,
                                                                     expression::Node root,
                                                                     expression::Problem& problem) {
  auto program = std::make_shared<Program>();
  program->source = std::move(source);
  program->root = std::move(root);
  if (!expression::resolve(program->root, program->references, problem)) return nullptr;
  return program;
}

Result<Value> Expression::evaluate(const Variables& variables, const ExpressionLimits& limits) const {
  return expression::Evaluator(program_->source, variables, limits).run(program_->root);
}

const std::string& Expression::source() const { return program_->source; }
const std::vector<std::string>& Expression::variables() const { return program_->references.variables; }
const std::vector<std::vector<std::string>>& Expression::paths() const { return program_->references.paths; }

}  // namespace ez
