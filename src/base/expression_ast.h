// The syntax tree of an expression. Internal to the expression rooms; others include base/expression.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/value.h"

namespace re2 {
class RE2;
}

namespace ez::expression {

struct Function;

enum class Op : std::uint8_t {
  kLiteral,      // literal
  kName,         // text; slot
  kSelect,       // text; the value
  kHas,          // text; the value: has(value.text)
  kIndex,        // the value, the index
  kList,         // the elements
  kMap,          // key, value, key, value …
  kCall,         // function; the receiver, if it has one, and the arguments
  kMacro,        // macro; text is the variable, slot its place; the range, then one or two bodies
  kAnd,          // two or more operands
  kOr,           // two or more operands
  kConditional,  // condition, then, else
  kNot,
  kNegate,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kModulo,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
};

enum class Macro : std::uint8_t { kAll, kExists, kExistsOne, kMap, kFilter };

struct Node {
  Op op = Op::kLiteral;
  Macro macro = Macro::kAll;
  int slot = -1;  // of a name: the macro variable that it means, counted from the outermost; -1: free
  std::uint32_t offset = 0;  // in bytes, where messages point to
  std::size_t depth = 1;     // of the tree under this node
  std::string text;
  Value literal;
  std::vector<Node> children;
  const Function* function = nullptr;  // lives as long as the process
  std::shared_ptr<const re2::RE2>
      pattern;  // of matches() with a literal pattern; shared by copies of the node
};

// What is wrong with a source text, and where (in bytes from its start).
struct Problem {
  std::size_t offset = 0;
  std::string message;
  bool at_end = false;  // the text ended before what began in it
};

// "column 7", or "line 2, column 7" when the text has several lines. Counts characters, from 1.
[[nodiscard]] std::string place_in(std::string_view text, std::size_t offset);

// The text as a JSON string literal for messages, shortened when it is long.
[[nodiscard]] std::string quoted(std::string_view text);

}  // namespace ez::expression
