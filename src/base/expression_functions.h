// The functions of the expression language, as a table. Internal to the expression rooms.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/expression_ast.h"
#include "base/value.h"

namespace ez::expression {

class Evaluator;

// One call: the node that it stands at, and its operands; the receiver of a method comes first.
struct Call {
  Evaluator& evaluator;
  const Node& node;
  const std::vector<const Value*>& arguments;
};

struct Function {
  std::string_view name;
  bool method;                // written value.name(…)
  std::size_t min_arguments;  // without the receiver
  std::size_t max_arguments;
  // Puts the result into `out`; false after it told the evaluator of a failure.
  bool (*call)(const Call& call, Value& out);
};

// nullptr when there is none.
[[nodiscard]] const Function* find_function(std::string_view name, bool method);

// "1 argument", "0 to 2 arguments": for messages.
[[nodiscard]] std::string argument_count(const Function& function);

// The denotations of types are strings in this subset: type(1) is "int", and so is the name `int`.
[[nodiscard]] std::string_view type_name(Value::Kind kind);
[[nodiscard]] bool is_type_name(std::string_view name);

}  // namespace ez::expression
