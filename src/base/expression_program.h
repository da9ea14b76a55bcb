// What an Expression holds. Internal to the expression rooms.
#pragma once

#include <memory>
#include <string>

#include "base/expression.h"
#include "base/expression_ast.h"
#include "base/expression_resolver.h"

namespace ez {

struct Expression::Program {
  std::string source;
  expression::Node root;  // its offsets count from the beginning of source
  expression::References references;

  // nullptr with the reason in `problem`.
  [[nodiscard]] static std::shared_ptr<const Program> make(std::string source, expression::Node root,
                                                           expression::Problem& problem);
};

}  // namespace ez
