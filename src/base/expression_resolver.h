// What is done with a syntax tree once, before any evaluation. Internal to the expression rooms.
#pragma once

#include <string>
#include <vector>

#include "base/expression_ast.h"

namespace ez::expression {

struct References {
  std::vector<std::string> variables;           // sorted, each once
  std::vector<std::vector<std::string>> paths;  // sorted, each once
};

// Binds the names to the macro variables that they mean, turns the names of types into literals, compiles
// literal patterns, and collects what is free. False with the reason in `problem`.
[[nodiscard]] bool resolve(Node& root, References& references, Problem& problem);

}  // namespace ez::expression
